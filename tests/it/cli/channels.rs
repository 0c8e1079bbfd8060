//! `channels`, and admin operations on deliveries, beside the real daemon.

use std::path::Path;

use super::*;

/// A channel in the output of `channels --json`.
fn channel(bench: &Bench, name: &str) -> Value {
    let channels = bench.json(&["channels", "--json"]);
    let channel = channels.as_array().unwrap().iter().find(|channel| channel["name"] == name);
    channel.unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_channel_is_shown_reported_and_enabled_manually() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let watch = Receiver::start().await;
    let config = Config::new(argil.base_url())
        .webhook("watch", &watch.url())
        .with("\nevents = []\noperator = true\n")
        .webhook("ops", &receiver.url())
        .avatar("a1");
    let bench = Bench::new(config.text());
    receiver.script([Answer::status(410)]);
    let daemon = bench.start_training(&argil);
    argil.set_status("a1", "IDLE");
    let notified = watch.wait_for(1).await;
    let notified = notified[0].json();
    assert_eq!(
        (&notified["type"], &notified["data"]["channel"]),
        (&"channel.disabled".into(), &"ops".into())
    );
    daemon.wait_for_log("avatar-watch channels enable ops");
    let ops = channel(&bench, "ops");
    assert_eq!((&ops["state"], &ops["in_flight"]), (&"disabled".into(), &1.into()));
    bench.prints(&["channels"], 0, &["DISABLED", "410"]);
    bench.prints(&["status"], 0, &["critical: Channel ops is disabled: "]);
    for wrong in ["pause", "resume"] {
        bench.complains(&["channels", wrong, "ops"], 1, &["avatar-watch channels enable ops"]);
    }

    assert_eq!(
        stdout(&bench.run(&["channels", "enable", "ops"])),
        "ops: is used again: one message first, then the others\n"
    );
    receiver.wait_for(2).await;
    let rows = bench.wait_for_deliveries("both", |rows| {
        rows.iter().filter(|row| row["channel"] == "ops").all(|row| row["state"] == "delivered")
    });
    assert_eq!(rows.iter().filter(|row| row["channel"] == "ops").count(), 1);
    let received = receiver.received();
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert_eq!(received[0].body, received[1].body);
    let ended = watch.wait_for(2).await;
    let ended = ended[1].json();
    assert_eq!(ended["data"]["state"], "resolved");
    assert_eq!(stdout(&bench.run(&["channels", "enable", "ops"])), "ops: works already\n");
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_survives_a_restart_and_an_unknown_channel_is_an_error() {
    let (argil, receiver, bench, daemon) = settled().await;
    bench.prints(&["channels", "pause", "ops"], 0, &["ops: paused until `avatar-watch "]);
    assert!(daemon.stop().success());
    let daemon = bench.start();
    argil.set_status("a1", "REFUSED");
    bench
        .wait_for_deliveries("what waits", |rows| rows.len() == 2 && rows[1]["state"] == "pending");
    assert_eq!(channel(&bench, "ops")["state"], "paused");
    assert_eq!(receiver.received().len(), 1);
    assert_eq!(stdout(&bench.run(&["channels", "resume", "ops"])), "ops: resumed\n");
    receiver.wait_for(2).await;
    bench.complains(
        &["channels", "pause", "opps"],
        2,
        &["no channel `opps`", "did you mean `ops`?"],
    );
    assert_eq!(bench.run(&["channels", "pause", "o p s"]).status.code(), Some(2));
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_as_new_has_another_id_and_the_same_bytes() {
    let (_argil, receiver, bench, daemon) = settled().await;
    let first = bench.deliveries()[0]["id"].as_str().unwrap().to_owned();
    bench.prints(&["deliveries", "retry", &first, "--as-new"], 0, &[]);
    receiver.wait_for(2).await;
    let rows = bench.wait_for_deliveries("the new one", |rows| {
        rows.len() == 2 && rows[1]["state"] == "delivered"
    });
    assert_ne!(rows[0]["event_id"], rows[1]["event_id"]);
    let received = receiver.received();
    assert_ne!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert_eq!(received[1].header("webhook-id"), rows[1]["event_id"]);
    assert_eq!(received[0].body, received[1].body);
    // Under the same id it is the same event, whichever of its rows is sent again.
    assert!(bench.run(&["deliveries", "retry", &first]).status.success());
    let received = receiver.wait_for(3).await;
    assert_eq!(received[0].header("webhook-id"), received[2].header("webhook-id"));
    assert!(daemon.stop().success());
}

/// The `Message-ID` and the event's header of a mail, and its words.
fn ids_of_mail(folder: &Path, delivery: &Value) -> (String, String, String) {
    let file = folder.join(format!("{}.eml", delivery["id"].as_str().unwrap()));
    let mail = std::fs::read_to_string(file).unwrap();
    let (head, words) = mail.split_once("\r\n\r\n").unwrap();
    let header = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no `{name}` in {head}")).to_owned()
    };
    (header("Message-ID: "), header("X-Avatar-Watch-Event: "), words.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_as_new_changes_ids_and_names_the_original_event() {
    let (argil, chat) = (FakeArgil::start(), Receiver::start().await);
    let bus = Receiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mails = format!(
        "\n[channels.mail]\ntype = \"email\"\nfrom = \"watch@example.com\"\n\
         to = [\"studio@example.com\"]\nfile = {{ folder = \"{}\" }}\n",
        folder.path().display()
    );
    let config = Config::new(argil.base_url())
        .with(&format!("\n[channels.chat]\ntype = \"webhook\"\nurl = \"{}\"\n", chat.url()))
        .with("format = \"discord\"\naccepts = \"any-2xx\"\n")
        .webhook("bus", &bus.url())
        .with("\nformat = \"cloudevents\"\n")
        .with(&mails)
        .with("\n[[avatars]]\nid = \"a1\"\nassume = \"TRAINING\"\n");
    let bench = Bench::new(config.text());
    argil.set_status("a1", "IDLE");
    let daemon = bench.start();
    let all = |count| {
        move |rows: &[Value]| {
            rows.len() == count && rows.iter().all(|row| row["state"] == "delivered")
        }
    };
    let first = bench.wait_for_deliveries("the first ones", all(3));
    for row in &first {
        let id = row["id"].as_str().unwrap();
        bench.prints(&["deliveries", "retry", id, "--as-new"], 0, &[]);
    }
    let rows = bench.wait_for_deliveries("the new ones", all(6));
    let of = |channel: &str| -> Vec<&Value> {
        rows.iter().filter(|row| row["channel"] == channel).collect()
    };
    let [old, new] = of("mail")[..] else { panic!("{rows:?}") };
    let (old_event, new_event) = (old["event_id"].as_str().unwrap(), &new["event_id"]);
    let (_, _, old_words) = ids_of_mail(folder.path(), old);
    let (message_id, event, words) = ids_of_mail(folder.path(), new);
    let new_event = new_event.as_str().unwrap();
    assert_eq!(event, new_event);
    let expected = format!("<{new_event}.{}@example.com>", new["id"].as_str().unwrap());
    assert_eq!(message_id, expected);
    assert_eq!(words, old_words, "no part is torn from its boundary");
    let decoded = words.replace("=\r\n", "");
    assert!(decoded.contains(old_event) && !decoded.contains(new_event));

    let sent: Vec<Value> = bus.received().iter().map(|it| it.json()).collect();
    let ids: Vec<&Value> = of("bus").iter().map(|row| &row["event_id"]).collect();
    assert_eq!([&sent[0]["id"], &sent[1]["id"]], ids[..]);
    let said = chat.received();
    let text = String::from_utf8(said[1].body.to_vec()).unwrap();
    let chat = of("chat");
    assert!(text.contains(chat[1]["event_id"].as_str().unwrap()), "{text}");
    assert!(!text.contains(chat[0]["event_id"].as_str().unwrap()), "{text}");
    assert!(daemon.stop().success());
}
