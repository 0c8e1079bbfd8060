//! `channels pause` with an end and a reason, and where they show.

use crate::harness::argil::FakeArgil;
use crate::harness::config::Config;
use crate::harness::daemon::Bench;
use crate::harness::webhook::Receiver;

fn pause<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["channels", "pause", "ops"], more].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_shows_its_end_and_its_reason_and_ends_on_its_own() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let bench = Bench::new(
        Config::new(argil.base_url()).webhook("ops", &receiver.url()).avatar("a1").text(),
    );
    let daemon = bench.start_training(&argil);
    let until = "2099-12-01T08:00";
    let reason = ["--until", &format!("{until}Z"), "--reason", "studio on holiday"];
    let shown = "paused until 2099-12-01 08:00:00 UTC (studio on holiday)";
    let utc = |arguments: &[&str], words: &[&str]| {
        bench.prints(&[arguments, &["--utc"]].concat(), 0, words);
    };
    utc(&pause(&reason), &[&format!("ops: {shown}")]);
    bench.prints(&pause(&reason), 0, &["ops: already paused"]);
    utc(&["status"], &[shown, "help: it ends by itself"]);
    utc(&["channels"], &["paused", shown.strip_prefix("paused ").unwrap()]);
    let channel = &bench.json(&["channels", "--json"])[0];
    assert_eq!(channel["paused_until"], "2099-12-01T08:00:00.000Z");
    assert_eq!(channel["pause_reason"], "studio on holiday");
    argil.set_status("a1", "IDLE");
    bench.wait_for_deliveries("the message", |rows| rows.len() == 1);
    bench.prints(&pause(&[]), 0, &["ops: paused until `avatar-watch ", "channels resume ops`"]);
    utc(&["deliveries"], &["when resumed"]);
    let id = bench.deliveries()[0]["id"].as_str().unwrap().to_owned();
    let waits = ["pending already; it waits: channel ops is paused until `avatar-watch channels"];
    utc(&["deliveries", "retry", &id], &waits);
    utc(&pause(&["--for", "8h"]), &["ops: paused until "]);
    utc(&["deliveries", "retry", &id], &["; it waits: channel ops is paused until 2", " UTC, or"]);
    bench.prints(&pause(&["--for", "1s"]), 0, &["ops: paused until "]);
    receiver.wait_for(1).await;
    daemon.wait_for_log("pause of channel `ops` has ended");
    assert!(daemon.stop().success());
    let channel = &bench.json(&["channels", "--json"])[0];
    assert_eq!((&channel["state"], &channel["paused_until"]), (&"active".into(), &().into()));
}

#[test]
fn a_pause_without_a_valid_end_changes_nothing() {
    let bench = Bench::new(Config::new("http://127.0.0.1:9/v1").text());
    for (end, words) in [
        (["--until", "yesterday"], "write `2026-12-01T08:00`"),
        (["--for", "8"], "write `2h`"),
        (["--for", "2y"], "`--for` is too long: at most a year"),
        (["--for", "99999999999999y"], "write `2h`"),
        (["--until", "2001-01-01T00:00Z"], "is in the past"),
    ] {
        bench.complains(&pause(&end), 2, &[words]);
    }
    bench.complains(
        &pause(&["--for", "1h", "--until", "2099-01-01T00:00Z"]),
        2,
        &["cannot be used with"],
    );
}
