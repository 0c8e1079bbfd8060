//! The ways that need no mail server: a program like `sendmail`, and a folder.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use avatar_watch::notify::email::config::{FileSpec, SendmailSpec};

use super::*;

/// A channel by way of a script, which finds its arguments from `$1` on.
fn sendmail(script: &str, limit: Duration) -> Channel {
    let command = ["/bin/sh", "-c", script, "sendmail"].map(str::to_owned).into();
    let post =
        TransportConfig::Sendmail(SendmailSpec { program: program(command), timeout: limit });
    Channel::Email(Email::new(spec_of(post)).unwrap())
}

fn folder(path: &Path) -> Channel {
    let post = TransportConfig::File(FileSpec { folder: path.to_owned() });
    Channel::Email(Email::new(spec_of(post)).unwrap())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
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
    let post = channel_without_bounces(&format!("printf '%s|' \"$@\" >{place}/arguments"));
    assert_eq!(attempt(&post).await.class, OutcomeClass::Delivered);
    let arguments = fs::read_to_string(folder.path().join("arguments")).unwrap();
    assert_eq!(arguments, format!("-i|-f||--|{TO}|"));
}

#[tokio::test]
async fn neither_a_recipient_nor_an_argument_is_an_option_or_a_command() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name).display().to_string();
    fs::write(at("sendmail"), "#!/bin/sh\ncat >/dev/null; printf '%s\\n' \"$@\" >\"$0-got\"\n")
        .unwrap();
    fs::set_permissions(at("sendmail"), fs::Permissions::from_mode(0o755)).unwrap();
    let ran = at("ran");
    let given = ["$(touch ran)".replace("ran", &ran), format!("; touch {ran}"), "a b".to_owned()];
    let command: Vec<String> = [at("sendmail")].into_iter().chain(given.clone()).collect();
    let post = TransportConfig::Sendmail(SendmailSpec { program: program(command), timeout: LONG });
    let channel = Channel::Email(Email::new(spec_of(post)).unwrap());
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
        let mut outcome = channel.deliver(&message, sample_events::DETECTED_AT).await;
        // A test that starts a child at the same time may hold the fresh program open.
        while outcome.class == OutcomeClass::Local {
            tokio::time::sleep(Duration::from_millis(10)).await;
            outcome = channel.deliver(&message, sample_events::DETECTED_AT).await;
        }
        assert_eq!(outcome.class, OutcomeClass::Delivered, "{outcome:?}");
        let got = fs::read_to_string(at("sendmail-got")).unwrap();
        let fixed = ["-i", "-f", "watch@example.com", "--", to].map(str::to_owned);
        let expected = [&given[..], &fixed].concat();
        assert_eq!(got.lines().collect::<Vec<_>>(), expected);
        assert!(!Path::new(&ran).exists());
    }
}

fn channel_without_bounces(script: &str) -> Channel {
    let command = ["/bin/sh", "-c", script, "sendmail"].map(str::to_owned).into();
    let post = TransportConfig::Sendmail(SendmailSpec { program: program(command), timeout: LONG });
    let spec = EmailSpec { bounces: Bounces::Nowhere, ..spec_of(post) };
    Channel::Email(Email::new(spec).unwrap())
}

#[tokio::test]
async fn a_file_that_is_not_executable_is_misconfigured_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sendmail");
    for (content, why) in [
        (&b"#!/no/such/interpreter\n"[..], "the interpreter in its first line does not exist"),
        (b"\x7fELF of another machine", "Exec format error"),
    ] {
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let command = vec![path.display().to_string()];
        let post =
            TransportConfig::Sendmail(SendmailSpec { program: program(command), timeout: LONG });
        let outcome = attempt(&Channel::Email(Email::new(spec_of(post)).unwrap())).await;
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
    fs::write(&path, "#!/bin/sh\necho \"$1: applet not found, $3 $4\" >&2; exit 127\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&path, mode).unwrap();
    let path = path.to_str().unwrap();
    let command = [path, "sendmail", "-ap", CANARY, &format!("--pass={CANARY}2")];
    let command = command.map(str::to_owned).into();
    let post = TransportConfig::Sendmail(SendmailSpec { program: program(command), timeout: LONG });
    // A test that starts a child at the same time may hold the fresh program open.
    let mut outcome = attempt(&Channel::Email(Email::new(spec_of(post.clone())).unwrap())).await;
    for _ in 0..100 {
        if outcome.class != OutcomeClass::Local {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        outcome = attempt(&Channel::Email(Email::new(spec_of(post.clone())).unwrap())).await;
    }
    assert_eq!(outcome.class, OutcomeClass::Misconfigured);
    let snippet = outcome.snippet.as_deref();
    assert_eq!(snippet, Some("sendmail: applet not found, *** --pass=***"));
}

#[tokio::test]
async fn a_killed_program_is_ambiguous_if_it_read_the_whole_mail() {
    let outcome = attempt(&sendmail("cat >/dev/null; kill -9 $$", LONG)).await;
    assert_eq!(outcome.class, OutcomeClass::Ambiguous, "{outcome:?}");
    assert!(outcome.error.unwrap().contains("it may have accepted the mail"));
    let channel = sendmail("head -c 9 >/dev/null; kill -9 $$", LONG);
    // More than waits in a pipe.
    let body = vec![b'x'; 1 << 20];
    let long = OutboundMessage { body, ..message(&channel) };
    let outcome = channel.deliver(&long, sample_events::DETECTED_AT).await;
    assert_eq!(outcome.class, OutcomeClass::Local, "{outcome:?}");
}

#[tokio::test]
async fn a_program_that_times_out_is_ambiguous() {
    let short = Duration::from_millis(500);
    let outcome = attempt(&sendmail("cat >/dev/null; sleep 600", short)).await;
    assert_eq!(outcome.class, OutcomeClass::Ambiguous, "{outcome:?}");
}

#[tokio::test]
async fn a_missing_program_is_misconfigured() {
    let command = vec!["/no/such/sendmail".to_owned()];
    let post = TransportConfig::Sendmail(SendmailSpec { program: program(command), timeout: LONG });
    let channel = Channel::Email(Email::new(spec_of(post)).unwrap());
    for outcome in [attempt(&channel).await, channel.probe().await] {
        let found = (outcome.class, outcome.phase);
        assert_eq!(found, (OutcomeClass::Misconfigured, "sendmail"));
        assert!(outcome.error.unwrap().contains("/no/such/sendmail"));
    }
    assert_eq!(sendmail("exit 1", LONG).probe().await.class, OutcomeClass::Delivered);
}

#[tokio::test]
async fn a_folder_gets_each_mail_once_with_its_envelope_and_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

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
    use std::os::unix::fs::{PermissionsExt as _, symlink};

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
    if !is_root() {
        let locked = place.path().join("locked");
        fs::create_dir(&locked).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o500);
        fs::set_permissions(&locked, mode).unwrap();
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
