//! `avatar-watch avatars`: what the account has, and what of it is watched.

use serde_json::json;

use crate::harness::argil::{Answer, FakeArgil};
use crate::harness::config::Config;
use crate::harness::daemon::{Bench, stderr, stdout};

#[test]
fn avatars_lists_the_account_and_what_is_watched() {
    let argil = FakeArgil::start();
    argil.set_avatar("a1", json!({"id": "a1", "status": "IDLE", "name": "Jane"}));
    argil.set_avatar("b1", json!({"id": "b1", "status": "TRAINING", "name": "B\u{7}éla"}));
    let bench = Bench::new(Config::new(argil.base_url()).avatar("a1").avatar("lost").text());
    let listed = bench.json(&["avatars", "--json"]);
    let rows: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|it| [&it["id"], &it["status"], &it["watched"]].map(|it| it.as_str().unwrap_or("-")))
        .collect();
    assert_eq!(
        rows,
        [["b1", "TRAINING", "-"], ["a1", "IDLE", "config"], ["lost", "-", "config"]],
        "{listed}"
    );
    let shown = bench.prints(&["avatars"], 0, &["3 avatars, 2 watched", "not listed"]);
    assert!(!shown.contains('\u{7}'), "{shown:?}");
    let discovering = Config::new(argil.base_url()).avatar("a1");
    bench.configure(&format!("{}\n[discover]\nenabled = true\n", discovering.text()));
    bench.prints(&["avatars"], 0, &["2 avatars, 2 watched", "discovered"]);
}

#[test]
fn avatars_says_why_an_account_cannot_be_listed() {
    let argil = FakeArgil::start();
    argil.require_key("another");
    let bench = Bench::new(Config::new(argil.base_url()).text());
    bench.complains(&["avatars"], 1, &["FAIL account `argil`: API key rejected", "  help: "]);
    assert_eq!(bench.json(&["avatars", "--json"]), json!([]), "the failure is no JSON");
    argil.answer_list_next(Answer::status(404, "{}"));
    let output = bench.run(&["avatars"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""));
    let said = stderr(&output);
    assert!(said.contains("check `base_url`") && !said.contains("id"), "{said}");
}
