//! Page, API, metrics and health checks of the real program, over real sockets.

mod connections;
mod hostile;
mod test_server;
mod page;
mod readers;
mod stream;
mod stalled;
mod listener;
mod status;

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use avatar_watch::domain::time::timestamp::Timestamp;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::argil::FakeArgil;
use crate::harness::config::{Config, NO_PAGE, TOKEN};
use crate::harness::daemon::{Bench, Running, stderr, stdout, wait_until};
use crate::harness::http::{Answer, ask, get};
use crate::harness::webhook::{self, Receiver};

/// The header with the token of the page.
const BEARER: &str = "authorization: Bearer canary-token-9c0e";

/// A daemon with a page that watches `a1` and `a2`, with its API and receiver.
struct Scene {
    argil: FakeArgil,
    receiver: Receiver,
    bench: Bench,
    daemon: Running,
    page: SocketAddr,
}

impl Scene {
    async fn new() -> Self {
        Self::with(|config| config).await
    }

    async fn with(more: impl Fn(Config) -> Config) -> Self {
        let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
        let config = Config::new(argil.base_url()).avatar("a1").avatar("a2");
        let config = more(config.webhook("ops", &receiver.url()).page());
        for id in ["a1", "a2"] {
            argil.set_status(id, "TRAINING");
        }
        let bench = Bench::new(config.text());
        let daemon = bench.start();
        let page = daemon.page();
        for id in ["a1", "a2"] {
            daemon.wait_for_log(&format!("avatar \"avatar {id}\": baseline"));
        }
        Self { argil, receiver, bench, daemon, page }
    }

    fn get(&self, path: &str) -> Answer {
        get(self.page, path)
    }

    /// Sends a change with the token.
    fn post(&self, path: &str) -> Answer {
        ask(self.page, "POST", path, &[BEARER])
    }

    /// Finishes the training of `a1` and waits until its delivery has a state.
    fn end(&self, state: &str) -> String {
        self.argil.set_status("a1", "IDLE");
        let rows = self.bench.wait_for_deliveries(state, |rows| {
            rows.first().is_some_and(|row| row["state"] == state)
        });
        rows[0]["id"].as_str().unwrap().to_owned()
    }
}

fn openapi() -> Value {
    serde_json::from_str(include_str!("../../src/web/openapi.json")).unwrap()
}

/// Checks a response against the OpenAPI document.
#[track_caller]
fn check_described(method: &str, path: &str, answer: &Answer) {
    let document = openapi();
    let operation = &document["paths"][path][method.to_ascii_lowercase()];
    let response = &operation["responses"][answer.status.to_string()];
    let shared = response["$ref"].as_str().and_then(|path| document.pointer(&path[1..]));
    let described = &shared.unwrap_or(response)["content"];
    let kind = answer.header("content-type");
    let schema = described[kind]["schema"].clone();
    assert!(schema.is_object(), "{method} {path}: {} as {kind} is not described", answer.status);
    check_schema(schema, &answer.json());
}

/// Checks a value against a schema of the OpenAPI document.
#[track_caller]
fn check_schema(mut schema: Value, value: &Value) {
    let document = openapi();
    schema["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let wrong: Vec<String> = validator.iter_errors(value).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?} in {value:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_prints_the_objects_of_the_api() {
    let scene = Scene::new().await;
    let id = scene.end("delivered");
    let all = |name: &str| json!({"type": "array", "items": one(name)});
    let check = |arguments: &[&str], schema: Value| {
        let value = scene.bench.json(&[arguments, &["--json"]].concat());
        check_schema(schema, &value);
        value
    };
    let api = |path: &str| scene.get(&format!("/api/v1/{path}")).json();
    let backwards =
        |rows: &Value| -> Value { rows.as_array().unwrap().iter().rev().cloned().collect() };

    let mut status = check(&["status"], one("Status"));
    check(&["status", "a1"], one("Status"));
    let mut avatars = status.as_object_mut().unwrap().remove("avatars").unwrap();
    let mut seen = api("avatars")["avatars"].take();
    let mut answered = api("status");
    let next = seen[0]["next_poll_at"].as_str().and_then(Timestamp::parse_rfc3339).unwrap();
    let polled = seen[0]["last_seen_at"].as_str().and_then(Timestamp::parse_rfc3339).unwrap();
    assert!(next > polled && next.since(polled) <= Duration::from_secs(20), "{}", seen[0]);
    assert_eq!(avatars[0]["next_poll_at"], Value::Null, "the command line does not know it");
    // Polls without a change are known to the daemon only, and the times of the responses differ.
    for avatar in [&mut avatars, &mut seen].into_iter().flat_map(|all| all.as_array_mut().unwrap())
    {
        avatar["last_seen_at"] = Value::Null;
        avatar["next_poll_at"] = Value::Null;
        avatar["training_seconds"] = Value::Null;
    }
    for view in [&mut status, &mut answered] {
        view["now"] = Value::Null;
        view["accounts"][0]["last_success_at"] = Value::Null;
    }
    assert_eq!((avatars, status), (seen, answered));
    assert_eq!(check(&["channels"], all("Channel")), api("channels")["channels"]);
    let history = check(&["history"], all("Transition"));
    assert_eq!(backwards(&history), api("transitions")["transitions"]);
    let deliveries = check(&["deliveries"], all("Delivery"));
    assert_eq!(backwards(&deliveries), api("deliveries")["deliveries"]);
    let mut whole = check(&["deliveries", "show", &id], one("DeliveryWithAttempts"));
    assert!(whole.as_object_mut().unwrap().remove("message").is_some());
    assert_eq!(whole, api(&format!("deliveries/{id}")));
    check(&["channels", "pause", "ops"], one("Channel"));
    check(&["status"], one("Status"));
}

fn one(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_matches_the_openapi_document() {
    let scene = Scene::new().await;
    let id = scene.end("delivered");
    let check = |path: &str, described: &str, status: u16| {
        let answer = scene.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        check_described("GET", described, &answer);
        answer.json()
    };
    let status = check("/api/v1/status", "/api/v1/status", 200);
    assert_eq!((&status["avatars_watched"], &status["avatars_training"]), (&json!(2), &json!(1)));
    let avatars = check("/api/v1/avatars?limit=1", "/api/v1/avatars", 200);
    assert_eq!((&avatars["avatars"][0]["id"], &avatars["next"]), (&json!("a1"), &json!("a1")));
    let rest = check("/api/v1/avatars?after=a1&status=TRAINING", "/api/v1/avatars", 200);
    assert_eq!((&rest["avatars"][0]["id"], &rest["next"]), (&json!("a2"), &Value::Null));
    check("/api/v1/avatars?limit=0", "/api/v1/avatars", 400);
    let avatar = check("/api/v1/avatars/A1", "/api/v1/avatars/{id}", 200);
    assert_eq!((&avatar["status"], &avatar["configured"]), (&json!("IDLE"), &json!(true)));
    assert_eq!(avatar["routes"][0]["reason"], "every avatar");
    check("/api/v1/avatars/unknown", "/api/v1/avatars/{id}", 404);
    check("/api/v1/avatars/%FF", "/api/v1/avatars/{id}", 400);
    let path = "/api/v1/avatars/{id}/transitions";
    let newest = check("/api/v1/avatars/a1/transitions?limit=1", path, 200);
    assert_eq!(newest["transitions"][0]["status"], "IDLE");
    let before = format!("/api/v1/avatars/a1/transitions?before={}", newest["next"]);
    let first = check(&before, path, 200);
    assert_eq!(first["transitions"][0]["status"], "TRAINING");
    assert_eq!((first["transitions"].as_array().unwrap().len(), &first["next"]), (1, &Value::Null));
    let all = check("/api/v1/transitions", "/api/v1/transitions", 200);
    assert_eq!(all["transitions"].as_array().unwrap().len(), 3);
    let path = "/api/v1/deliveries";
    let found = check("/api/v1/deliveries?state=delivered&channel=ops&avatar=a1", path, 200);
    assert_eq!(found["deliveries"][0]["id"], json!(id));
    let none = check("/api/v1/deliveries?state=dead", path, 200);
    assert_eq!(none["deliveries"], json!([]));
    check(&format!("/api/v1/deliveries?before={id}"), path, 200);
    check("/api/v1/deliveries?state=lost", path, 400);
    let whole = check(&format!("/api/v1/deliveries/{id}"), "/api/v1/deliveries/{id}", 200);
    assert_eq!(whole["attempt_log"][0]["code"], 200);
    check("/api/v1/deliveries/dlv_0", "/api/v1/deliveries/{id}", 404);
    let channels = check("/api/v1/channels", "/api/v1/channels", 200);
    assert_eq!(channels["channels"][0]["kind"], "webhook, standard");
    check("/api/v1/openapi.json", "/api/v1/openapi.json", 200);
    assert_eq!(scene.get("/api/v1/nothing").status, 404);
    let wrong = ask(scene.page, "DELETE", "/api/v1/avatars", &[BEARER]);
    assert_eq!((wrong.status, wrong.header("allow")), (405, "GET,HEAD"));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_parameters_are_rejected_by_the_api_and_ignored_by_the_page() {
    let scene = Scene::new().await;
    let document = openapi();
    let paths = document["paths"].as_object().unwrap();
    for (described, operations) in paths {
        for method in operations.as_object().unwrap().keys() {
            let path = described.replace("{id}", "a1").replace("{name}", "ops");
            let asked = format!("{path}?stauts=TRAINING");
            let answer = ask(scene.page, &method.to_uppercase(), &asked, &[BEARER]);
            assert_eq!(answer.status, 400, "{method} {path}: {}", answer.body);
            check_described(method, described, &answer);
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.starts_with("unknown query parameter `stauts`; "), "{path}: {detail}");
            // It lists all known parameters.
            for known in operations[method]["parameters"].as_array().into_iter().flatten() {
                let named = format!("`{}`", known["name"].as_str().unwrap());
                assert!(known["in"] != "query" || detail.contains(&named), "{path}: {detail}");
            }
        }
    }
    for path in ["/", "/avatars/a1", "/deliveries", "/metrics", "/healthz"] {
        assert_eq!(scene.get(&format!("{path}?utm_source=mail")).status, 200, "{path}");
    }
    assert_eq!(scene.get("/deliveries?state=lost").status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_retried_with_its_id_and_only_with_the_token() {
    let scene = Scene::new().await;
    scene.receiver.script((0..6).map(|_| webhook::Answer::status(500)));
    let id = scene.end("dead");
    let path = format!("/api/v1/deliveries/{id}/retry");
    let described = "/api/v1/deliveries/{id}/retry";
    let check = |headers: &[&str], status: u16| {
        let answer = ask(scene.page, "POST", &path, headers);
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.body);
        check_described("POST", described, &answer);
        answer
    };
    let refused = check(&[], 401);
    assert!(refused.header("www-authenticate").starts_with("Basic "));
    check(&["authorization: Bearer canary-token-9c0"], 401);
    check(&[BEARER, "origin: http://evil.example"], 403);
    check(&[BEARER, "sec-fetch-site: cross-site"], 403);
    check(&[BEARER, "host: evil.example"], 421);
    let unknown = ask(scene.page, "POST", "/api/v1/deliveries/dlv_0/retry", &[BEARER]);
    check_described("POST", described, &unknown);
    assert_eq!(unknown.status, 404);
    assert_eq!(scene.receiver.received().len(), 6, "none of them sent anything");
    check(&[BEARER, &format!("origin: http://{}", scene.page)], 202);
    let received = scene.receiver.wait_for(7).await;
    let (first, last) = (&received[0], &received[6]);
    assert_eq!(first.header("webhook-id"), last.header("webhook-id"));
    assert_eq!(first.body, last.body);
    scene.bench.wait_for_deliveries("the successor", |rows| {
        rows.len() == 2 && rows[1]["state"] == "delivered"
    });
    let refused = check(&[BEARER, &format!("origin: http://{}", scene.page)], 409);
    assert!(refused.body.contains("the delivery was sent again as dlv_"), "{}", refused.body);
    let page = scene.get(&format!("/deliveries/{id}")).body;
    assert!(page.contains("sent again as <a href=\"/deliveries/dlv_"), "{page}");
    assert!(!page.contains("Send again<"), "{page}");
    assert!(!scene.get("/deliveries?state=resent").body.contains("Send again<"));
    assert_eq!(scene.receiver.received().len(), 7);
}

/// The locks of the daemon on its database, in the form of `/proc/locks`: SQLite's own.
fn locks(scene: &Scene) -> Vec<String> {
    let inode = std::fs::metadata(scene.bench.database()).unwrap().ino();
    let (pid, inode) = (scene.daemon.pid().to_string(), format!(":{inode}"));
    let list = std::fs::read_to_string("/proc/locks").unwrap();
    let is_of_daemon = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.contains(&pid.as_str()) && words.iter().any(|word| word.ends_with(&inode))
    };
    list.lines().filter(is_of_daemon).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_releases_the_locks_of_the_daemon_on_its_database() {
    let scene = Scene::new().await;
    scene.receiver.script((0..6).map(|_| webhook::Answer::status(500)));
    let dead = scene.end("dead");
    assert!(!locks(&scene).is_empty(), "it holds a lock while the database is open");
    let delivery = format!("/deliveries/{dead}");
    for path in ["/", "/avatars/a1", "/deliveries", &delivery, "/metrics", "/readyz"] {
        assert_eq!(scene.get(path).status, 200, "{path}");
        assert!(!locks(&scene).is_empty(), "after GET {path}");
    }
    let retry = format!("/api/v1/deliveries/{dead}/retry");
    for path in [
        "/api/v1/deliveries/dlv_0/retry",
        &retry,
        &retry,
        "/api/v1/avatars/a1/poll",
        "/api/v1/channels/ops/test",
    ] {
        assert_ne!(scene.post(path).status, 401, "{path}");
        assert!(!locks(&scene).is_empty(), "after POST {path}");
    }
    // Without the locks, the last connection of another process removes the log.
    scene.bench.run(&["channels", "pause", "ops"]);
    scene.bench.run(&["channels", "resume", "ops"]);
    scene.argil.set_status("a2", "REFUSED");
    scene.daemon.wait_for_log("TRAINING -> REFUSED");
    let history = scene.bench.json(&["history", "a2", "--json"]);
    assert_eq!(history[1]["status"], "REFUSED", "a command reads what the daemon wrote");
    scene.bench.prints(&["db", "verify"], 0, &["sound"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_avatar_is_polled_now_and_a_channel_is_tested() {
    let scene = Scene::with(|config| {
        let often = "training = { min = \"20ms\", max = \"20ms\" }";
        Config::from(config.text().replace(often, "training = { min = \"1h\", max = \"1h\" }"))
    })
    .await;
    let polls = scene.argil.count("a1");
    let answer = scene.post("/api/v1/avatars/a1/poll");
    assert_eq!(answer.status, 202, "{}", answer.body);
    check_described("POST", "/api/v1/avatars/{id}/poll", &answer);
    wait_until("the poll", || scene.argil.count("a1") > polls);
    let unknown = scene.post("/api/v1/avatars/unknown/poll");
    assert_eq!(unknown.status, 404);
    check_described("POST", "/api/v1/avatars/{id}/poll", &unknown);
    scene.receiver.script([webhook::Answer::status(204), webhook::Answer::status(418)]);
    let described = "/api/v1/channels/{name}/test";
    let tested = scene.post("/api/v1/channels/ops/test");
    check_described("POST", described, &tested);
    assert_eq!(tested.json()["delivered"], true);
    let refused = scene.post("/api/v1/channels/ops/test");
    check_described("POST", described, &refused);
    let refused = refused.json();
    assert_eq!(
        (&refused["delivered"], &refused["recipients"][0]["code"]),
        (&json!(false), &json!(418))
    );
    assert_eq!(scene.post("/api/v1/channels/unknown/test").status, 404);
    assert!(scene.bench.deliveries().is_empty(), "a trial is no news");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_count_polls_attempts_and_deliveries() {
    let scene = Scene::new().await;
    scene.receiver.script([webhook::Answer::status(500)]);
    scene.end("delivered");
    let answer = scene.get("/metrics");
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    let value = |metric: &str| {
        let line = answer.body.lines().find_map(|line| line.strip_prefix(metric));
        line.unwrap_or_else(|| panic!("no `{metric}` in {}", answer.body)).trim().to_owned()
    };
    assert_eq!(value("avatar_watch_transitions_total{status=\"IDLE\"}"), "1");
    let attempts = |outcome: &str| {
        value(&format!("avatar_watch_attempts_total{{channel=\"ops\",outcome=\"{outcome}\"}}"))
    };
    assert_eq!((attempts("retryable").as_str(), attempts("delivered").as_str()), ("1", "1"));
    let ended = "avatar_watch_deliveries_total{channel=\"ops\",outcome=\"delivered\"}";
    assert_eq!(value(ended), "1");
    assert_eq!(value("avatar_watch_delivery_latency_seconds_count{channel=\"ops\"}"), "1");
    let dwell: f64 =
        value("avatar_watch_delivery_latency_seconds_sum{channel=\"ops\"}").parse().unwrap();
    assert!((0.01..20.0).contains(&dwell), "{dwell}: it waited for its second try");
    assert_eq!(value("avatar_watch_avatars{status=\"TRAINING\"}"), "1");
    assert_eq!(value("avatar_watch_avatars{status=\"IDLE\"}"), "1");
    assert_eq!(value("avatar_watch_deliveries_pending{channel=\"ops\"}"), "0");
    assert_eq!(value("avatar_watch_oldest_undelivered_age_seconds "), "0.0");
    assert_eq!(value("avatar_watch_config_last_reload_successful "), "1");
    let age = value("avatar_watch_account_last_success_age_seconds{account=\"argil\"}");
    assert!(age.parse::<f64>().unwrap() < 20.0);
    let seen = value("avatar_watch_polls_total{account=\"argil\",outcome=\"seen\"}");
    assert!(seen.parse::<usize>().unwrap() >= 3);
    let open = ["accept: application/openmetrics-text;version=1.0.0"];
    let open = ask(scene.page, "GET", "/metrics", &open);
    assert!(open.header("content-type").starts_with("application/openmetrics-text"));
    assert!(open.body.ends_with("# EOF\n"));
    scene.bench.configure("[[[");
    scene.daemon.signal(Signal::HUP);
    wait_until("the reload to be counted", || {
        scene.get("/metrics").body.contains("config_last_reload_successful 0")
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_the_access_rules_without_closing_the_listener() {
    let scene = Scene::new().await;
    let named = ["host: watch.example.com"];
    assert_eq!(ask(scene.page, "GET", "/", &named).status, 421);
    let config = std::fs::read_to_string(scene.bench.config()).unwrap();
    let named_too = format!("token = \"{TOKEN}\"\nhosts = [\"watch.example.com\"]\n");
    scene.bench.configure(&config.replace(&format!("token = \"{TOKEN}\"\n"), &named_too));
    scene.daemon.signal(Signal::HUP);
    scene.daemon.wait_for_log("config reloaded: the web changed");
    // With `hosts`, reading requires the token, at any name.
    assert_eq!(ask(scene.page, "GET", "/", &named).status, 401);
    assert_eq!(scene.get("/metrics").status, 401);
    let shown = ["host: watch.example.com", BEARER];
    assert_eq!(ask(scene.page, "GET", "/", &shown).status, 200);
    scene.bench.configure(&config.replace("token = ", "read = \"public\"\ntoken = "));
    scene.daemon.signal(Signal::HUP);
    scene.daemon.wait_for_log("`read` from `token` to `public`");
    let passed_on = ["x-forwarded-for: 192.0.2.1"];
    assert_eq!(ask(scene.page, "GET", "/", &passed_on).status, 200);
    assert_eq!(ask(scene.page, "POST", "/avatars/a1/poll", &passed_on).status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_moves_the_page_to_another_address_of_its_port() {
    let scene = Scene::new().await;
    let port = scene.page.port();
    let config = std::fs::read_to_string(scene.bench.config()).unwrap();
    scene.bench.configure(&config.replace("127.0.0.1:0\"", &format!("0.0.0.0:{port}\"")));
    scene.daemon.signal(Signal::HUP);
    const SAYS: &str = "config reloaded: the web changed";
    scene.daemon.wait_for_log(SAYS);
    // On a network address, reading requires the token.
    assert_eq!(scene.get("/").status, 401);
    scene.bench.configure(&config.replace("127.0.0.1:0\"", &format!("127.0.0.1:{port}\"")));
    scene.daemon.signal(Signal::HUP);
    wait_until("the way back", || scene.daemon.log().matches(SAYS).count() == 2);
    assert_eq!(scene.get("/").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_with_an_unavailable_listen_address_changes_nothing() {
    let scene = Scene::new().await;
    let port = scene.page.port();
    let _beside = std::net::TcpListener::bind(("127.0.0.2", port)).unwrap();
    let config = std::fs::read_to_string(scene.bench.config()).unwrap();
    let moved = config.replace("127.0.0.1:0\"", &format!("0.0.0.0:{port}\""));
    scene.bench.configure(&moved.replace("channels.ops", "channels.other"));
    scene.daemon.signal(Signal::HUP);
    scene.daemon.wait_for_log(&format!("cannot listen on `0.0.0.0:{port}`"));
    let channels = scene.bench.json(&["channels", "--json"]);
    let known: Vec<_> =
        channels.as_array().unwrap().iter().map(|it| (&it["name"], &it["configured"])).collect();
    assert_eq!(known, [(&"ops".into(), &true.into())]);
    wait_until("the page where it was", || {
        std::net::TcpStream::connect(scene.page).is_ok() && scene.get("/").status == 200
    });
}

#[test]
fn only_a_configured_listen_address_must_be_available() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let argil = FakeArgil::start();
    argil.set_status("a1", "IDLE");
    let config = Config::new(argil.base_url()).avatar("a1");
    // Both are temporary: the other program may end, and the interface may come up.
    for (address, why) in
        [(address.to_string(), "in use"), ("192.0.2.1:80".to_owned(), "requested")]
    {
        let web = format!("\n[web]\nlisten = \"{address}\"\ntoken = \"{TOKEN}\"\n");
        let output = Bench::new(&config.text().replace(NO_PAGE, &web)).run(&["run"]);
        assert_eq!(output.status.code(), Some(75), "{output:?}");
        let error = stderr(&output);
        assert!(error.contains(&format!("cannot listen on `{address}`")), "{error}");
        assert!(error.contains(why), "{error}");
    }
    // A daemon of the developer may already use the port; that is fine too.
    let held = std::net::TcpListener::bind("127.0.0.1:8787").ok();
    let bench = Bench::new(&config.text().replace(NO_PAGE, ""));
    let daemon = bench.start();
    daemon.wait_for_log("status page disabled: address `127.0.0.1:8787` is already in use");
    daemon.wait_for_log("avatar \"avatar a1\": baseline IDLE");
    // A reload opens the address if it is free again, or the new one.
    match held {
        Some(held) => drop(held),
        None => bench.configure(config.page().text()),
    }
    daemon.signal(Signal::HUP);
    assert_eq!(get(daemon.page(), "/healthz").status, 200);
    assert!(daemon.stop().success());
}
