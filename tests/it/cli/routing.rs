//! Routing on the command line: where an avatar goes, and which avatars go nowhere.

use super::*;
use crate::harness::http;

const ROUTED: &str = "\n[[avatars]]\nid = 'jane'\nname = 'Jane'\ntags = ['Spanish']\n\
    [[avatars]]\nid = 'joe'\n[[avatars]]\nid = 'jim'\nchannels = []\n";

fn routed() -> Config {
    Config::new("http://127.0.0.1:9/v1")
        .webhook("team", "http://127.0.0.1:9/x")
        .with("\nonly = { tags = 'spanish' }\n")
        .webhook("images", "http://127.0.0.1:9/y")
        .with("\nonly = { models = '*IMAGE*', tags = 'spanish' }\n")
        .with(ROUTED)
}

#[test]
fn check_names_the_avatars_that_reach_no_channel() {
    let bench = Bench::new(routed().text());
    let nothing = "warning: 1 avatar reaches no channel (`channels` is empty): `jim`";
    let no_tags = "warning: 1 avatar reaches no channel (images: only for tags spanish; team: only \
                   for tags spanish): `joe`";
    bench.complains(&["check"], 0, &[no_tags, nothing]);
}

#[test]
fn check_names_avatars_in_the_order_of_the_config_and_no_number_of_discovered_ones() {
    let config = Config::new("http://127.0.0.1:9/v1")
        .webhook("team", "http://127.0.0.1:9/x")
        .with("\nonly = { names = 'Studio *', tags = 'spanish' }\n")
        .with("\n[[avatars]]\nid = 'z1'\n[[avatars]]\nid = 'a1'\n[[avatars]]\nid = 'm1'\n")
        .with("\n[discover]\nenabled = true\n");
    let expected = "warning: 3 avatars and all avatars that are discovered in account `argil` \
                    reach no channel (team: only for tags spanish): `z1`, `a1`, `m1`\n";
    Bench::new(config.text()).complains(&["check"], 0, &[expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_which_channels_get_an_avatar_and_why() {
    let bench = Bench::new(routed().text());
    let daemon = bench.start();
    daemon.wait_for_log("watching with");
    let to = "Its events go to:\n  team: tags spanish\n";
    let not_to = "and not to:\n  images: only for models *IMAGE*; the model is not known yet\n";
    bench.prints(&["status", "jane"], 0, &[to, not_to]);
    let nowhere = "Its events go to no channel:\n  images: only for tags spanish\n";
    bench.prints(&["status", "joe"], 0, &[nowhere, "\n  team: only for tags spanish\n"]);
    bench.prints(&["status", "jim"], 0, &["team: not among the `channels` of the avatar\n"]);
    bench.prints(&["channels"], 0, &["ONLY", "tags spanish; models *IMAGE*"]);
    daemon.wait_for_log("1 avatar reaches no channel");
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typo_in_the_model_is_found_by_the_log_by_status_and_by_the_page() {
    let argil = FakeArgil::start();
    let config = Config::new(argil.base_url())
        .page()
        .avatar("a1")
        .webhook("team", "http://127.0.0.1:9/x")
        .with("\nonly = { models = 'ARGIL_ATMO' }\n");
    let bench = Bench::new(config.text());
    let daemon = bench.start_training(&argil);
    let text = "1 avatar reaches no channel: avatar a1";
    bench.prints(&["status"], 0, &[&format!("warning: {text}\n  help: `avatar-watch status`")]);
    bench.prints(&["status", "--check"], 1, &[text]);
    argil.set_status("a1", "IDLE");
    let reason = "team: only for models ARGIL_ATMO; the last response has no model";
    daemon.wait_for_log(&format!(
        "no channel receives avatar.ready of avatar \"avatar a1\": {reason}"
    ));
    let nowhere = format!("Its events go to no channel:\n  {reason}\n");
    bench.prints(&["status", "a1"], 0, &[&nowhere]);
    let get = |path: &str| http::get(daemon.page(), path).body;
    assert!(get("/").contains(text));
    assert!(get("/api/v1/status").contains(text));
    let page = get("/avatars/a1");
    assert!(
        page.contains("No notifications: no channel gets the events of this avatar."),
        "{page}"
    );
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_avatar_that_is_meant_to_reach_no_channel_is_no_finding() {
    let argil = FakeArgil::start();
    let config = Config::new(argil.base_url())
        .avatar("a1")
        .with("channels = []\n")
        .webhook("team", "http://127.0.0.1:9/x");
    let bench = Bench::new(config.text());
    let daemon = bench.start_training(&argil);
    argil.set_status("a1", "IDLE");
    daemon.wait_for_log("TRAINING -> IDLE");
    bench.prints(&["status", "--check"], 0, &[]);
    assert!(!daemon.log().contains("no channel receives"), "{}", daemon.log());
    assert!(daemon.stop().success());
}
