//! Two accounts in the real program: one with a refused key, one with discovery; and the output of
//! the commands.

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::argil::FakeArgil;
use crate::harness::config::{Config, KEY};
use crate::harness::daemon::{Bench, stdout, wait_until};
use crate::harness::webhook::{Received, Receiver};

/// Six avatars of an account with `key`, and one of the default account with a valid key; with an
/// operator channel.
fn config(argil: &FakeArgil, receiver: &Receiver, key: &str) -> Config {
    let account = format!(
        "operator = true\n[accounts.studio]\napi_key = \"{key}\"\nbase_url = \"{}\"\n",
        argil.base_url()
    );
    let config = Config::new(argil.base_url()).webhook("ops", &receiver.url()).with(&account);
    let avatars = (1..=6).map(|number| {
        format!("[[avatars]]\nid = \"s{number}\"\naccount = \"studio\"\nname = \"S{number}\"\n")
    });
    config.with(&avatars.collect::<String>()).avatar("a1")
}

fn notified(calls: &[Received]) -> Vec<(String, Value)> {
    let bodies = calls.iter().map(Received::json);
    bodies.map(|body| (body["type"].as_str().unwrap().to_owned(), body["data"].clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_reported_once_and_delays_no_other_account() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    argil.require_key(KEY);
    for number in 1..=6 {
        argil.set_status(&format!("s{number}"), "TRAINING");
    }
    let bench = Bench::new(config(&argil, &receiver, "revoked").text());
    let daemon = bench.start_training(&argil);
    let calls = receiver.wait_for(1).await;
    let [(kind, data)] = notified(&calls).try_into().unwrap();
    assert_eq!((kind.as_str(), &data["account"]), ("account.unavailable", &"studio".into()));
    assert_eq!((&data["state"], &data["cause"]), (&"firing".into(), &"key_rejected".into()));

    argil.set_status("a1", "IDLE");
    let calls = receiver.wait_for(2).await;
    assert_eq!(notified(&calls)[1].0, "avatar.ready");
    let refused = argil.requests().iter().filter(|it| it.avatar.starts_with('s')).count();
    assert!(refused <= 6, "the refused key was used {refused} times");

    let status = bench.json(&["status", "--json"]);
    let [condition] = status["conditions"].as_array().unwrap().as_slice() else { panic!() };
    assert_eq!(condition["kind"], "account.unavailable");
    assert_eq!(condition["subject"], "account studio");
    assert_eq!(condition["cause"], "key_rejected");
    assert_eq!(status["avatars"][0]["account"], "argil");
    assert_eq!(status["avatars"][1]["account"], "studio");
    let shown = stdout(&bench.run(&["status"]));
    assert!(shown.contains("critical: Account studio cannot be checked: "), "{shown}");
    assert!(shown.contains("Argil rejects its API key ("), "{shown}");
    let checked = stdout(&bench.run(&["check", "--online"]));
    assert!(checked.contains("FAIL avatar \"S1\" (`s1`): API key rejected"), "{checked}");
    assert!(checked.contains("ok   avatar \"avatar a1\" (`a1`): status IDLE"), "{checked}");
    let of_one = bench.json(&["status", "a1", "--json"]);
    assert_eq!(of_one["conditions"].as_array().unwrap().len(), 0);

    // The daemon uses the config of its start: a file that was not reloaded changes nothing.
    let alone = Config::new(argil.base_url()).avatar("a1");
    bench.configure(alone.text());
    assert_eq!(bench.json(&["status", "--json"])["conditions"], status["conditions"]);

    bench.configure(config(&argil, &receiver, KEY).text());
    daemon.signal(Signal::HUP);
    let calls = receiver.wait_for(3).await;
    let (kind, data) = &notified(&calls)[2];
    assert_eq!((kind.as_str(), &data["state"]), ("account.unavailable", &"resolved".into()));
    daemon.wait_for_log("avatar \"S6\": baseline TRAINING");
    assert_eq!(bench.json(&["status", "--json"])["conditions"], Value::Array(Vec::new()));
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn listed_avatars_are_watched_and_shown_as_discovered() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    argil.set_status("a1", "IDLE");
    argil.set_status("a2", "TRAINING");
    let config = Config::new(argil.base_url()).webhook("ops", &receiver.url()).avatar("a1");
    let bench = Bench::new(config.with("[discover]\nenabled = true\nevery = \"1m\"\n").text());
    let checked = stdout(
        &Bench::new(
            Config::new(argil.base_url())
                .with("[discover]\nenabled = true\nevery = \"1m\"\n")
                .text(),
        )
        .run(&["check", "--online"]),
    );
    assert!(
        checked.contains("ok   account `argil`: the API key works and lists 2 avatars"),
        "{checked}"
    );
    let daemon = bench.start();
    daemon.wait_for_log("discovered 1 avatars");
    argil.set_status("a2", "IDLE");
    let calls = receiver.wait_for(1).await;
    assert_eq!(notified(&calls)[0].1["avatar"]["id"], "a2");
    let of = |id: &str| bench.json(&["status", id, "--json"])["avatars"][0].clone();
    let (registered, found) = (of("a1"), of("a2"));
    assert_eq!(
        (&registered["configured"], &registered["discovered"]),
        (&true.into(), &false.into())
    );
    assert_eq!((&found["configured"], &found["discovered"]), (&false.into(), &true.into()));
    assert_eq!(found["account"], "argil");
    let shown = stdout(&bench.run(&["status"]));
    assert!(shown.contains("avatar a2 (discovered)"), "{shown}");
    wait_until("no condition", || {
        bench.json(&["status", "--json"])["conditions"].as_array().unwrap().is_empty()
    });
    assert!(daemon.stop().success());
}
