//! Health checks with a stalled loop: the routes with a simulated state.

use std::sync::Arc;
use std::time::Duration;

use avatar_watch::domain::read_access::ReadAccess;
use avatar_watch::web::http::auth::AccessPolicy;
use avatar_watch::web::http::server::ServerLimits;
use avatar_watch::web::state::LoopState;
use tokio::sync::watch;

use super::test_server::{TestServer, serve, state};
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_loop_or_a_lost_database_is_unhealthy() {
    let folder = tempfile::tempdir().unwrap();
    let (stalled, is_stalled) = watch::channel(false);
    let rules = AccessPolicy { read: ReadAccess::Local, ..AccessPolicy::default() };
    let (mut state, _register) = state(folder.path().join("none.db"), rules);
    state.progress = Arc::new(move |_| {
        let stalled = *is_stalled.borrow();
        vec![LoopState { name: "poller", age: Duration::from_secs(7), stalled }]
    });
    let page = serve(state, ServerLimits::default());
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
    stalled.send_replace(true);
    check("/healthz", 503, &json!({"healthy": false}));
    check(
        "/healthz",
        503,
        &json!({"loops": [
        {"name": "poller", "last_tick_seconds_ago": 7.0, "stalled": true}]}),
    );
    check("/readyz", 503, &json!({"reason": "the poller is stalled"}));
    let unread = get(page, "/api/v1/status");
    assert_eq!((unread.status, unread.header("retry-after")), (503, "5"));
    check_described("GET", "/api/v1/status", &unread);
    assert_eq!(get(page, "/").status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_loop_is_shown_on_the_page() {
    let mut own = TestServer::new();
    own.state.progress =
        Arc::new(|_| vec![LoopState { name: "poller", age: Duration::ZERO, stalled: true }]);
    let page = serve(own.state.clone(), ServerLimits::default());
    let home = get(page, "/").body;
    assert!(
        home.contains("<h1 id=\"summary-title\">The poller of the daemon is stalled</h1>"),
        "{home}"
    );
    assert!(home.contains("What to do: read the log of the daemon"), "{home}");
    let status = get(page, "/api/v1/status").json();
    assert_eq!((&status["healthy"], &status["status"]), (&json!(false), &json!("critical")));
}
