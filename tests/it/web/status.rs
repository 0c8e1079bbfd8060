//! The page, the API and the command line never disagree about how all is.

use super::*;
use crate::harness::argil;

/// What the page, the API and the command line make of it: the same verdict, the same findings.
#[track_caller]
fn check(scene: &Scene, verdict: &str, headline: &str, finding: &str) {
    wait_until(&format!("`{verdict}` with `{finding}`"), || {
        let api = scene.get("/api/v1/status");
        check_described("GET", "/api/v1/status", &api);
        let api = api.json();
        let said: Vec<&str> = texts(&api).collect();
        let is_found = match finding {
            "" => said.is_empty(),
            finding => said.iter().any(|text| text.contains(finding)),
        };
        api["status"] == verdict && is_found && agrees(scene, &api, headline)
    });
}

/// Whether the page and the command line say what the API says.
fn agrees(scene: &Scene, api: &Value, headline: &str) -> bool {
    let cli = scene.bench.json(&["status", "--json"]);
    let findings = |view: &Value| texts(view).map(ageless).collect::<Vec<_>>();
    let home = scene.get("/").body;
    let shown = stdout(&scene.bench.run(&["status"]));
    // It may have changed in between.
    (&cli["status"], findings(&cli)) == (&api["status"], findings(api))
        && home.contains(&format!("<h1 id=\"summary-title\">{headline}</h1>"))
        && shown.contains(&format!("\n{headline}: "))
}

fn texts(view: &Value) -> impl Iterator<Item = &str> {
    view["findings"].as_array().unwrap().iter().map(|it| it["text"].as_str().unwrap())
}

/// Without the age, which grows while one asks after the other.
fn ageless(text: &str) -> String {
    text.split(", the oldest for ").next().unwrap().to_owned()
}

const WELL: &str = "All is well";
const NOTE: &str = "Nothing is wrong, with a note";
const LOOK: &str = "Something needs a look";
const WRONG: &str = "Something is wrong";

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_not_told_is_no_part_of_all_is_well() {
    let scene = Scene::new().await;
    check(&scene, "ok", WELL, "");
    scene.bench.run(&["channels", "pause", "ops"]);
    check(&scene, "note", NOTE, "channel ops is paused");
    scene.argil.set_status("a1", "IDLE");
    check(&scene, "note", NOTE, "1 message waiting for channel ops, which is paused");
    scene.receiver.script([webhook::Answer::status(410)]);
    scene.bench.run(&["channels", "resume", "ops"]);
    check(&scene, "critical", WRONG, "channel ops is DISABLED");
    scene.bench.run(&["channels", "enable", "ops"]);
    scene.bench.wait_for_deliveries("what waited", |rows| rows[0]["state"] == "delivered");
    check(&scene, "ok", WELL, "");
    let config = std::fs::read_to_string(scene.bench.config()).unwrap();
    scene.bench.run(&["channels", "pause", "ops"]);
    scene.argil.set_status("a2", "IDLE");
    check(&scene, "note", NOTE, "1 message waiting for channel ops");
    scene.bench.configure(&config.replace("[channels.ops]", "[channels.other]"));
    scene.daemon.signal(Signal::HUP);
    check(&scene, "warning", LOOK, "1 message waiting for channel ops, which is not in the config");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_seen_or_was_given_up_is_no_part_of_all_is_well() {
    let scene = Scene::new().await;
    scene.receiver.script((0..6).map(|_| webhook::Answer::status(500)));
    scene.end("failed");
    check(&scene, "critical", WRONG, "1 dead letter of channel ops");
    scene.bench.run(&["deliveries", "retry", "--failed"]);
    check(&scene, "ok", WELL, "");
    scene.argil.remove("a2");
    check(&scene, "warning", LOOK, "a2");
    scene.argil.set_status("a2", "TRAINING");
    check(&scene, "ok", WELL, "");
    scene.argil.answer_with(|_| Some(argil::Answer::status(401, "{}")));
    check(&scene, "critical", WRONG, "account.unavailable for account argil");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_fails_is_a_note() {
    let scene = Scene::new().await;
    scene
        .argil
        .answer_with(|request| (request.avatar == "a1").then(|| argil::Answer::status(500, "{}")));
    check(&scene, "note", NOTE, "avatar a1 is failed: ");
}

/// A daemon whose page is at a place that the config names.
async fn at_a_known_place() -> Scene {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = free.local_addr().unwrap();
    drop(free);
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    argil.set_status("a1", "TRAINING");
    let config = Config::new(argil.base_url()).avatar("a1").webhook("ops", &receiver.url()).page();
    let bench = Bench::new(&config.text().replace("127.0.0.1:0", &place.to_string()));
    let daemon = bench.start();
    let page = daemon.page();
    daemon.wait_for_log("avatar `a1`: baseline");
    Scene { argil, receiver, bench, daemon, page }
}

/// Takes as long as the store waits for a lock, in real time.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_written_is_no_part_of_all_is_well() {
    let scene = at_a_known_place().await;
    check(&scene, "ok", WELL, "");
    let beside = rusqlite::Connection::open(scene.bench.database()).unwrap();
    beside.execute_batch("BEGIN IMMEDIATE").unwrap();
    scene.argil.set_status("a1", "IDLE");
    check(&scene, "critical", WRONG, "the database cannot be written");
    let ready = scene.get("/readyz");
    assert_eq!((ready.status, &ready.json()["ready"]), (503, &false.into()));
    assert!(scene.get("/metrics").body.contains("\navatar_watch_database_writable 0\n"));
    let line = stdout(&scene.bench.run(&["status", "--check"]));
    assert!(line.starts_with("AVATAR-WATCH CRITICAL: the database cannot be written"), "{line}");
    beside.execute_batch("ROLLBACK").unwrap();
    check(&scene, "ok", WELL, "");
    assert!(scene.get("/metrics").body.contains("\navatar_watch_database_writable 1\n"));
}

/// Takes as long as a page is waited for, in real time.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_hangs_is_not_taken_for_one_that_does_well() {
    let scene = at_a_known_place().await;
    scene.daemon.signal(Signal::STOP);
    let output = scene.bench.run(&["status", "--check"]);
    let line = stdout(&output);
    assert!(line.starts_with("AVATAR-WATCH CRITICAL: the daemon does not answer at"), "{line}");
    assert_eq!(output.status.code(), Some(2));
    scene.daemon.signal(Signal::CONT);
    check(&scene, "ok", WELL, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_hears_who_holds_the_database_and_not_who_has_the_place() {
    let scene = at_a_known_place().await;
    let output = scene.bench.run(&["run"]);
    assert_eq!(output.status.code(), Some(75));
    let named = format!("(process {}) holds", scene.daemon.pid());
    assert!(stderr(&output).contains(&named), "{}", stderr(&output));
}
