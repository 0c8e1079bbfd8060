//! Health when a loop does not move: the routes themselves, with what they are told.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use avatar_watch::domain::moment::Moment;
use avatar_watch::domain::roll::Roll;
use avatar_watch::domain::timestamp::Timestamp;
use avatar_watch::live::feed::Feed;
use avatar_watch::live::metrics::Metrics;
use avatar_watch::live::sights::Sights;
use avatar_watch::web::access::Rules;
use avatar_watch::web::desk::{Desk, Progress, Register, Tick};
use avatar_watch::web::routes;
use avatar_watch::web::server::{self, Limits};
use tokio::sync::{Semaphore, mpsc, watch};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_does_not_move_is_not_healthy_and_neither_is_a_lost_database() {
    let folder = tempfile::tempdir().unwrap();
    let (stuck, is_stuck) = watch::channel(false);
    let rules = Rules { loopback: true, ..Rules::default() };
    let (_register, register) = watch::channel(Arc::new(Register { rules, ..Register::default() }));
    let progress = move |_| {
        let stuck = *is_stuck.borrow();
        vec![Progress { name: "poller", age: Duration::from_secs(7), stuck }]
    };
    let tick = || Tick {
        now: Timestamp::from_millis(0),
        moment: Moment::from_millis(0),
        roll: Roll::new(0),
    };
    let desk = Desk {
        database: folder.path().join("none.db"),
        tick: Arc::new(tick),
        started_at: Moment::from_millis(0),
        register,
        feed: Feed::default(),
        sights: Sights::default(),
        metrics: Metrics::new(),
        progress: Arc::new(progress),
        looks: mpsc::channel(1).0,
        trials: mpsc::channel(1).0,
        ring: Arc::new(|| ()),
        streams: Arc::new(Semaphore::new(1)),
        readers: Arc::new(Semaphore::new(1)),
    };
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let page = listener.local_addr().unwrap();
    let routes = routes::routes(desk);
    tokio::spawn(server::run(listener, routes, Limits::default(), std::future::pending()));
    let check = |path: &str, status: u16, said: &Value| {
        let answer = get(page, path);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        let (name, expected) = said.as_object().unwrap().iter().next().unwrap();
        assert_eq!(&answer.json()[name], expected, "{path}");
    };
    check("/healthz", 200, &json!({"healthy": true}));
    let readiness = get(page, "/readyz");
    assert_eq!(readiness.status, 503);
    assert!(readiness.body.contains("none.db"), "{}", readiness.body);
    stuck.send_replace(true);
    check("/healthz", 503, &json!({"healthy": false}));
    check(
        "/healthz",
        503,
        &json!({"loops": [
        {"name": "poller", "turned_seconds_ago": 7.0, "stuck": true}]}),
    );
    check("/readyz", 503, &json!({"reason": "the poller does not move"}));
    let unread = get(page, "/api/v1/status");
    assert_eq!((unread.status, unread.header("retry-after")), (503, "5"));
    check_described("GET", "/api/v1/status", &unread);
    assert_eq!(get(page, "/").status, 503);
}
