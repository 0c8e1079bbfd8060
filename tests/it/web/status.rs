//! The page, the API and the command line always show the same status.

use super::*;
use crate::harness::argil;

/// Waits until page, API and command line show this status, title and finding.
#[track_caller]
fn check(scene: &Scene, status: &str, title: &str, finding: &str) {
    wait_until(&format!("`{status}` with `{finding}`"), || {
        let api = scene.get("/api/v1/status");
        check_described("GET", "/api/v1/status", &api);
        let api = api.json();
        let found: Vec<&str> = texts(&api).collect();
        let is_found = match finding {
            "" => found.is_empty(),
            finding => found.iter().any(|text| text.contains(finding)),
        };
        api["status"] == status && is_found && agrees(scene, &api, title)
    });
}

/// Whether the page and the command line agree with the API.
fn agrees(scene: &Scene, api: &Value, title: &str) -> bool {
    let cli = scene.bench.json(&["status", "--json"]);
    let findings = |view: &Value| texts(view).map(ageless).collect::<Vec<_>>();
    let home = scene.get("/").body;
    let shown = stdout(&scene.bench.run(&["status"]));
    let h1 = match api["healthy"].as_bool() {
        Some(true) => "Watching works".to_owned(),
        _ => ageless(texts(api).next().unwrap_or_default()),
    };
    // The status may change between the requests.
    (&cli["status"], findings(&cli)) == (&api["status"], findings(api))
        && plain(&home).contains(&format!("<h1 id=\"summary-title\">{h1}"))
        && shown.contains(&format!("\n{title}: "))
}

fn texts(view: &Value) -> impl Iterator<Item = &str> {
    view["findings"].as_array().unwrap().iter().map(|it| it["text"].as_str().unwrap())
}

/// The page without its code spans.
fn plain(page: &str) -> String {
    let page = page.replace("<code>", "`").replace("</code>", "`");
    page.replace("&#34;", "\"").replace("&#39;", "'")
}

/// A text without the age, which grows between the requests.
fn ageless(text: &str) -> String {
    text.split(", the oldest for ").next().unwrap().to_owned()
}

const OK: &str = "OK";
const NOTICES: &str = "OK, with notices";
const WARNING: &str = "Warnings";
const CRITICAL: &str = "Critical problems";

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_channel_affects_the_status() {
    let scene = Scene::new().await;
    check(&scene, "ok", OK, "");
    scene.bench.run(&["channels", "pause", "ops"]);
    check(&scene, "notice", NOTICES, "Channel ops is paused");
    scene.argil.set_status("a1", "IDLE");
    check(&scene, "notice", NOTICES, "Channel ops is paused; 1 message waits");
    scene.receiver.script([webhook::Answer::status(410)]);
    scene.bench.run(&["channels", "resume", "ops"]);
    check(&scene, "critical", CRITICAL, "Channel ops is disabled: ");
    scene.bench.run(&["channels", "enable", "ops"]);
    scene.bench.wait_for_deliveries("what waited", |rows| rows[0]["state"] == "delivered");
    check(&scene, "ok", OK, "");
    let config = std::fs::read_to_string(scene.bench.config()).unwrap();
    scene.bench.run(&["channels", "pause", "ops"]);
    scene.argil.set_status("a2", "IDLE");
    check(&scene, "notice", NOTICES, "Channel ops is paused; 1 message waits");
    scene.bench.configure(&config.replace("[channels.ops]", "[channels.other]"));
    scene.daemon.signal(Signal::HUP);
    check(&scene, "warning", WARNING, "Channel ops is not in the config, and 1 message waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_avatars_and_dead_letters_affect_the_status() {
    let scene = Scene::new().await;
    scene.receiver.script((0..6).map(|_| webhook::Answer::status(500)));
    scene.end("dead");
    check(&scene, "critical", CRITICAL, "Channel ops has 1 dead letter");
    scene.bench.run(&["deliveries", "retry", "--dead"]);
    check(&scene, "ok", OK, "");
    scene.argil.remove("a2");
    check(&scene, "warning", WARNING, "avatar a2 is missing: ");
    scene.argil.set_status("a2", "TRAINING");
    check(&scene, "ok", OK, "");
    scene.argil.answer_with(|_| Some(argil::Answer::status(401, "{}")));
    check(
        &scene,
        "critical",
        CRITICAL,
        "Account argil cannot be checked: Argil rejects its API key (",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_poll_is_a_notice() {
    let scene = Scene::new().await;
    scene
        .argil
        .answer_with(|request| (request.avatar == "a1").then(|| argil::Answer::status(500, "{}")));
    check(&scene, "notice", NOTICES, "avatar a1 cannot be checked: ");
}

/// A daemon with a configured listen address.
async fn with_listen_address() -> Scene {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let placed = |config: Config| config.text().replace("127.0.0.1:0", &address.to_string());
    Scene::with(|config| Config::from(placed(config))).await
}

/// Takes as long as the store waits for a lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_database_affects_the_status() {
    let scene = with_listen_address().await;
    check(&scene, "ok", OK, "");
    let beside = rusqlite::Connection::open(scene.bench.database()).unwrap();
    beside.execute_batch("BEGIN IMMEDIATE").unwrap();
    scene.argil.set_status("a1", "IDLE");
    check(&scene, "critical", CRITICAL, "not writable (the database was locked by another process");
    let ready = scene.get("/readyz");
    assert_eq!((ready.status, &ready.json()["ready"]), (503, &false.into()));
    assert!(scene.get("/metrics").body.contains("\navatar_watch_database_writable 0\n"));
    let line = stdout(&scene.bench.run(&["status", "--check"]));
    assert!(line.starts_with("AVATAR-WATCH CRITICAL: The database is not writable"), "{line}");
    beside.execute_batch("ROLLBACK").unwrap();
    check(&scene, "ok", OK, "");
    assert!(scene.get("/metrics").body.contains("\navatar_watch_database_writable 1\n"));
}

/// Takes as long as the readiness probe waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_hangs_affects_the_status() {
    let scene = with_listen_address().await;
    scene.daemon.signal(Signal::STOP);
    let output = scene.bench.run(&["status", "--check"]);
    let line = stdout(&output);
    assert!(line.starts_with("AVATAR-WATCH CRITICAL: The daemon does not respond at"), "{line}");
    assert_eq!(output.status.code(), Some(2));
    scene.daemon.signal(Signal::CONT);
    check(&scene, "ok", OK, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_reports_the_lock_before_the_listen_address() {
    let scene = with_listen_address().await;
    let output = scene.bench.run(&["run"]);
    assert_eq!(output.status.code(), Some(75));
    let named = format!("(process {}) holds", scene.daemon.pid());
    assert!(stderr(&output).contains(&named), "{}", stderr(&output));
}
