//! The stream: nothing is missed between two of them.

use super::*;
use crate::harness::http::events;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_back_misses_no_transition() {
    let scene = Scene::new().await;
    let path = "/api/v1/stream?after=0";
    let first = events(scene.page, path, &[], 2);
    let ids: Vec<&str> = first.iter().map(|(_, id, _)| id.as_str()).collect();
    assert_eq!(ids, ["1", "2"]);
    scene.end("delivered");
    scene.argil.set_status("a2", "REFUSED");
    scene.bench.wait_for_deliveries("both", |rows| {
        rows.iter().filter(|row| row["state"] == "delivered").count() == 2
    });
    assert!(scene.daemon.stop().success());
    // Another process, and nobody listened meanwhile.
    let daemon = scene.bench.start();
    let page = loop {
        let page = daemon.page();
        if page != scene.page && std::net::TcpStream::connect(page).is_ok() {
            break page;
        }
    };
    let rest = events(page, "/api/v1/stream", &["last-event-id: 2"], 2);
    let statuses: Vec<&Value> = rest.iter().map(|(_, _, data)| &data["status"]).collect();
    assert_eq!(statuses, ["IDLE", "REFUSED"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_with_a_place_of_another_history_is_told() {
    let scene = Scene::new().await;
    let page = scene.page;
    let seen = events(page, "/api/v1/stream", &["last-event-id: 99999999"], 1);
    assert_eq!((seen[0].0.as_str(), &seen[0].2), ("reset", &json!({"place": 2})));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_says_where_it_begins_before_there_is_news() {
    let scene = Scene::new().await;
    let first = crate::harness::http::first_lines(scene.page, "/api/v1/stream", 3);
    assert!(first.contains(&"id: 2".to_owned()), "{first:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_streamed_as_it_happens() {
    let scene = Scene::new().await;
    let (page, argil) = (scene.page, &scene.argil);
    let listening = tokio::task::spawn_blocking(move || {
        let place = "/api/v1/stream?after=0";
        events(page, place, &[], 4)
    });
    argil.set_status("a1", "IDLE");
    let seen = listening.await.unwrap();
    let names: Vec<&str> = seen.iter().map(|(name, _, _)| name.as_str()).collect();
    assert_eq!(names, ["transition", "transition", "transition", "attempt"]);
    assert_eq!(
        (&seen[2].2["status"], &seen[3].2["outcome"]),
        (&json!("IDLE"), &json!("delivered"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_so_many_and_no_more() {
    let scene = Scene::new().await;
    let page = scene.page;
    let open: Vec<_> = (0..16)
        .map(|_| {
            use std::io::{Read as _, Write as _};
            let mut stream = std::net::TcpStream::connect(page).unwrap();
            write!(stream, "GET /api/v1/stream HTTP/1.1\r\nhost: {page}\r\n\r\n").unwrap();
            let mut begin = [0; 12];
            stream.read_exact(&mut begin).unwrap();
            assert_eq!(&begin, b"HTTP/1.1 200");
            stream
        })
        .collect();
    let full = scene.get("/api/v1/stream");
    assert_eq!((full.status, full.header("retry-after")), (503, "5"));
    check_described("GET", "/api/v1/stream", &full);
    drop(open);
    // Whoever has gone is noticed when the next thing is said.
    scene.argil.set_status("a1", "IDLE");
    wait_until("room for a stream", || {
        let answer = ask(page, "HEAD", "/api/v1/stream", &[]);
        answer.status == 200
    });
}
