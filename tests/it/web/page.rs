//! The page in a browser without scripts.

use super::*;
use crate::harness::argil::Answer as ApiAnswer;

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_training_finished_and_failed() {
    let scene = Scene::new().await;
    let home = scene.get("/").body;
    assert!(
        home.contains("<h1 id=\"summary-title\">Watching works</h1>")
            && home.contains("2 in training"),
        "{home}"
    );
    scene.receiver.script((0..6).map(|_| webhook::Answer::status(500)));
    let id = scene.end("dead");
    let home = scene.get("/").body;
    assert!(home.contains("<h1 id=\"summary-title\">Channel ops has 1 dead letter</h1>"), "{home}");
    assert!(home.contains("<strong>1 dead letter</strong>"), "{home}");
    assert!(home.contains(&format!("action=\"/deliveries/{id}/retry\"")), "{home}");
    let finished =
        home.split("id=\"finished\"").nth(1).unwrap().split("</section>").next().unwrap();
    assert!(finished.contains("/avatars/a1") && finished.contains(">ready<"), "{finished}");
    let channels =
        home.split("id=\"connections\"").nth(1).unwrap().split("</section>").next().unwrap();
    assert!(channels.contains(">OK<") && channels.contains("webhook, standard"), "{channels}");
    let avatar = scene.get("/avatars/a1").body;
    assert!(avatar.contains("<rect class=\"busy\"") && avatar.contains("<rect class=\"good\""));
    assert_eq!(avatar.matches("<td data-label=\"Code\">500</td>").count(), 6, "{avatar}");
    assert_eq!(scene.get("/deliveries?state=dead").status, 200);
    assert!(scene.get(&format!("/deliveries/{id}")).body.contains("in every attempt"));
    for nothing in ["/avatars/unknown", "/deliveries/dlv_0", "/nothing"] {
        let answer = scene.get(nothing);
        assert_eq!(answer.status, 404);
        assert!(answer.body.contains("Back to the overview"), "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_requires_a_login_and_redirects_to_the_page() {
    let scene = Scene::new().await;
    let id = scene.end("delivered");
    let path = format!("/deliveries/{id}/retry");
    let refused = ask(scene.page, "POST", &path, &[]);
    assert_eq!(refused.status, 401);
    assert!(refused.header("content-type").starts_with("text/html"), "a browser shows it");
    let origin = format!("origin: http://{}", scene.page);
    // `anyone:canary-token-9c0e`, as a browser sends it.
    let login = "authorization: Basic YW55b25lOmNhbmFyeS10b2tlbi05YzBl";
    let done = ask(scene.page, "POST", &path, &[login, &origin]);
    assert_eq!(done.status, 303, "{}", done.body);
    assert!(done.header("location").starts_with("/deliveries/dlv_"));
    assert_eq!(scene.get(done.header("location")).status, 200);
    let polled = ask(scene.page, "POST", "/avatars/a1/poll", &[login, &origin]);
    assert_eq!((polled.status, polled.header("location")), (303, "/avatars/a1"));
    let tested = ask(scene.page, "POST", "/channels/ops/test", &[login, &origin]);
    assert!(tested.status == 200 && tested.body.contains(">delivered<"), "{}", tested.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_responses_from_outside_are_escaped() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let evil = "<script>alert(1)</script>\"'&\u{202e}\u{1b}[2J";
    let avatar = |status: &str| {
        json!({"id": "a1", "name": evil, "status": status, "model": evil, "orientation": evil,
               "extras": {evil: evil}, "createdAt": evil, "updatedAt": evil,
               "thumbnailUrl": format!("javascript:alert(1)//{evil}")})
    };
    argil.set_avatar("a1", avatar("TRAINING"));
    let linked = json!({"id": "a2", "status": "IDLE", "thumbnailUrl": "data:text/html,<b>x"});
    argil.set_avatar("a2", linked);
    receiver.script([webhook::Answer::status(500).body(evil)]);
    let config = Config::new(argil.base_url()).avatar("a1").avatar("a2").avatar("a3");
    let config = config.webhook("ops", &receiver.url());
    let refused = json!({"code": evil, "message": evil, "error": evil}).to_string();
    for _ in 0..100 {
        argil.answer_next("a3", ApiAnswer::status(422, refused.clone()));
    }
    let bench = Bench::new(config.page().text());
    let daemon = bench.start();
    let page = daemon.page();
    daemon.wait_for_log(": baseline ");
    wait_until("a failure on the page", || get(page, "/avatars/a3").body.contains("422"));
    argil.set_avatar("a1", avatar("<b>NEW</b>"));
    daemon.wait_for_log("TRAINING -> ");
    argil.set_avatar("a1", avatar("IDLE"));
    let rows = bench.wait_for_deliveries("a delivery", |rows| {
        rows.first().is_some_and(|row| row["state"] == "delivered")
    });
    let delivery = format!("/deliveries/{}", rows[0]["id"].as_str().unwrap());
    let asked = "%3Cscript%3Ealert(1)%3C/script%3E%1b%5b2J";
    for (path, shows) in [
        ("/", true),
        ("/avatars/a1", true),
        ("/avatars/a2", false),
        ("/avatars/a3", false),
        (&delivery, true),
        (&format!("/avatars/{asked}"), false),
        (&format!("/deliveries/{asked}"), false),
        (&format!("/deliveries?state={asked}&channel={asked}&avatar={asked}"), true),
        (&format!("/deliveries?before={asked}"), false),
        (&format!("/?{asked}={asked}"), false),
        (&format!("/{asked}"), false),
    ] {
        let answer = get(page, path);
        assert!(!shows || answer.body.contains("&#60;script&#62;"), "{path}: {}", answer.body);
        for raw in
            ["<script>alert", "<b>", "href=\"javascript:", "href=\"data:", "\u{202e}", "\u{1b}"]
        {
            assert!(!answer.body.contains(raw), "{raw:?} is in {path}: {}", answer.body);
        }
        if path == "/avatars/a1" {
            assert!(answer.body.contains("&#38; [2J</h1>"), "{}", answer.body);
        }
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
        for (name, expected) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", "no-store"),
            ("access-control-allow-origin", ""),
        ] {
            assert_eq!(answer.header(name), expected, "{path}: {name}");
        }
        assert!(!answer.body.contains(" style=") && !answer.body.contains(" onclick="));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_avatar_with_an_invisible_name_is_shown_by_its_id() {
    let argil = FakeArgil::start();
    argil.set_avatar("a1", json!({"id": "a1", "status": "IDLE", "name": " \u{200b}\u{3164}"}));
    let labelled = "\n[[avatars]]\nid = \"a2\"\nname = \"\u{2800}\"\n";
    argil.set_avatar("a2", json!({"id": "a2", "status": "IDLE", "name": "Jane"}));
    let bench = Bench::new(Config::new(argil.base_url()).avatar("a1").with(labelled).page().text());
    let daemon = bench.start();
    let page = daemon.page();
    for id in ["a1", "a2"] {
        daemon.wait_for_log(&format!(": baseline IDLE account=argil avatar.id={id}"));
    }
    let home = get(page, "/").body;
    assert!(home.contains("<a href=\"/avatars/a1\">a1</a>"), "{home}");
    assert!(home.contains("<a href=\"/avatars/a2\">Jane</a>"), "{home}");
    assert!(get(page, "/avatars/a1").body.contains("<h1 id=\"avatar-title\">a1</h1>"));
    assert_eq!(get(page, "/api/v1/avatars/a1").json()["name"], Value::Null);
    assert_eq!(bench.json(&["status", "a1", "--json"])["avatars"][0]["name"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_links_unless_the_config_enables_them() {
    let argil = FakeArgil::start();
    let picture = "https://cdn.example.com/a.png?sig=1&x=2";
    argil.set_avatar("a1", json!({"id": "a1", "status": "IDLE", "thumbnailUrl": picture}));
    let config = Config::new(argil.base_url()).avatar("a1").page();
    let bench = Bench::new(config.text());
    let daemon = bench.start();
    let page = daemon.page();
    daemon.wait_for_log(": baseline ");
    let answer = get(page, "/avatars/a1");
    let link =
        "<a href=\"https://cdn.example.com/a.png?sig=1&#38;x=2\" rel=\"noreferrer noopener\"";
    assert!(answer.body.contains(link) && !answer.body.contains("<img"), "{}", answer.body);
    assert!(!answer.header("content-security-policy").contains("https:"));
    bench.configure(&config.text().replace("token = ", "thumbnails = true\ntoken = "));
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("`thumbnails` from `false` to `true`");
    let answer = get(page, "/avatars/a1");
    assert!(answer.body.contains("<img"), "{}", answer.body);
    assert!(answer.header("content-security-policy").contains("img-src 'self' https:;"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_below_a_path_has_links_below_it() {
    let url = "public_url = \"https://watch.example.com/argil\"\ntoken = ";
    let below = |config: Config| Config::from(config.text().replace("token = ", url));
    let scene = Scene::with(below).await;
    // A proxy may remove the path, or not.
    for path in ["/argil/", "/"] {
        let home = scene.get(path);
        assert_eq!(home.status, 200, "{path}");
        assert!(home.body.contains("<a href=\"/argil/avatars/a1\">"), "{}", home.body);
        assert!(home.body.contains("src=\"/argil/assets/"), "{}", home.body);
        assert!(!home.body.contains("href=\"/avatars"), "{}", home.body);
    }
    assert_eq!(scene.get("/argil/avatars/a1").status, 200);
    assert_eq!(scene.get("/argil/api/v1/status").json()["status"], "ok");
    assert_eq!(scene.get("/argilx/").status, 404);
    let origin = format!("origin: http://{}", scene.page);
    let login = "authorization: Basic YW55b25lOmNhbmFyeS10b2tlbi05YzBl";
    let polled = ask(scene.page, "POST", "/argil/avatars/a1/poll", &[login, &origin]);
    assert_eq!((polled.status, polled.header("location")), (303, "/argil/avatars/a1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_that_no_operator_is_notified_and_until_when_a_channel_is_paused() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let config = Config::new(argil.base_url()).avatar("a1").webhook("ops", &receiver.url()).page();
    let bench = Bench::new(config.text());
    let daemon = bench.start_training(&argil);
    let warning = "No channel has <code>operator = true</code>";
    let home = |page| ask(page, "GET", "/", &[]).body;
    assert!(home(daemon.page()).contains(warning));
    let reason = ["--reason", "on holiday"];
    let pause = [&["channels", "pause", "ops", "--until", "2099-12-01T08:00Z"], &reason[..]];
    bench.prints(&pause.concat(), 0, &["paused"]);
    let shown = home(daemon.page());
    assert!(shown.contains("until 2099-12-01 08:00:00 UTC (on holiday)"), "{shown}");
    assert!(daemon.stop().success());
    let bench = Bench::new(&config.text().replace("secret =", "operator = true\nsecret ="));
    let daemon = bench.start_training(&argil);
    assert!(!home(daemon.page()).contains(warning));
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_poll_is_never_in_the_past_while_the_rate_is_short() {
    let argil = FakeArgil::start();
    let ids: Vec<String> = (1..=12).map(|number| format!("a{number}")).collect();
    let all: Vec<&str> = ids.iter().map(String::as_str).collect();
    argil.set_all(&all, "TRAINING");
    let config = all.iter().fold(Config::new(argil.base_url()), |config, id| config.avatar(id));
    let slow = config.page().text().replace("second = 10000", "second = 4");
    let bench = Bench::new(&slow);
    let daemon = bench.start_training(&argil);
    argil.wait_until("every avatar is due again", |requests| requests.len() > 14).await;
    let now = std::time::SystemTime::now();
    let avatars: Value = ask(daemon.page(), "GET", "/api/v1/avatars", &[]).json();
    let next = avatars["avatars"].as_array().unwrap().iter();
    let next: Vec<_> = next.filter_map(|avatar| avatar["next_poll_at"].as_str()).collect();
    assert!(!next.is_empty(), "{avatars}");
    for at in next {
        let at = humantime::parse_rfc3339(at).unwrap();
        assert!(at + Duration::from_millis(1) >= now, "{at:?} is before {now:?}");
    }
    assert!(daemon.stop().success());
}
