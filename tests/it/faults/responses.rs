//! Responses, and how each of them is classified.

use avatar_watch::domain::event::EventKind;
use avatar_watch::domain::polling::poll_failure::FailureKind;
use serde_json::json;

use super::scene::{Scene, given, sorted};
use crate::harness::argil::{Answer, FakeArgil};
use crate::harness::fake_notifier::FakeNotifier;
use crate::harness::plans::{seconds, with_channel};

/// An avatar, its response, and the expected text of its failure.
type Case<'a> = (&'a str, Answer, &'a str);

async fn scene_of<'a>(cases: &[Case<'a>]) -> (Scene, Vec<(&'a str, &'a str)>) {
    let answers: Vec<(&str, Answer)> =
        cases.iter().map(|(avatar, answer, _)| (*avatar, answer.clone())).collect();
    let faults = cases.iter().map(|(avatar, _, reason)| (*avatar, *reason)).collect();
    (given(&answers).await, faults)
}

/// Transient responses.
async fn check_passing(cases: &[Case<'_>]) {
    let (scene, faults) = scene_of(cases).await;
    scene.check_passing(&faults).await;
}

/// Permanent responses.
async fn check_permanent(cases: &[Case<'_>]) {
    let (scene, faults) = scene_of(cases).await;
    scene.check_permanent(&faults, FailureKind::Failed).await;
}

fn ok(body: impl Into<Vec<u8>>) -> Answer {
    Answer::status(200, body)
}

#[tokio::test]
async fn p15_an_error_of_the_server_backs_off_and_is_no_status() {
    let nearly = json!({"id": "p15-500", "status": "IDLE"}).to_string();
    check_passing(&[
        ("p15-500", Answer::status(500, &*nearly), "the API answered 500"),
        ("p15-502", Answer::status(502, "<html>bad gateway"), "the API answered 502 with a web"),
        ("p15-503", Answer::status(503, ""), "the API answered 503"),
        ("p15-504", Answer::status(504, "upstream timed out"), "504: `upstream timed out`"),
        ("p15-408", Answer::status(408, ""), "the API answered 408"),
    ])
    .await;
}

#[tokio::test]
async fn p16_a_rejected_request_waits_a_quarter_of_an_hour() {
    let codes = [400, 405, 406, 410, 415, 422, 451];
    let faults = codes.map(|code| (format!("p16-{code}"), format!("answered {code}: `no`")));
    let answers: Vec<(&str, Answer, &str)> = codes
        .iter()
        .zip(&faults)
        .map(|(code, (avatar, why))| {
            let body = json!({"message": "no", "id": avatar, "status": "IDLE"}).to_string();
            (avatar.as_str(), Answer::status(*code, body), why.as_str())
        })
        .collect();
    check_permanent(&answers).await;
}

#[tokio::test]
async fn p17_a_web_page_is_no_status() {
    let page = "<!doctype html><title>Sign in</title>{\"id\":\"p17\",\"status\":\"IDLE\"}";
    let typed = ok(page).with("content-type", "text/html");
    check_passing(&[
        ("p17-portal", ok(page), "the answer is a web page, not JSON"),
        ("p17-typed", typed, "the answer is a web page, not JSON"),
        ("p17-astray", Answer::status(404, page), "the API answered 404 with a web page"),
        ("p17-marked", ok(format!("\u{feff}\n {page}")), "the answer is a web page, not JSON"),
    ])
    .await;
}

#[tokio::test]
async fn p19_json_that_is_broken_in_any_way_is_no_status() {
    let idle = |id: &str, rest: &str| format!("{{\"id\":\"{id}\",\"status\":\"IDLE\"{rest}");
    let bomb = |open: &str| format!(",\"x\":{}", open.repeat(200_000 / open.len()));
    let invalid = |id: &str| [idle(id, ",\"name\":\"").as_bytes(), b"\xff\"}"].concat();
    check_passing(&[
        ("p19-empty", ok(""), "the answer is empty"),
        ("p19-cut", ok(idle("p19-cut", "")), "JSON that breaks off"),
        ("p19-cut-text", ok("{\"id\":\"p19-cut-text\",\"status\":\"ID"), "breaks off"),
        ("p19-twice", ok(idle("p19-twice", ",\"status\":\"REFUSED\"}")), "`status` twice"),
        ("p19-same", ok(idle("p19-same", ",\"status\":\"IDLE\"}")), "`status` twice"),
        ("p19-id", ok(idle("p19-id", ",\"id\":\"p19-id\"}")), "`id` twice"),
        ("p19-deep", ok(idle("p19-deep", &bomb("["))), "cannot be read as JSON"),
        ("p19-deeper", ok(idle("p19-deeper", &bomb("{\"x\":"))), "cannot be read as JSON"),
        ("p19-utf8", ok(invalid("p19-utf8")), "cannot be read as JSON"),
        ("p19-more", ok(idle("p19-more", "}}")), "cannot be read as JSON"),
        ("p19-list", ok(format!("[{}]", idle("p19-list", "}"))), "JSON, but not an avatar"),
        ("p19-null", ok("null"), "JSON, but not an avatar"),
    ])
    .await;
}

#[tokio::test]
async fn p20_a_body_that_is_too_large_waits_a_quarter_of_an_hour() {
    let avatar = json!({"id": "p20-large", "status": "IDLE", "name": "x".repeat(300_000)});
    let head = b"HTTP/1.1 200 OK\r\n\r\n{\"id\":\"p20-endless\",".to_vec();
    let endless = Answer::Endless { head, piece: vec![b' '; 8192] };
    let larger = "the answer is larger than 256 KiB";
    let answers = [("p20-large", ok(avatar.to_string()), larger), ("p20-endless", endless, larger)];
    check_permanent(&answers).await;
}

#[tokio::test]
async fn p21_an_unknown_status_is_kept_and_sent_to_channels_that_select_it() {
    let mut scene = Scene::new();
    let odd = "ready\u{202e}\n`now`";
    let avatars = ["a", "b"];
    let curious = FakeNotifier::taking(&scene.world.clock);
    let mut plan = with_channel(scene.config(&avatars), "curious", &curious);
    for (name, channel) in &mut plan.channels {
        if name.as_str() == "curious" {
            channel.events = vec![EventKind::AvatarStatusChanged];
        }
    }
    scene.api.set_all(&avatars, "TRAINING");
    scene.world.start(plan).await;
    scene.world.quiet().await;
    scene.api.set_status("a", "CONTENT_MODERATED");
    scene.api.set_status("b", odd);
    scene.expect_poll_after(seconds(5), &avatars).await;
    assert_eq!(scene.history("a"), ["- > TRAINING", "TRAINING > CONTENT_MODERATED"]);
    assert_eq!(scene.history("b"), ["- > TRAINING".to_owned(), format!("TRAINING > {odd}")]);
    let begun = ["avatar.status_unrecognized firing a", "avatar.status_unrecognized firing b"];
    assert_eq!(sorted(scene.ops.notified()), begun);
    let notified = |post: &FakeNotifier| -> Vec<String> {
        let bodies = post.calls();
        let bodies = bodies.iter().map(|call| serde_json::from_slice(&call.body).unwrap());
        let line = |body: serde_json::Value| {
            format!("{} {}", body["type"].as_str().unwrap(), body["data"]["status"])
        };
        sorted(bodies.map(line).collect())
    };
    let odd = json!(odd);
    let expected =
        ["avatar.status_changed \"CONTENT_MODERATED\"", &format!("avatar.status_changed {odd}")];
    assert_eq!(notified(&curious), expected);

    scene.expect_poll_after(seconds(5), &avatars).await;
    assert_eq!((notified(&curious).len(), scene.ops.notified().len()), (2, 2), "once a value");
}

#[tokio::test]
async fn p21_a_status_that_is_too_long_for_one_is_no_status() {
    let long = |id: &str, length| json!({"id": id, "status": "X".repeat(length)}).to_string();
    check_passing(&[("p21", ok(long("p21", 65)), "longer than 64 characters")]).await;
    let scene = given(&[("a", ok(long("a", 64)))]).await;
    scene.expect_poll_after(seconds(5), &["a"]).await;
    assert_eq!(scene.history("a")[1..], [format!("TRAINING > {}", "X".repeat(64))]);
}

#[tokio::test]
async fn p22_a_status_that_is_missing_or_no_text_is_no_status() {
    let body =
        |id: &str, status: serde_json::Value| ok(json!({"id": id, "status": status}).to_string());
    check_passing(&[
        ("p22-none", ok(json!({"id": "p22-none", "state": "IDLE"}).to_string()), "no `status`"),
        ("p22-null", body("p22-null", json!(null)), "`status` in the answer is null"),
        ("p22-number", body("p22-number", json!(3)), "is a number, not a text"),
        ("p22-bool", body("p22-bool", json!(true)), "not a text"),
        ("p22-list", body("p22-list", json!(["IDLE"])), "not a text"),
        ("p22-object", body("p22-object", json!({"IDLE": true})), "not a text"),
        ("p22-empty", body("p22-empty", json!("")), "is empty, not a text"),
        ("p22-blank", body("p22-blank", json!(" \t")), "is empty, not a text"),
    ])
    .await;
}

#[tokio::test]
async fn p23_an_answer_about_another_avatar_changes_neither() {
    let other = json!({"id": "good", "status": "IDLE"}).to_string();
    check_permanent(&[
        ("p23", ok(other), "the answer is about another avatar, `good`"),
        ("p23-not", ok(json!({"id": "p23", "status": "IDLE"}).to_string()), "`p23`"),
    ])
    .await;
    // The case of an id is not another id.
    let scene = given(&[("a1", ok(json!({"id": "A1", "status": "IDLE"}).to_string()))]).await;
    scene.expect_poll_after(seconds(5), &["a1"]).await;
    scene.check_recovered(&["a1"]);
}

#[tokio::test]
async fn p24_other_fields_may_be_missing_new_or_of_any_type() {
    let odd = json!({
        "id": "a", "status": "IDLE", "name": 7, "model": [], "orientation": null,
        "updatedAt": {"x": 1}, "extras": "none", "new": {"id": "b", "status": "REFUSED"},
    });
    let bare = json!({"id": "b", "status": "IDLE"});
    let scene = given(&[("a", ok(odd.to_string())), ("b", ok(bare.to_string()))]).await;
    scene.expect_poll_after(seconds(5), &["a", "b"]).await;
    scene.check_recovered(&["a", "b"]);
    assert_eq!(sorted(scene.ops.notified()), ["avatar.ready a", "avatar.ready b"]);
    assert_eq!(scene.watch("a").name.as_deref(), Some("avatar a"), "the last name that was one");
}

#[tokio::test]
async fn p29_a_redirect_blocks_the_key_is_reported_at_once_and_never_followed() {
    let other = FakeArgil::start();
    let target = format!("{}/avatars/a", other.base_url());
    let avatars = ["a", "b"];
    let scene = Scene::watching(&avatars).await;
    scene.api.answer_with(move |_| Some(Answer::status(302, "").with("location", &target)));
    let reason = "the API answered 302, a redirect to `127.0.0.1`, which is not followed";
    scene.check_misrouted(&avatars, reason).await;
    assert_eq!(other.connections(), 0);
}
