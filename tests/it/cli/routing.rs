//! Routing on the command line: where an avatar goes, and which avatars go nowhere.

use super::*;

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
    let no_tags = "no channel is for account `argil` without tags): `joe`";
    bench.complains(&["check"], 0, &[nothing, no_tags]);
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
