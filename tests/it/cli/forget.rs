//! `avatar-watch avatars forget`.

use serde_json::json;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_avatar_is_forgotten_only_when_nothing_watches_it_and_never_comes_back() {
    let (argil, receiver, bench, daemon) = settled().await;
    let forget = ["avatars", "forget", "avatar a1"];
    bench.complains(&forget, 1, &["\"avatar a1\" (a1) is not forgotten: it is in the config"]);
    let other = Config::new(argil.base_url()).avatar("a2").webhook("ops", &receiver.url());
    bench.configure(other.text());
    bench.complains(&forget, 1, &["the daemon watches it", "reload the daemon"]);
    argil.set_status("a2", "TRAINING");
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("avatar \"avatar a2\": baseline TRAINING");
    bench.prints(&forget, 0, &["\"avatar a1\" (a1) is forgotten; its history stays"]);
    let ids = |bench: &Bench| {
        let status = bench.json(&["status", "--json"]);
        status["avatars"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&bench), [json!("a2")]);
    assert_eq!(bench.json(&["history", "avatar a1", "--json"]).as_array().unwrap().len(), 2);
    argil.set_status("a2", "IDLE");
    receiver.wait_for(2).await;
    assert!(daemon.stop().success());
    assert_eq!(ids(&bench), [json!("a2")], "the daemon does not write it again");
    assert_eq!(bench.run(&["db", "verify"]).status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_removed_after_a_confirmation_and_the_rest_is_complete() {
    for is_running in [true, false] {
        let (argil, receiver, bench, daemon) = settled().await;
        receiver.script((0..6).map(|_| Answer::status(404)));
        argil.set_status("a1", "TRAINING");
        daemon.wait_for_log("IDLE -> TRAINING");
        argil.set_status("a1", "REFUSED");
        let rows = bench.wait_for_deliveries("a dead letter", |rows| {
            rows.iter().any(|row| row["state"] == "dead")
        });
        let dead = rows.iter().find(|row| row["state"] == "dead").unwrap()["id"].clone();
        bench.prints(&["deliveries", "retry", dead.as_str().unwrap()], 0, &["sent again as"]);
        bench.wait_for_deliveries("the successor", |rows| {
            rows.len() == 3 && rows[2]["state"] == "delivered"
        });
        let other = Config::new(argil.base_url()).avatar("a2").webhook("ops", &receiver.url());
        bench.configure(other.text());
        argil.set_status("a2", "TRAINING");
        daemon.signal(Signal::HUP);
        daemon.wait_for_log("avatar \"avatar a2\": baseline TRAINING");
        let daemon = if is_running {
            Some(daemon)
        } else {
            assert!(daemon.stop().success());
            None
        };
        let forget = ["avatars", "forget", "a1", "--history"];
        let asked = ["4 changes and 3 deliveries", "add `--yes` to do it"];
        bench.complains(&forget, 1, &asked);
        assert_eq!(bench.json(&["history", "--json"]).as_array().unwrap().len(), 5);
        let done = "is forgotten, with 4 changes and 3 deliveries";
        bench.prints(&[&forget[..], &["--yes"]].concat(), 0, &[done]);
        assert_eq!(bench.json(&["deliveries", "--json"]), json!([]));
        let left = bench.json(&["history", "--json"]);
        assert_eq!((left.as_array().unwrap().len(), &left[0]["avatar_id"]), (1, &json!("a2")));
        assert_eq!(bench.run(&["db", "verify"]).status.code(), Some(0));
        bench.complains(&["avatars", "forget", "a1"], 2, &["no avatar `a1`"]);
        if let Some(daemon) = daemon {
            assert!(daemon.stop().success());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_delivered_is_named_before_it_is_lost() {
    let (argil, _receiver, bench, daemon) = settled().await;
    bench.prints(&["channels", "pause", "ops"], 0, &[]);
    argil.set_status("a1", "REFUSED");
    bench
        .wait_for_deliveries("what waits", |rows| rows.len() == 2 && rows[1]["state"] == "pending");
    bench.configure(Config::new(argil.base_url()).avatar("a2").text());
    argil.set_status("a2", "TRAINING");
    assert!(daemon.stop().success());
    let daemon = bench.start();
    daemon.wait_for_log("avatar \"avatar a2\": baseline TRAINING");
    let lost = "1 message of them not delivered, and lost then";
    bench.complains(&["avatars", "forget", "a1", "--history"], 1, &[lost]);
    bench.prints(&["avatars", "forget", "a1"], 0, &["its history stays"]);
    assert_eq!(bench.deliveries()[1]["state"], "pending", "it is still sent");
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_the_config_decides_and_a_forgotten_avatar_returns_as_it_was() {
    let (argil, receiver, bench, daemon) = settled().await;
    let whole = Config::new(argil.base_url()).avatar("a1").webhook("ops", &receiver.url());
    let other = Config::new(argil.base_url()).avatar("a2").webhook("ops", &receiver.url());
    assert!(daemon.stop().success());
    bench.complains(&["avatars", "forget", "a1"], 1, &["it is in the config", "remove it there\n"]);
    bench.configure(other.text());
    let shown = stderr(&bench.run(&["avatars", "forget", "avatar a9"]));
    assert!(shown.contains("no avatar `avatar a9`") && !shown.contains("did you mean"), "{shown}");
    bench.prints(&["avatars", "forget", "a1"], 0, &["is forgotten"]);
    let known = |bench: &Bench| {
        let status = bench.json(&["status", "--json"]);
        let avatars = status["avatars"].as_array().unwrap().clone();
        avatars.into_iter().find(|it| it["id"] == "a1").map(|it| it["status"].clone())
    };
    assert_eq!(known(&bench), None);
    bench.configure(whole.text());
    let daemon = bench.start();
    daemon.wait_for_log("watching with the database");
    assert_eq!(known(&bench), Some(json!("IDLE")));
    assert!(daemon.stop().success());
    bench.configure(other.text());
    assert_eq!(known(&bench), Some(json!("IDLE")), "it was watched, and is not forgotten again");
}
