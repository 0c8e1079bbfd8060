//! The ways that need no mail server: a program like `sendmail`, and a folder.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use avatar_watch::notify::email::config::SendmailSpec;

use super::*;

fn by_program(command: &[&str], timeout: Duration) -> EmailSpec {
    let program = program(command.iter().map(ToString::to_string).collect());
    spec_of(TransportConfig::Sendmail(SendmailSpec { program, timeout }))
}

/// A channel by way of a script, which finds its arguments from `$1` on.
fn sendmail(script: &str, limit: Duration) -> Channel {
    build(by_program(&["/bin/sh", "-c", script, "sendmail"], limit))
}

fn folder(path: &Path) -> Channel {
    build(spec_of(TransportConfig::File(path.to_owned())))
}

fn write_program(path: impl AsRef<Path>, content: &[u8]) {
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// One attempt by a fresh program, which a test that starts a child at the same time may hold
/// open.
async fn attempt_by_fresh_program(channel: &Channel, message: &OutboundMessage) -> Outcome {
    loop {
        let outcome = channel.deliver(message, sample_events::DETECTED_AT).await;
        if outcome.class != OutcomeClass::Local {
            return outcome;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_program_gets_the_mail_and_its_recipient() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display();
    let script = format!("cat >{place}/mail; printf '%s|' \"$@\" >{place}/arguments");
    let channel = sendmail(&script, LONG);
    let message = message(&channel);
    for _ in 0..2 {
        let outcome = channel.deliver(&message, sample_events::DETECTED_AT).await;
        assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Delivered, "sendmail"));
        let arguments = fs::read_to_string(folder.path().join("arguments")).unwrap();
        assert_eq!(arguments, format!("-i|-f|watch@example.com|--|{TO}|"));
        let mail = fs::read_to_string(folder.path().join("mail")).unwrap();
        assert_eq!(mail.replace('\n', "\r\n").into_bytes(), message.body);
    }
    let spec = by_program(&["/bin/sh", "-c", &script, "sendmail"], LONG);
    let channel = build(EmailSpec { bounces: None, ..spec });
    assert_eq!(attempt(&channel).await.class, OutcomeClass::Delivered);
    let arguments = fs::read_to_string(folder.path().join("arguments")).unwrap();
    assert_eq!(arguments, format!("-i|-f||--|{TO}|"));
}

#[tokio::test]
async fn neither_a_recipient_nor_an_argument_is_an_option_or_a_command() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name).display().to_string();
    let script = b"#!/bin/sh\ncat >/dev/null; printf '%s\\n' \"$@\" >\"$0-got\"\n";
    write_program(at("sendmail"), script);
    let ran = at("ran");
    let given = ["$(touch ran)".replace("ran", &ran), format!("; touch {ran}"), "a b".to_owned()];
    let [first, second, third] = given.each_ref();
    let channel = build(by_program(&[&at("sendmail"), first, second, third], LONG));
    let message = message(&channel);
    for to in [
        "-oQ@example.com",
        "--help@example.com",
        "-f@example.com",
        "`touch`@example.com",
        "$HOME@example.com",
        "a|b@example.com",
        "\"$(touch ran); a\"@example.com",
    ] {
        let message = OutboundMessage { recipient: to.to_owned(), ..message.clone() };
        let outcome = attempt_by_fresh_program(&channel, &message).await;
        assert_eq!(outcome.class, OutcomeClass::Delivered, "{outcome:?}");
        let got = fs::read_to_string(at("sendmail-got")).unwrap();
        let fixed = ["-i", "-f", "watch@example.com", "--", to].map(str::to_owned);
        let expected = [&given[..], &fixed].concat();
        assert_eq!(got.lines().collect::<Vec<_>>(), expected);
        assert!(!Path::new(&ran).exists());
    }
}

#[tokio::test]
async fn a_file_that_is_not_executable_is_misconfigured_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sendmail");
    for (content, why) in [
        (&b"#!/no/such/interpreter\n"[..], "the interpreter in its first line does not exist"),
        (b"\x7fELF of another machine", "Exec format error"),
    ] {
        write_program(&path, content);
        let outcome = attempt(&build(by_program(&[path.to_str().unwrap()], LONG))).await;
        assert_eq!(outcome.class, OutcomeClass::Misconfigured, "{outcome:?}");
        assert!(outcome.error.as_ref().unwrap().contains(why), "{outcome:?}");
    }
}

#[tokio::test]
async fn the_exit_status_decides_whatever_the_program_read_or_printed() {
    for (code, class) in [
        (0, OutcomeClass::Delivered),
        (67, OutcomeClass::Rejected),
        (75, OutcomeClass::Retryable),
        (77, OutcomeClass::Misconfigured),
    ] {
        // It does not read, so writing fails with a broken pipe.
        let channel = sendmail(&format!("exec <&-; echo \"<{TO}> no\" >&2; exit {code}"), LONG);
        let outcome = attempt(&channel).await;
        assert_eq!((outcome.class, outcome.phase), (class, "sendmail"), "{outcome:?}");
        assert_eq!(outcome.snippet.as_deref(), Some("<***> no"), "kept also where it was taken");
        if class != OutcomeClass::Delivered {
            assert!(outcome.error.unwrap().contains(&format!("exited with {code}")));
        }
    }
}

#[tokio::test]
async fn a_password_is_masked_and_the_applet_of_busybox_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manybox");
    write_program(&path, b"#!/bin/sh\necho \"$1: applet not found, $3 $4\" >&2; exit 127\n");
    let pass = format!("--pass={CANARY}2");
    let command = [path.to_str().unwrap(), "sendmail", "-ap", CANARY, &pass];
    let channel = build(by_program(&command, LONG));
    let outcome = attempt_by_fresh_program(&channel, &message(&channel)).await;
    assert_eq!(outcome.class, OutcomeClass::Misconfigured);
    let snippet = outcome.snippet.as_deref();
    assert_eq!(snippet, Some("sendmail: applet not found, *** --pass=***"));
}

#[tokio::test]
async fn a_killed_program_is_ambiguous_if_it_read_the_whole_mail() {
    let late = sendmail("cat >/dev/null; sleep 600", Duration::from_millis(500));
    for channel in [sendmail("cat >/dev/null; kill -9 $$", LONG), late] {
        let outcome = attempt(&channel).await;
        assert_eq!(outcome.class, OutcomeClass::Ambiguous, "{outcome:?}");
        assert!(outcome.error.unwrap().contains("it may have accepted the mail"));
    }
    let channel = sendmail("head -c 9 >/dev/null; kill -9 $$", LONG);
    // More than waits in a pipe.
    let body = vec![b'x'; 1 << 20];
    let long = OutboundMessage { body, ..message(&channel) };
    let outcome = channel.deliver(&long, sample_events::DETECTED_AT).await;
    assert_eq!(outcome.class, OutcomeClass::Local, "{outcome:?}");
}

#[tokio::test]
async fn a_missing_program_is_misconfigured() {
    let channel = build(by_program(&["/no/such/sendmail"], LONG));
    for outcome in [attempt(&channel).await, channel.probe().await] {
        let found = (outcome.class, outcome.phase);
        assert_eq!(found, (OutcomeClass::Misconfigured, "sendmail"));
        assert!(outcome.error.unwrap().contains("/no/such/sendmail"));
    }
    assert_eq!(sendmail("exit 1", LONG).probe().await.class, OutcomeClass::Delivered);
}

#[tokio::test]
async fn a_folder_gets_each_mail_once_with_its_envelope_and_for_its_owner_alone() {
    let place = tempfile::tempdir().unwrap();
    let channel = folder(place.path());
    assert_eq!(channel.probe().await.class, OutcomeClass::Delivered);
    let message = message(&channel);
    for _ in 0..2 {
        let outcome = channel.deliver(&message, sample_events::DETECTED_AT).await;
        assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Delivered, "file"));
    }
    let entries = fs::read_dir(place.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let id = message.delivery_id.as_str();
    assert_eq!(names, [format!("{id}.eml"), format!("{id}.json")]);
    let mail = place.path().join(format!("{id}.eml"));
    assert_eq!(fs::read(&mail).unwrap(), message.body);
    assert_eq!(fs::metadata(&mail).unwrap().permissions().mode() & 0o777, 0o600);
    let envelope = fs::read(place.path().join(format!("{id}.json"))).unwrap();
    let envelope: serde_json::Value = serde_json::from_slice(&envelope).unwrap();
    let expected = serde_json::json!({
        "from": "watch@example.com", "to": TO, "event": message.event_id.as_str(), "delivery": id,
    });
    assert_eq!(envelope, expected);
}

#[tokio::test]
async fn a_mail_file_follows_no_link_and_replaces_planted_files() {
    let home = tempfile::tempdir().unwrap();
    let (place, precious) = (home.path().join("mails"), home.path().join("precious"));
    fs::create_dir(&place).unwrap();
    fs::write(&precious, "precious").unwrap();
    let channel = folder(&place);
    let message = message(&channel);
    let id = message.delivery_id.as_str();
    let names = ["json", "eml"].map(|end| format!("{id}.{end}"));
    let drafts = names.each_ref().map(|name| format!(".{name}.tmp"));
    let links: &dyn Fn(&Path) = &|path| symlink(&precious, path).unwrap();
    let nowhere: &dyn Fn(&Path) = &|path| symlink(home.path().join("nowhere"), path).unwrap();
    let open_files: &dyn Fn(&Path) = &|path| {
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    };
    for lay in [links, nowhere, open_files] {
        for name in names.iter().chain(&drafts) {
            drop(fs::remove_file(place.join(name)));
            lay(&place.join(name));
        }
        let outcome = channel.deliver(&message, sample_events::DETECTED_AT).await;
        assert_eq!(outcome.class, OutcomeClass::Delivered, "{outcome:?}");
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        assert!(!home.path().join("nowhere").exists());
        for name in &names {
            let found = fs::symlink_metadata(place.join(name)).unwrap();
            assert!(found.is_file() && found.permissions().mode() & 0o777 == 0o600, "{found:?}");
        }
    }
}

#[tokio::test]
async fn a_folder_that_is_not_writable_is_misconfigured() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    let mut bad = vec![place.path().join("absent"), file];
    if !rustix::process::geteuid().is_root() {
        let locked = place.path().join("locked");
        fs::create_dir(&locked).unwrap();
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
        bad.push(locked);
    }
    for path in bad {
        let channel = folder(&path);
        for outcome in [attempt(&channel).await, channel.probe().await] {
            let found = (outcome.class, outcome.phase);
            assert_eq!(found, (OutcomeClass::Misconfigured, "file"), "{outcome:?}");
        }
    }
}
