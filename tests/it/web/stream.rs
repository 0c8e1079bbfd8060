//! Event stream: a client that reconnects misses nothing.

use avatar_watch::runtime::event_bus::LiveEvent;
use avatar_watch::web::http::server::ServerLimits;

use super::test_server::{TestServer, attempt_finished};
use super::*;
use crate::harness::http::{Listener, events};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reconnects_misses_no_transition() {
    let scene = Scene::new().await;
    let path = "/api/v1/stream?after=0";
    let first = events(scene.page, path, &[], 2);
    let places: Vec<&str> = first.iter().map(|(_, id, _)| id.split_once('-').unwrap().0).collect();
    assert_eq!(places, ["1", "2"]);
    scene.end("delivered");
    scene.argil.set_status("a2", "REFUSED");
    scene.bench.wait_for_deliveries("both", |rows| {
        rows.iter().filter(|row| row["state"] == "delivered").count() == 2
    });
    assert!(scene.daemon.stop().success());
    // Another process, while no client is connected.
    let daemon = scene.bench.start();
    let page = loop {
        let page = daemon.page();
        if page != scene.page && std::net::TcpStream::connect(page).is_ok() {
            break page;
        }
    };
    for id in [first[1].1.as_str(), "2"] {
        let rest = events(page, "/api/v1/stream", &[&format!("last-event-id: {id}")], 2);
        let statuses: Vec<&Value> = rest.iter().map(|(_, _, data)| &data["status"]).collect();
        assert_eq!(statuses, ["IDLE", "REFUSED"], "after {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_history_gets_a_reset() {
    let scene = Scene::new().await;
    let page = scene.page;
    for id in ["99999999", "2-0123456789abcdef", "of another program", "-1"] {
        let seen = events(page, "/api/v1/stream", &[&format!("last-event-id: {id}")], 1);
        let (name, goes_on, data) = &seen[0];
        assert_eq!((name.as_str(), data), ("reset", &json!({"seq": 2})), "{id}");
        assert!(goes_on.starts_with("2-"), "{goes_on}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_history_is_distinguished_by_its_id() {
    let scene = Scene::new().await;
    assert!(scene.bench.run(&["db", "backup", "copy.db"]).status.success());
    scene.end("delivered");
    let old = events(scene.page, "/api/v1/stream?after=0", &[], 3);
    let (common, gone) = (&old[1].1, &old[2].1);
    assert!(scene.daemon.stop().success());
    let restored = scene.bench.run(&["db", "restore", "copy.db"]);
    assert!(restored.status.success(), "{restored:?}");
    // The same `seq` is another transition now, followed by more.
    scene.argil.set_status("a2", "REFUSED");
    let daemon = scene.bench.start();
    daemon.wait_for_log("avatar \"avatar a2\": TRAINING -> REFUSED");
    daemon.wait_for_log("avatar \"avatar a1\": TRAINING -> IDLE");
    let page = daemon.page();
    let listen =
        |id: &str, count| events(page, "/api/v1/stream", &[&format!("last-event-id: {id}")], count);
    wait_until("both changes", || {
        get(page, "/api/v1/transitions").json()["transitions"].as_array().unwrap().len() == 4
    });
    for id in [common, gone] {
        let seen = listen(id, 1);
        assert_eq!((seen[0].0.as_str(), &seen[0].2), ("reset", &json!({"seq": 4})), "{id}");
    }
    let seen = events(page, "/api/v1/stream?after=2", &[], 2);
    assert_eq!(seen[0].2["seq"], 3);
    assert_ne!(&seen[0].1, gone);
    let seen = listen(&seen[0].1, 1);
    assert_eq!((seen[0].0.as_str(), &seen[0].2["seq"]), ("transition", &json!(4)));
}

#[tokio::test]
async fn a_slow_client_gets_the_number_of_missed_events() {
    let (own, page) = TestServer::new().serve(ServerLimits::default());
    let (begun, begins) = tokio::sync::oneshot::channel();
    let listening = tokio::task::spawn_blocking(move || {
        let mut stream = Listener::open(page, "/api/v1/stream");
        stream.wait_for("retry: 1000");
        begun.send(()).unwrap();
        (stream.wait_for("event: missed"), stream.wait_for("event: attempt"))
    });
    begins.await.unwrap();
    let example = attempt_finished();
    // On one thread the client cannot receive while events are published.
    for attempt in 0..KEPT + 10 {
        own.state.events.publish(|| {
            let LiveEvent::AttemptFinished {
                event_id, ordering_key, channel, outcome, state, ..
            } = example.clone()
            else {
                unreachable!()
            };
            LiveEvent::AttemptFinished { event_id, ordering_key, channel, attempt, outcome, state }
        });
    }
    let (missed, next) = listening.await.unwrap();
    assert_eq!(missed, json!({"count": 10}));
    assert_eq!(next["attempt"], 10, "exactly the missed events are counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_sends_its_start_as_an_id_at_once() {
    let scene = Scene::new().await;
    let first = crate::harness::http::first_lines(scene.page, "/api/v1/stream", 3);
    assert!(first.iter().any(|line| line.starts_with("id: 2-")), "{first:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn transitions_and_attempts_are_streamed_live() {
    let scene = Scene::new().await;
    let (page, argil) = (scene.page, &scene.argil);
    let listening = tokio::task::spawn_blocking(move || {
        let path = "/api/v1/stream?after=0";
        events(page, path, &[], 4)
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
async fn a_stream_that_accept_excludes_is_rejected() {
    let (_own, page) = TestServer::new().serve(ServerLimits::default());
    for (accept, status) in [
        ("", 200),
        ("accept: text/event-stream", 200),
        ("accept: text/html, */*;q=0.1", 200),
        ("accept: text/event-stream;q=0", 406),
        ("accept: text/event-stream;q=0.000, */*", 406),
        ("accept: application/json", 406),
    ] {
        let headers: &[&str] = if accept.is_empty() { &[] } else { &[accept] };
        let answer = ask(page, "HEAD", "/api/v1/stream", headers);
        assert_eq!(answer.status, status, "{accept}");
    }
    let refused = ask(page, "GET", "/api/v1/stream", &["accept: text/event-stream;q=0"]);
    check_described("GET", "/api/v1/stream", &refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_limit_of_streams_the_oldest_ends() {
    let (own, page) = TestServer::new().serve(ServerLimits::default());
    let mut open: Vec<Listener> = Vec::new();
    // All are of one address, and still a further one is accepted.
    for number in 0..3 * ServerLimits::default().streams {
        let mut newest = Listener::open(page, "/api/v1/stream");
        newest.wait_for("retry: 1000");
        open.push(newest);
        if let Some(oldest) = number.checked_sub(ServerLimits::default().streams) {
            // It ends cleanly, and its client reconnects later.
            open[oldest].wait_for("retry: 15000");
            assert!(open[oldest].ends_well());
        }
    }
    let attempt = attempt_finished();
    own.state.events.publish(|| attempt.clone());
    for listener in &mut open[2 * ServerLimits::default().streams..] {
        assert_eq!(listener.wait_for("event: attempt")["channel"], "ops");
    }
}

/// The capacity of the event bus.
const KEPT: u32 = 8192;
