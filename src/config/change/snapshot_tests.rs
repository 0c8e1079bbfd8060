use crate::config::file::tests::read_with;

use super::*;

const FULL: &str = r#"
[argil]
api_key = "CANARY"
[accounts.studio]
api_key = "CANARY-2"
base_url = "https://example.com/v1"
[poll]
strategy = "list"
settled = "never"
[web]
listen = "[::1]:80"
hint_token = "CANARY-of-16-letters"
[[avatars]]
id = "a1"
[[avatars]]
id = "a2"
[discover]
enabled = true
channels = ["ops", "mail"]
[channels.ops]
type = "webhook"
url = "https://example.com/CANARY"
secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
operator = true
headers = { x-team = "CANARY" }
proxy = "http://CANARY@proxy.lan"
deny_private = true
[channels.mail]
type = "email"
from = "a@example.com"
to = ["c@example.com", "b@example.com"]
smtp = { host = "localhost", tls = "none", username = "u", password = "CANARY" }
"#;

fn full() -> Settings {
    let text = FULL.replace(
        "\"a2\"",
        "\"a2\"\nname = \"Jane\\n{\"\nchannels = [\"ops\"]\nassume = \"TRAINING\"\n\
         account = \"studio\"\noverdue_after = \"never\"",
    );
    read_with(&text, &[]).unwrap()
}

#[test]
fn no_secret_is_in_a_snapshot() {
    let text = ConfigSnapshot::text_of(&full());
    for secret in [
        "CANARY",
        "whsec_",
        "C2FVsBQIhrsc",
        "api_key",
        "password",
        "hint_token",
        "proxy.lan",
        "x-team",
    ] {
        assert!(!text.contains(secret), "`{secret}` is in {text}");
    }
    let none = read_with("argil.api_key = 'key'", &[]).unwrap();
    let in_memory = ConfigSnapshot::pair(&none, &read_with(FULL, &[]).unwrap());
    let hashed = format!("{in_memory:?}");
    assert!(!hashed.contains("CANARY") && !hashed.contains("C2FVs"), "a secret is in {hashed}");
    let snapshot = ConfigSnapshot::of(&full());
    let channel = &snapshot.sections["channels.ops"];
    let keys: Vec<&str> = channel.keys().map(String::as_str).collect();
    let expected = [
        "accepts",
        "deny_private",
        "events",
        "expires_after",
        "format",
        "on_unknown",
        "operator",
        "retry_schedule",
        "timeout",
        "type",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn a_snapshot_says_what_the_settings_say() {
    let snapshot = ConfigSnapshot::of(&full());
    let check = |section: &str, expected: &[(&str, &str)]| {
        let keys = &snapshot.sections[section];
        for (key, value) in expected {
            assert_eq!(keys.get(*key).map(String::as_str), Some(*value), "`{section}` `{key}`");
        }
    };
    check(
        "accounts.studio",
        &[("base_url", "https://example.com/v1"), ("unavailable_after", "15m")],
    );
    check("poll", &[("strategy", "list"), ("settled", "never"), ("training.min", "2s")]);
    check("poll", &[("backoff", "2s, 4s, 8s, 16s, 32s, 1m 4s, 2m 8s, 4m 16s, 5m")]);
    check("web", &[("listen", "[::1]:80")]);
    check("avatars.a1", &[("account", "argil"), ("overdue_after", "3x")]);
    check("avatars.a2", &[("account", "studio"), ("name", "Jane\n{"), ("assume", "TRAINING")]);
    check("discover", &[("accounts", "argil, studio"), ("channels", "mail, ops"), ("every", "5m")]);
    check("channels.mail", &[("to", "b@example.com, c@example.com"), ("smtp.port", "25")]);
    assert_eq!(snapshot.sections.len(), 11);
}

#[test]
fn a_snapshot_is_kept_as_text_and_taken_back_whole_or_not_at_all() {
    let text = ConfigSnapshot::text_of(&full());
    assert_eq!(ConfigSnapshot::from_text(&text), Some(ConfigSnapshot::of(&full())));
    let another = text.replace("\"version\":2", "\"version\":1");
    for refused in ["", "{}", "[]", &text[1..], &another] {
        assert_ne!(refused, text);
        assert_eq!(ConfigSnapshot::from_text(refused), None, "for {refused}");
    }
}

#[test]
fn avatars_that_are_the_same_in_both_settings_take_no_part_in_a_comparison() {
    let read = |text: &str| read_with(&FULL.replace("id = \"a2\"", text), &[]).unwrap();
    let (old, new) = (read("id = \"a2\""), read("\nid = \"a2\"\nname = \"Jane\""));
    let avatars = |snapshot: &ConfigSnapshot| {
        snapshot.named("avatars").map(|(id, _)| id.to_owned()).collect::<Vec<_>>()
    };
    let [before, after] = ConfigSnapshot::pair(&old, &new);
    assert_eq!((avatars(&before), avatars(&after)), (vec!["a2".to_owned()], vec!["a2".to_owned()]));
    // The lines of the file do not count.
    let [before, after] = ConfigSnapshot::pair(&old, &read("\n\nid = \"a2\""));
    assert!(avatars(&before).is_empty() && avatars(&after).is_empty());
}
