use crate::config::file::tests::read_with;
use crate::config::settings::Settings;

use super::*;

const OLD: &str = r#"
[argil]
api_key = "key"
[[avatars]]
id = "a1"
[[avatars]]
id = "a2"
channels = ["ops", "mail"]
[channels.mail]
type = "email"
from = "a@example.com"
to = ["b@example.com"]
smtp = { host = "localhost", tls = "none", username = "u", password = "CANARY" }
[channels.ops]
type = "webhook"
url = "https://example.com/CANARY"
secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
"#;

/// Takes replacements of the old text, and the changes that they make, as they are logged.
#[track_caller]
fn check(replacements: &[(&str, &str)], expected: &[&str]) {
    let changes = changes(replacements);
    let lines: Vec<String> = changes.iter().map(ConfigChange::to_string).collect();
    assert_eq!(lines, expected, "for {replacements:?}");
    let all = format!("{changes:?}");
    assert!(!all.contains("CANARY") && !all.contains("C2FVs"), "a secret is shown: {all}");
}

fn changes(replacements: &[(&str, &str)]) -> Vec<ConfigChange> {
    let [old, new] = [settings(&[]), settings(replacements)];
    difference(&old, &new)
}

fn difference(old: &Settings, new: &Settings) -> Vec<ConfigChange> {
    let [old, new] = ConfigSnapshot::pair(old, new);
    diff(&old, &new)
}

fn settings(replacements: &[(&str, &str)]) -> Settings {
    let text = replacements.iter().fold(OLD.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "`{from}` is not there");
        text.replacen(from, to, 1)
    });
    read_with(&text, &[]).unwrap()
}

#[test]
fn lines_and_order_are_no_difference() {
    check(&[], &[]);
    check(&[("[argil]", "# a comment\n\n[argil]")], &[]);
    check(&[("\"a1\"", "\"a2\""), ("\"a2\"\nchan", "\"a1\"\nchan"), ("channels = ", "#")], {
        &["avatar `a2` changed: `channels`"]
    });
    check(&[("\"ops\", \"mail\"", "\"mail\", \"ops\"")], &[]);
}

#[test]
fn a_reload_is_described_in_words() {
    check(
        &[("\"key\"", "\"CANARY\"\nunavailable_after = \"1h\"")],
        &["account `argil` changed: `api_key`, `unavailable_after`"],
    );
    check(
        &[("[[avatars]]", "[accounts.studio]\napi_key = \"CANARY\"\n[[avatars]]")],
        &["account `studio` added"],
    );
    check(
        &[("[argil]", "poll.missing = \"1m\"\npoll.strategy = \"list\"\n[argil]")],
        &["the polling changed: `missing` from `15m` to `1m`, `strategy` from `single` \
           to `list`"],
    );
    check(
        &[("[argil]", "events.infer_unseen_training = false\n[argil]")],
        &["the events changed: `infer_unseen_training` from `true` to `false`"],
    );
    check(
        &[("[argil]", "web.listen = \"off\"\nweb.hint_token = \"CANARY-of-16-letters\"\n[argil]")],
        &["the web changed: `hint_token`, `listen` from `127.0.0.1:8787` to `off`, `read` from \
             `local` to `token`"],
    );
    check(&[("[argil]", "discover.enabled = true\n[argil]")], &["discovery enabled"]);
}

#[test]
fn avatars_are_described_by_id_and_label_and_account() {
    check(
        &[
            ("id = \"a2\"\nchannels", "id = \"a3\"\nname = \"Jane\\u001B\"\naccount"),
            ("[\"ops\", \"mail\"]", "\"studio\""),
            ("[[avatars]]", "[accounts.studio]\napi_key = \"key2\"\n[[avatars]]"),
            ("id = \"a1\"", "id = \"a1\"\nname = \"Joe\"\noverdue_after = \"1h\""),
        ],
        &[
            "account `studio` added",
            "avatar `a1` changed: `name`, `overdue_after`",
            "avatar `a2` removed",
            "avatar `a3` \"Jane\\u{1b}\" of account `studio` added",
        ],
    );
}

#[test]
fn channels_are_described_by_the_names_of_their_keys() {
    check(
        &[("channels.mail", "channels.post"), (", \"mail\"]", "]"), ("MV+b", "MV+c")],
        &[
            "avatar `a2` changed: `channels`",
            "channel `mail` removed",
            "channel `ops` changed: `secret`",
            "channel `post` added",
        ],
    );
    check(&[("\"CANARY\" }", "\"q\" }")], &["channel `mail` changed: `smtp.password`"]);
    check(
        &[("/CANARY", "/CANARY-2"), ("[channels.ops]", "[channels.ops]\noperator = true")],
        &["channel `ops` changed: `operator`, `url`"],
    );
    check(
        &[(
            "[channels.ops]",
            "[channels.ops]\nproxy = \"http://CANARY@p.lan\"\n\
           headers.x-team = \"CANARY\"\ndeny_private = true",
        )],
        &["channel `ops` changed: `deny_private`, `headers`, `proxy`"],
    );
    check(
        &[("password = \"CANARY\"", "auth = \"xoauth2\", token_command = [\"/bin/CANARY\"]")],
        &["channel `mail` changed: `smtp.auth`, `smtp.password`, `smtp.token_command`"],
    );
    check(
        &[(
            "smtp = { host = \"localhost\", tls = \"none\", username = \"u\", \
             password = \"CANARY\" }",
            "list_unsubscribe = \"mailto:a@example.com\"\nsendmail = { command = [\"/bin/x\"] }",
        )],
        &["channel `mail` changed: `list_unsubscribe`, `sendmail.command`, `sendmail.timeout`, \
           `smtp.dot_timeout`, `smtp.host`, `smtp.password`, `smtp.port`, `smtp.tls`, \
           `smtp.username`"],
    );
    check(
        &[(", username = \"u\", password = \"CANARY\"", "")],
        &["channel `mail` changed: `smtp.password`, `smtp.username`"],
    );
}

#[test]
fn the_store_moves_only_with_a_restart() {
    let [change] = changes(&[("[argil]", "store.path = \"new.db\"\n[argil]")]).try_into().unwrap();
    assert!(change.needs_restart());
    assert_eq!(
        change.to_string(),
        "the store changed: `path` from `avatar-watch.db` to `new.db`; requires a restart",
    );
}

#[test]
fn how_long_the_past_is_kept_and_who_hears_of_us_take_effect_at_once() {
    let store = |days| format!("store.keep_deliveries = \"{days}d\"\n[argil]");
    let (old, new) = (store(7), store(8));
    check(&[("[argil]", &old)], &["the store changed: `keep_deliveries` from `90d` to `7d`"]);
    assert!(!changes(&[("[argil]", &new)])[0].needs_restart());
    let beat =
        |url| settings(&[("[argil]", &format!("heartbeat_url = \"http://h/{url}\"\n[argil]"))]);
    let describe = |old: &Settings, new: &Settings| difference(old, new)[0].to_string();
    assert_eq!(describe(&settings(&[]), &beat("CANARY")), "the heartbeat added");
    assert_eq!(describe(&beat("CANARY"), &settings(&[])), "the heartbeat removed");
    assert_eq!(describe(&beat("CANARY"), &beat("CANARY-2")), "the heartbeat changed: `url`");
}

#[test]
fn snapshots_differ_in_everything_but_their_secrets() {
    let new = [
        ("\"key\"", "\"CANARY\""),
        ("\"CANARY\" }", "\"q\" }"),
        ("/CANARY", "/CANARY-2"),
        ("MV+b", "MV+c"),
    ];
    assert_eq!(changes(&new).len(), 3);
    let snapshot = |replacements: &[_]| ConfigSnapshot::of(&settings(replacements));
    let check = |old: &ConfigSnapshot, new: &ConfigSnapshot, expected: &[&str]| {
        let marked: Vec<String> = diff(old, new).iter().map(ConfigChange::diff_line).collect();
        assert_eq!(marked, expected);
    };
    check(&snapshot(&[]), &snapshot(&new), &[]);
    check(
        &snapshot(&[("id = \"a1\"", "id = \"a0\"\nname = \"Joe\"")]),
        &snapshot(&[("a@example.com", "z@example.com")]),
        &["- avatar `a0` \"Joe\"", "+ avatar `a1`", "~ channel `mail`: `bounce_to`, `from`"],
    );
    check(
        &ConfigSnapshot::default(),
        &snapshot(&[]),
        &[
            "+ account `argil`",
            "+ avatar `a1`",
            "+ avatar `a2`",
            "+ channel `mail`",
            "+ channel `ops`",
            "+ the events",
            "+ the polling",
            "+ the store",
            "+ the web",
        ],
    );
}
