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
async fn a_program_gets_the_mail_and_whom_it_is_for() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display();
    let script = format!("cat >{place}/mail; printf '%s|' \"$@\" >{place}/arguments");
    let channel = sendmail(&script, LONG);
    let parcel = parcel(&channel);
    for _ in 0..2 {
        let outcome = channel.deliver(&parcel, sample_events::DETECTED_AT).await;
        assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Delivered, "sendmail"));
        let arguments = fs::read_to_string(folder.path().join("arguments")).unwrap();
        assert_eq!(arguments, format!("-i|-f|watch@example.com|--|{TO}|"));
        let mail = fs::read_to_string(folder.path().join("mail")).unwrap();
        assert_eq!(mail.replace('\n', "\r\n").into_bytes(), parcel.body);
    }
    let post = channel_without_bounces(&format!("printf '%s|' \"$@\" >{place}/arguments"));
    assert_eq!(try_once(&post).await.class, OutcomeClass::Delivered);
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
    let parcel = parcel(&channel);
    for to in [
        "-oQ@example.com",
        "--help@example.com",
        "-f@example.com",
        "`touch`@example.com",
        "$HOME@example.com",
        "a|b@example.com",
        "\"$(touch ran); a\"@example.com",
    ] {
        let parcel = OutboundMessage { recipient: to.to_owned(), ..parcel.clone() };
        let mut outcome = channel.deliver(&parcel, sample_events::DETECTED_AT).await;
        // A test that starts a child at the same moment may hold the fresh program open.
        while outcome.class == OutcomeClass::Local {
            tokio::time::sleep(Duration::from_millis(10)).await;
            outcome = channel.deliver(&parcel, sample_events::DETECTED_AT).await;
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
async fn a_file_that_is_no_program_here_is_a_matter_of_the_settings_and_told_why() {
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
        let outcome = try_once(&Channel::Email(Email::new(spec_of(post)).unwrap())).await;
        assert_eq!(outcome.class, OutcomeClass::Misconfigured, "{outcome:?}");
        assert!(outcome.error.as_ref().unwrap().contains(why), "{outcome:?}");
    }
}

#[tokio::test]
async fn the_exit_status_is_the_verdict_and_not_what_the_program_heard_or_said() {
    for (code, class) in [
        (0, OutcomeClass::Delivered),
        (67, OutcomeClass::Rejected),
        (75, OutcomeClass::Retryable),
        (77, OutcomeClass::Misconfigured),
    ] {
        // It does not read: whoever writes gets a broken pipe.
        let channel = sendmail(&format!("exec <&-; echo \"<{TO}> no\" >&2; exit {code}"), LONG);
        let outcome = try_once(&channel).await;
        assert_eq!((outcome.class, outcome.phase), (class, "sendmail"), "{outcome:?}");
        assert_eq!(outcome.snippet.as_deref(), Some("<***> no"), "kept also where it was taken");
        if class != OutcomeClass::Delivered {
            assert!(outcome.error.unwrap().contains(&format!("exited with {code}")));
        }
    }
}

#[tokio::test]
async fn what_a_program_of_many_names_is_called_with_is_not_masked_and_a_password_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manybox");
    fs::write(&path, "#!/bin/sh\necho \"$1: applet not found, $3 $4\" >&2; exit 127\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&path, mode).unwrap();
    let path = path.to_str().unwrap();
    let command = [path, "sendmail", "-ap", CANARY, &format!("--pass={CANARY}2")];
    let command = command.map(str::to_owned).into();
    let post = TransportConfig::Sendmail(SendmailSpec { program: program(command), timeout: LONG });
    // A test that starts a child at the same moment may hold the fresh program open.
    let mut outcome = try_once(&Channel::Email(Email::new(spec_of(post.clone())).unwrap())).await;
    for _ in 0..100 {
        if outcome.class != OutcomeClass::Local {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        outcome = try_once(&Channel::Email(Email::new(spec_of(post.clone())).unwrap())).await;
    }
    assert_eq!(outcome.class, OutcomeClass::Misconfigured);
    let snippet = outcome.snippet.as_deref();
    assert_eq!(snippet, Some("sendmail: applet not found, *** --pass=***"));
}

#[tokio::test]
async fn a_program_that_is_killed_may_have_taken_the_mail_if_it_got_all_of_it() {
    let outcome = try_once(&sendmail("cat >/dev/null; kill -9 $$", LONG)).await;
    assert_eq!(outcome.class, OutcomeClass::Ambiguous, "{outcome:?}");
    assert!(outcome.error.unwrap().contains("it may have accepted the mail"));
    let channel = sendmail("head -c 9 >/dev/null; kill -9 $$", LONG);
    // More than waits in a pipe.
    let body = vec![b'x'; 1 << 20];
    let long = OutboundMessage { body, ..parcel(&channel) };
    let outcome = channel.deliver(&long, sample_events::DETECTED_AT).await;
    assert_eq!(outcome.class, OutcomeClass::Local, "{outcome:?}");
}

#[tokio::test]
async fn a_program_that_does_not_end_may_have_taken_the_mail() {
    let short = Duration::from_millis(500);
    let outcome = try_once(&sendmail("cat >/dev/null; sleep 600", short)).await;
    assert_eq!(outcome.class, OutcomeClass::Ambiguous, "{outcome:?}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_matter_of_settings() {
    let command = vec!["/no/such/sendmail".to_owned()];
    let post = TransportConfig::Sendmail(SendmailSpec { program: program(command), timeout: LONG });
    let channel = Channel::Email(Email::new(spec_of(post)).unwrap());
    for outcome in [try_once(&channel).await, channel.probe().await] {
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
    let parcel = parcel(&channel);
    for _ in 0..2 {
        let outcome = channel.deliver(&parcel, sample_events::DETECTED_AT).await;
        assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Delivered, "file"));
    }
    let entries = fs::read_dir(place.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let id = parcel.delivery_id.as_str();
    assert_eq!(names, [format!("{id}.eml"), format!("{id}.json")]);
    let mail = place.path().join(format!("{id}.eml"));
    assert_eq!(fs::read(&mail).unwrap(), parcel.body);
    assert_eq!(fs::metadata(&mail).unwrap().permissions().mode() & 0o777, 0o600);
    let envelope = fs::read(place.path().join(format!("{id}.json"))).unwrap();
    let envelope: serde_json::Value = serde_json::from_slice(&envelope).unwrap();
    let expected = serde_json::json!({
        "from": "watch@example.com", "to": TO, "event": parcel.event_id.as_str(), "delivery": id,
    });
    assert_eq!(envelope, expected);
}

#[tokio::test]
async fn a_mail_follows_no_link_and_takes_no_file_that_somebody_laid_in_its_folder() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    let home = tempfile::tempdir().unwrap();
    let (place, precious) = (home.path().join("mails"), home.path().join("precious"));
    fs::create_dir(&place).unwrap();
    fs::write(&precious, "precious").unwrap();
    let channel = folder(&place);
    let parcel = parcel(&channel);
    let id = parcel.delivery_id.as_str();
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
        let outcome = channel.deliver(&parcel, sample_events::DETECTED_AT).await;
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
async fn a_folder_that_cannot_be_written_to_is_a_matter_of_settings() {
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
        for outcome in [try_once(&channel).await, channel.probe().await] {
            let found = (outcome.class, outcome.phase);
            assert_eq!(found, (OutcomeClass::Misconfigured, "file"), "{outcome:?}");
        }
    }
}
