//! The lists: names, filters, counts.

use serde_json::json;

use crate::harness::http::ask;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn lists_name_avatars_and_say_how_many_rows_they_show() {
    let (argil, receiver, bench, daemon) = settled().await;
    argil.set_status("a1", "TRAINING");
    daemon.wait_for_log("IDLE -> TRAINING");
    argil.set_status("a1", "REFUSED");
    receiver.wait_for(2).await;
    bench.wait_for_deliveries("both", |rows| {
        rows.len() == 2 && rows.iter().all(|row| row["state"] == "delivered")
    });
    assert!(daemon.stop().success());
    bench.prints(&["history"], 0, &["avatar a1", "4 changes"]);
    bench.prints(
        &["history", "--limit", "1"],
        0,
        &["REFUSED", "the newest 1 of 4 changes; --limit"],
    );
    let rows = bench.json(&["history", "avatar a1", "--since", "1h", "--status", "idle", "--json"]);
    assert_eq!(rows.as_array().unwrap().len(), 1);
    assert_eq!(
        (&rows[0]["avatar_name"], &rows[0]["status"]),
        (&json!("avatar a1"), &json!("IDLE"))
    );
    bench.prints(&["history", "--name", "AVATAR*"], 0, &["4 changes"]);
    bench.prints(
        &["history", "--since", "2100-01-01"],
        0,
        &["No status was observed yet, or none"],
    );
    bench.prints(
        &["deliveries", "--limit", "1"],
        0,
        &["avatar a1", "the newest 1 of 2 deliveries"],
    );
    let rows =
        bench.json(&["deliveries", "--avatar", "avatar a1", "--event", "avatar.refused", "--json"]);
    assert_eq!((&rows[0]["avatar_name"], rows.as_array().unwrap().len()), (&json!("avatar a1"), 1));
    assert!(rows[0]["title"].as_str().unwrap().starts_with("avatar a1"), "{rows}");
    let shown = bench.prints(&["status", "--status", "REFUSED"], 0, &["avatar a1"]);
    assert!(!shown.contains("avatars; --limit"), "{shown}");
    bench.prints(&["status", "--status", "TRAINING"], 0, &["No avatar has this status and name."]);
    assert_eq!(bench.json(&["status", "--name", "a1", "--json"])["avatars"][0]["id"], "a1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_names_nothing_known_is_an_error_with_a_suggestion() {
    let (_argil, _receiver, bench, daemon) = settled().await;
    assert!(daemon.stop().success());
    for (arguments, said) in [
        (&["deliveries", "--channel", "opps"][..], "did you mean `ops`?"),
        (&["deliveries", "--channel", "elsewhere"], "there are: `ops`"),
        (&["deliveries", "--event", "avatar.redy"], "did you mean `avatar.ready`?"),
        (&["deliveries", "--avatar", "avatar b1"], "did you mean `avatar a1`?"),
        (&["deliveries", "--avatar", "avatar"], "did you mean `avatar a1`?"),
        (&["deliveries", "--limit", "0"], "0 is not in 1.."),
        (&["history", "--limit", "0"], "0 is not in 1.."),
        (&["status", "--limit", "0"], "0 is not in 1.."),
        (&["deliveries", "retry"], "`--dead` for all dead letters"),
        (&["deliveries", "--state", "failed"], "possible values: pending"),
        (&["deliveries", "retry", "--dead", "--channel", "opps"], "did you mean `ops`?"),
        (&["history", "--status", "TRAININGFAILED"], "did you mean `TRAINING_FAILED`?"),
        (&["history", "--name", "x*"], "no avatar has a name like `x*`"),
        (&["history", "--since", "tomorrow"], "write a duration such as `7d`"),
        (&["history", "unknown"], "no avatar `unknown` in config or database"),
        (&["status", "--status", "READY"], "there are: `NOT_TRAINED`"),
        (&["status", "--name", "avatr"], "no avatar has a name like `avatr`"),
    ] {
        bench.complains(arguments, 2, &[said]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ambiguous_name_is_an_error_that_lists_the_ids() {
    let argil = FakeArgil::start();
    let named = "name = \"Jane\"\n";
    let config = Config::new(argil.base_url()).avatar("a1").with(named).avatar("a2").with(named);
    let bench = Bench::new(config.text());
    let daemon = bench.start_training(&argil);
    daemon.wait_for_log("avatar \"Jane\": baseline TRAINING");
    bench.complains(&["status", "jane"], 2, &["`jane` fits 2 avatars: `a1`, `a2`"]);
    bench.prints(&["status"], 0, &["Jane (a1)", "Jane (a2)"]);
    bench.prints(&["status", "A2"], 0, &["Jane (a2)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_shown_with_all_of_its_deliveries() {
    let (argil, receiver, config) = with_receiver().await;
    let folder = tempfile::tempdir().unwrap();
    let mail = format!(
        "\n[channels.mail]\ntype = \"email\"\nfrom = \"watch@example.com\"\n\
         to = [\"one@example.com\", \"two@example.com\"]\nfile = {{ folder = \"{}\" }}\n",
        folder.path().display()
    );
    let bench = Bench::new(config.with(&mail).text());
    let daemon = bench.start_training(&argil);
    argil.set_status("a1", "IDLE");
    receiver.wait_for(1).await;
    let rows = bench.wait_for_deliveries("all three", |rows| {
        rows.len() == 3 && rows.iter().all(|row| row["state"] == "delivered")
    });
    assert!(daemon.stop().success());
    let event = rows[0]["event_id"].as_str().unwrap();
    let words = [
        "avatar.ready about avatar a1 (a1)",
        "to ops: delivered",
        "(one@example.com): delivered",
        "(two@example.com): delivered",
        "Subject: ",
        "\"type\": \"avatar.ready\"",
    ];
    let shown = bench.prints(&["deliveries", "show", event], 0, &words);
    assert!(!shown.contains("Content-Transfer-Encoding") && !shown.contains("<html"), "{shown}");
    bench.prints(&["deliveries", "show", event, "--raw"], 0, &["Content-Transfer-Encoding"]);
    assert_eq!(bench.json(&["deliveries", "show", event, "--json"]).as_array().unwrap().len(), 3);
    let own = rows[1]["id"].as_str().unwrap();
    assert_eq!(bench.json(&["deliveries", "show", own, "--json"])["id"], own);
    bench.complains(&["deliveries", "show", "evt_0"], 1, &["no delivery and no event `evt_0`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_local_unless_utc_is_asked_for() {
    let (_argil, _receiver, bench, daemon) = settled().await;
    assert!(daemon.stop().success());
    let print = |arguments: &[&str]| {
        let output = bench.command(arguments).env("TZ", "XYZ-5:30").output().unwrap();
        stdout(&output)
    };
    assert!(print(&["history"]).contains(" XYZ"), "{}", print(&["history"]));
    assert!(print(&["history", "--utc"]).contains(" UTC"));
    assert!(!print(&["history", "--json"]).contains("XYZ"));
}

#[tokio::test(flavor = "multi_thread")]
async fn durations_of_trainings_are_in_history_csv_status_and_api() {
    let argil = FakeArgil::start();
    let config = Config::new(argil.base_url()).avatar("a1").with("name = \"=cmd|x\"\n").page();
    argil.set_avatar("a1", json!({"id": "a1", "status": "NOT_TRAINED", "model": "ARGIL_ATOM"}));
    let bench = Bench::new(config.text());
    let daemon = bench.start();
    daemon.wait_for_log("baseline NOT_TRAINED");
    for status in ["TRAINING", "IDLE"] {
        argil.set_avatar("a1", json!({"id": "a1", "status": status, "model": "ARGIL_ATOM"}));
        daemon.wait_for_log(&format!("-> {status}"));
    }
    let avatar = ask(daemon.page(), "GET", "/api/v1/avatars/a1", &[]).json();
    let page = ask(daemon.page(), "GET", "/avatars/a1", &[]).body;
    assert!(daemon.stop().success());

    let rows = bench.json(&["history", "--json"]);
    let training = &rows[2]["training"];
    assert_eq!((&rows[2]["status"], &training["model"]), (&json!("IDLE"), &json!("ARGIL_ATOM")));
    assert_eq!(rows[1]["training"], json!(null));
    assert_eq!(training["started_after"], rows[1]["last_seen_previous_at"]);
    assert_eq!(training["started_before"], rows[1]["detected_at"]);
    assert_eq!(&avatar["last_training"], training);
    assert!(page.contains("its last training took "), "{page}");
    bench.prints(&["status", "a1"], 0, &["Its last training took "]);
    bench.prints(&["history"], 0, &["TRAINING TOOK"]);

    let csv = bench.prints(&["history", "--csv"], 0, &["seq,detected_at,"]);
    let mut csv = csv::Reader::from_reader(csv.as_bytes());
    let header = csv.headers().unwrap().clone();
    let last = csv.records().last().unwrap().unwrap();
    let of = |name: &str| last[header.iter().position(|it| it == name).unwrap()].to_owned();
    assert_eq!((of("status"), of("training_model")), ("IDLE".to_owned(), "ARGIL_ATOM".to_owned()));
    assert_eq!(of("avatar_name"), "'=cmd|x", "a spreadsheet runs no formula");
    assert_eq!(of("training_seconds_min"), training["seconds_min"].to_string());
    assert_eq!(of("training_seconds_max"), training["seconds_max"].to_string());
    assert_eq!(json!(of("training_started_before")), training["started_before"]);
    bench.complains(&["history", "--csv", "--json"], 2, &["cannot be used with"]);
}

#[test]
fn without_a_config_and_a_database_every_command_says_what_is_missing() {
    let bench = Bench::new("");
    std::fs::remove_file(bench.config()).unwrap();
    for (arguments, code) in [
        (&["status"][..], 1),
        (&["channels"], 1),
        (&["channels", "enable", "ops"], 1),
        (&["deliveries", "retry", "--dead"], 1),
        (&["db", "backup", "copy.db"], 65),
    ] {
        let mut command = bench.command(arguments);
        let output = command.env_remove("AVATAR_WATCH_CONFIG").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains("`avatar-watch init` writes one"), "{arguments:?}: {said}");
    }
}
