//! `status` about channels, and `status --check` as a monitoring system runs it.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_check_prints_one_line_and_status_the_channels_with_problems() {
    let (argil, receiver, bench, daemon) = settled().await;
    let perf_data = |waiting: u32, dead: u32| {
        format!(
            "avatars=1;;;0 training=0;;;0 failing=0;;;0 waiting={waiting};;;0 oldest=0s;600;;0 \
             dead_letters={dead};;0;0\n"
        )
    };
    let well = "AVATAR-WATCH OK: 1 avatar watched, 0 in training, 0 messages waiting | ";
    assert_eq!(check(&bench, &[]), (well.to_owned() + &perf_data(0, 0), 0));
    assert_eq!(stderr(&bench.run(&["status", "--check"])), "");
    assert!(!stdout(&bench.run(&["status"])).contains("channel"));

    bench.run(&["channels", "pause", "ops"]);
    let paused =
        ["notice: Channel ops is paused\n  help: run `avatar-watch channels resume ops` to send"];
    bench.prints(&["status"], 0, &paused);
    argil.set_status("a1", "REFUSED");
    bench.wait_for_deliveries("what waits", |rows| rows.len() == 2);
    let late = ["; 1 message waits, the oldest for ", "The oldest undelivered message is "];
    bench.prints(&["status"], 0, &late);
    let json = bench.json(&["status", "--json"]);
    let ops = &json["channels"][0];
    assert_eq!((&ops["name"], &ops["state"]), (&"ops".into(), &"paused".into()));
    assert!(ops["suspended_since"].is_string() && ops["in_flight"] == 1, "{ops}");
    assert_eq!(json["channels"], bench.json(&["channels", "--json"]));
    assert_eq!(json["oldest_in_flight_at"], ops["oldest_in_flight_at"]);
    assert!(bench.json(&["status", "a1", "--json"])["channels"].as_array().unwrap().is_empty());
    // The message is late after one millisecond.
    wait_until("a late message", || {
        let (line, code) = check(&bench, &["--late-after", "0s"]);
        line.starts_with("AVATAR-WATCH WARNING: Channel ops is paused; 1 message waits")
            && code == 1
    });

    receiver.script([Answer::status(410)]);
    bench.run(&["channels", "resume", "ops"]);
    daemon.wait_for_log("` disabled: ");
    let (line, code) = check(&bench, &[]);
    assert!(line.starts_with("AVATAR-WATCH CRITICAL: Channel ops is disabled: ") && code == 2);
    let disabled = bench.prints(
        &["status"],
        0,
        &["critical: Channel ops is disabled: ", "410", "channels enable ops"],
    );
    assert!(!disabled.contains("channel.disabled"), "it is printed once: {disabled}");

    assert!(daemon.stop().success());
    let (line, code) = check(&bench, &[]);
    assert!(line.starts_with("AVATAR-WATCH CRITICAL: The daemon is not running; Channel ops is"));
    assert_eq!(code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_that_prevents_the_next_start_is_a_finding() {
    let (argil, receiver, bench, _daemon) = settled().await;
    let config = Config::new(argil.base_url()).webhook("ops", &receiver.url()).avatar("a1");
    // A secret that only the service can read is not a problem of the config.
    let needy = config.text().replace(&format!("\"{KEY}\""), "{ credential = \"argil\" }");
    bench.configure(&needy);
    let (line, code) = check(&bench, &[]);
    assert!(line.starts_with("AVATAR-WATCH OK: ") && code == 0, "{line}");
    assert!(!stdout(&bench.run(&["status"])).contains("problem"));

    bench.configure(&format!("{needy}\n[store]\nkeep_deliveries = \"a while\"\npaht = \"b.db\"\n"));
    let (line, code) = check(&bench, &[]);
    let begin = "AVATAR-WATCH WARNING: The config has 2 problems: ";
    assert!(
        line.starts_with(begin) && line.contains("`store.keep_deliveries`") && code == 1,
        "{line}"
    );
    bench.prints(
        &["status"],
        0,
        &["warning: The config has 2 problems: ", "help: run `avatar-watch check`"],
    );
    let problems = bench.json(&["status", "--json"])["config_problems"].clone();
    assert!(problems[1].as_str().unwrap().contains("did you mean `path`?"), "{problems}");
}

#[test]
fn a_check_without_a_database_is_unknown() {
    let bench = Bench::new(Config::new("http://127.0.0.1:9/v1").avatar("a1").text());
    let (line, code) = check(&bench, &[]);
    assert!(line.starts_with("AVATAR-WATCH UNKNOWN: ") && !line.contains('|'), "{line}");
    assert_eq!((code, line.lines().count()), (3, 1));
    fs::write(bench.database(), [b'x'; 4096]).unwrap();
    assert_eq!(check(&bench, &[]).1, 3);
    for misused in [&["status", "--check", "--json"][..], &["status", "--check", "a1"]] {
        assert_eq!(bench.run(misused).status.code(), Some(2));
    }
}

#[test]
fn an_unknown_status_is_a_warning_in_every_output() {
    let argil = FakeArgil::start();
    let odd =
        [("a1", "IDL\u{415}"), ("a2", "I\u{200b}DLE"), ("a3", "TRAINING FAILED"), ("a4", "ODD ")];
    let config = Config::new(argil.base_url()).avatar("good");
    argil.set_status("good", " Idle\n");
    let config = odd.iter().fold(config, |config, (id, status)| {
        argil.set_status(id, status);
        config.avatar(id)
    });
    let bench = Bench::new(config.text());
    let good = "ok   avatar \"avatar good\" (`good`): status IDLE\n";
    let shown = bench.prints(&["check", "--online"], 0, &[good]);
    let quoted = ["\"IDL\\u{415}\"", "\"I\\u{200b}DLE\"", "\"TRAINING FAILED\"", "\"ODD \""];
    let help = "such a status ends no training, and `avatar.status_unrecognized` reports it; ";
    for ((id, _), quoted) in odd.iter().zip(quoted) {
        let line = format!(
            "warn avatar \"avatar {id}\" (`{id}`): unknown status {quoted}\n  help: {help}"
        );
        assert!(shown.contains(&line), "{shown}");
    }

    let daemon = bench.start();
    for id in ["a1", "a2", "a3", "a4"] {
        daemon
            .wait_for_log(&format!("avatar.status_unrecognized firing for `{id}` (avatar {id}): "));
    }
    let (line, code) = check(&bench, &[]);
    let found = "AVATAR-WATCH WARNING: avatar a1 has an unknown status: the API \
                 shows \"IDL";
    assert!(line.starts_with(found) && code == 1, "{line}");
    let table = stdout(&bench.run(&["status"]));
    let history = stdout(&bench.run(&["history"]));
    for quoted in quoted {
        assert!(table.contains(quoted) && history.contains(quoted), "{quoted}: {table}{history}");
    }
    assert!(table.contains("Warnings"), "{table}");

    let waited = bench.run(&["wait", "a4", "--timeout", "200ms", "--json"]);
    let outcome: Value = serde_json::from_str(&stdout(&waited)).unwrap();
    assert_eq!(waited.status.code(), Some(5));
    assert_eq!(outcome["reason"], "it has the unknown status \"ODD \"");
    let said = "`avatar a4` has the unknown status \"ODD \", which is ignored";
    assert!(stderr(&waited).contains(said), "{}", stderr(&waited));
}
