use std::fs;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::schema::json_schema::tests::complaints;
use crate::config::schema::keys;
use crate::config::settings::{
    AccountSettings, ChannelKind, ChannelSettings, EmailSettings, MailTransport, WebhookSettings,
};
use crate::domain::account::AccountName;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::retry_policy::RetrySchedule;
use crate::domain::event::EventKind;
use crate::domain::mail::options::SmtpTls;
use crate::domain::read_access::ReadAccess;

/// The least that loads; tests add to it.
const LEAST: &str = "argil.api_key = 'key'\n";
/// A webhook in four lines.
pub(in crate::config) const HOOK: &str = "[channels.ops]\ntype = 'webhook'\n\
    url = 'https://example.com'\nsecret = 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD'\n";
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const VARIABLES: [(&str, &str); 11] = [
    ("ARGIL_API_KEY", "CANARY-key"),
    ("OPS_WEBHOOK_SECRET", SECRET),
    ("OPS_WEBHOOK_LOGIN", "Bearer CANARY"),
    ("OPS_WEBHOOK_PROXY", "http://CANARY@proxy.example.com:3128"),
    ("TEAM_CHAT_URL", "https://chat.example.com/hooks/CANARY"),
    ("SMTP_PASSWORD", "CANARY password"),
    ("SECOND_STUDIO_API_KEY", "CANARY-second-key"),
    ("AVATAR_WATCH_HINT_TOKEN", "CANARY-of-16-letters"),
    ("AVATAR_WATCH_TOKEN", "CANARY-of-16-others"),
    ("EMPTY", ""),
    ("STATE_DIRECTORY", "/var/lib/avatar-watch:/var/lib/other"),
];

fn environment(names: &[&str]) -> Environment {
    VARIABLES.into_iter().filter(|(name, _)| names.contains(name)).collect()
}

pub(in crate::config) fn read_with(text: &str, names: &[&str]) -> Result<Settings, Vec<Problem>> {
    let path = Path::new("config.toml");
    let read = read_text(path, text, FileAccess::Owner, &environment(names));
    if read.is_ok() {
        // What the reader takes, the schema for editors takes too.
        assert_eq!(complaints(text), [""; 0], "for:\n{text}");
    }
    read
}

pub(in crate::config) fn settings(text: &str) -> Settings {
    read_with(&format!("{LEAST}{text}"), &[]).unwrap()
}

pub(in crate::config) fn channel(text: &str) -> ChannelSettings {
    settings(text).channels.into_values().next().unwrap()
}

pub(in crate::config) fn webhook(text: &str) -> WebhookSettings {
    let ChannelKind::Webhook(webhook) = channel(text).kind else { panic!("no webhook: {text}") };
    *webhook
}

pub(in crate::config) fn email(text: &str) -> EmailSettings {
    let ChannelKind::Email(email) = channel(text).kind else { panic!("no mail channel: {text}") };
    *email
}

fn texts(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

/// Takes a config and everything that is text about it.
#[track_caller]
pub(in crate::config) fn check(text: &str, expected: &str) {
    let found = match read_with(text, &["EMPTY"]) {
        Ok(settings) => texts(&settings.warnings),
        Err(problems) => texts(&problems),
    };
    assert_eq!(found.trim_end(), expected.trim(), "for:\n{text}");
}

/// Takes lines that are added to a good config, and what is text about them; warnings about
/// missing keys are omitted.
#[track_caller]
pub(in crate::config) fn check_added(text: &str, expected: &str) {
    let found = match read_with(&format!("{LEAST}{text}"), &["EMPTY"]) {
        Ok(settings) => {
            let about_lines =
                settings.warnings.into_iter().filter(|warning| warning.line.is_some());
            texts(&about_lines.collect::<Vec<_>>())
        }
        Err(problems) => texts(&problems),
    };
    assert_eq!(found.trim_end(), expected.trim(), "for:\n{text}");
}

/// Takes keys of a webhook, and what is said of one of them, which stands in the first line.
#[track_caller]
pub(in crate::config) fn check_hook(keys: &str, key: &str, said: &str) {
    let expected = match said {
        "" => String::new(),
        said => format!("config.toml:6: `channels.ops.{key}` {said}"),
    };
    check_added(&format!("{HOOK}{keys}"), &expected);
}

#[test]
fn every_problem_is_reported_at_once() {
    let expected = include_str!("testdata/broken.txt");
    assert!(!expected.contains("CANARY"), "a secret is repeated");
    check(include_str!("testdata/broken.toml"), expected);
}

#[test]
fn damaged_text_hides_no_other_problem_and_causes_none() {
    check(
        r#"
[argil]
timeout = 15s
max_concurrency = 0
[poll]
settled = "1h
settled = "2h"
missing = 5
[[avatars]]
id = "a1"
channels = ["ops"]
[channels.ops
type = "webhook"
url = 7

[events]
infer_unseen_training = 1
[channels.mail]
to = ["a@example.com"
smtp = { host = 7 }
[store]
path = 7
"#,
        include_str!("testdata/damaged.txt"),
    );
}

#[test]
fn numbers_and_durations_are_checked() {
    let check = |value: &str, expected: &str| {
        let expected = match expected {
            "" => String::new(),
            expected => format!("config.toml:2: `poll.missing` {expected}"),
        };
        check_added(&format!("poll.missing = {value}\n"), &expected);
    };
    let range = "  help: write a duration from `10ms` to `30days`";
    let examples = "  help: write something like `200ms`, `5s` or `1h 30m`";
    check("'1h 30m'", "");
    check("'10ms'", "");
    check("60", "is `60`, which has no unit\n  help: write `60s` or `1m`");
    check("'5'", "is `5`, which has no unit\n  help: write `5s` or `5ms`");
    check("0.5", "is `0.5`, which has no unit\n  help: write `500ms`");
    check("-1", &format!("is `-1`, which has no unit\n{examples}"));
    check("1e300", &format!("is `1e300`, which has no unit\n{examples}"));
    check("'0s'", &format!("is `0s`\n{range}"));
    check("'99999years'", &format!("is `99999years`\n{range}"));
    check("'soon'", &format!("is `soon`, which is no duration\n{examples}"));
    check("''", "is empty\n  help: set a value, or remove the key");
    check("[]", "is a list, but must be a duration such as `5s`");
}

#[test]
fn a_wait_that_is_longer_than_the_longest_is_reported_where_it_stands() {
    check_added(
        "poll.training.min = '90s'\npoll.backoff.max = '1s'",
        "
config.toml:2: `poll.training.min` is `1m 30s`, which is longer than `max`, which is `1m`
  help: write at most `1m`, or a longer `max`
config.toml:3: `poll.backoff.max` is `1s`, which is shorter than `initial`, which is `2s`
  help: write at least `2s`, or a shorter `initial`",
    );
    // A bad value is not replaced by its default, and so causes no second problem.
    check_added(
        "poll.training.max = '1s'\npoll.training.min = 7",
        "config.toml:3: `poll.training.min` is `7`, which has no unit\n  \
         help: write `7s` or `7ms`",
    );
}

#[test]
fn a_config_of_nothing_but_a_key_has_every_default() {
    let settings = read_with(LEAST, &[]).unwrap();
    let argil = &settings.accounts[&AccountName::default()];
    assert_eq!(argil.base_url.as_str(), "https://api.argil.ai/v1");
    assert_eq!(argil.timeout, Duration::from_secs(15));
    assert_eq!((argil.max_concurrency, argil.max_requests_per_second), (16, 10));
    let settled = &settings.intervals.settled;
    let delays = [0, 9, 10, 69, 70, 1_509, 1_510].map(|age_min| {
        let age = Duration::from_secs(age_min * 60);
        settled.delay(age).map(|delay| delay.as_secs())
    });
    let expected = [15, 15, 120, 120, 300, 300, 3_600].map(Some);
    assert_eq!(delays, expected, "at the bounds of each step");
    assert_eq!(settings.store_path, Path::new("avatar-watch.db"));
    assert!(settings.infer_unseen_training);
    assert_eq!(
        texts(&settings.warnings),
        "config.toml: `channels` is empty, so no notifications are sent\n  \
         help: add `[channels.NAME]` with a `type`\n\
         config.toml: `avatars` is empty, so no avatar is watched\n  \
         help: add `[[avatars]]` with an `id`\n",
    );
}

#[test]
fn the_api_is_asked_in_the_clear_only_on_this_machine() {
    let check = |url: &str, expected: &str| {
        let line = format!("argil.base_url = '{url}'");
        let found = match read_with(&format!("{LEAST}{line}"), &[]) {
            Ok(_) => String::new(),
            Err(problems) => problems[0].message.clone(),
        };
        assert_eq!(found, expected, "for `{url}`");
    };
    check("http://127.0.0.1:8080", "");
    check("http://localhost/v1", "");
    check("http://[::1]:1/", "");
    check("http://10.0.0.1", "is `http`, which would send the API key unencrypted");
    check("https://a:b@example.com", "has a user name or password in it");
    check("https://example.com/?a", "has a `?` or `#` in it");
    check("ftp://example.com", "is neither `https` nor `http`");
    check("mailto:a@example.com", "is no `https` URL with a host");
    check("example.com", "is no URL");
}

#[test]
fn a_webhook_in_the_clear_is_a_warning_and_only_beyond_the_own_network() {
    let check = |url: &str, warnings: usize| {
        let channel = format!("type = 'webhook'\nurl = '{url}'\nsecret = '{SECRET}'");
        let text = format!("{LEAST}avatars = [{{ id = 'a1' }}]\n[channels.ops]\n{channel}");
        let settings = read_with(&text, &[]).unwrap();
        assert_eq!(settings.warnings.len(), warnings, "for `{url}`");
    };
    check("https://example.com/x", 0);
    check("http://example.com/x", 1);
    check("http://192.168.0.9/x", 0);
    check("http://receiver:8080/x", 0);
}

#[test]
fn sections_of_the_wrong_type_get_a_help() {
    check_added(
        "poll = 1\n[avatars]\nid = 'a1'\n[[channels]]\ntype = 'webhook'",
        "
config.toml:2: `poll` is an integer, but must be a table
config.toml:3: `avatars` is a single table, but must be a list of tables
  help: write `[[avatars]]`, with two brackets
config.toml:5: `channels` is a list
  help: write `[channels.NAME]`, with one bracket and a name",
    );
}

#[test]
fn the_config_block_of_the_contract_loads() {
    let text = include_str!("testdata/contract.toml");
    let names = ["ARGIL_API_KEY", "OPS_WEBHOOK_SECRET", "SMTP_PASSWORD", "STATE_DIRECTORY"];
    let settings = read_with(text, &names).unwrap();
    assert_eq!(settings.warnings, []);
    assert_eq!(settings.store_path, Path::new("/var/lib/avatar-watch/avatar-watch.db"));
    assert_eq!(settings.avatars[0].location.line, 25);
    assert_eq!(settings.avatars[0].channels.as_ref().unwrap().len(), 2);
    let ops = &settings.channels[&ChannelName::parse("ops").unwrap()];
    assert_eq!(ops.events, EventKind::DEFAULT);
    assert_eq!(ops.policy.schedule.delays(), RetrySchedule::webhook().delays());
    let mail = &settings.channels[&ChannelName::parse("studio-mail").unwrap()];
    let ChannelKind::Email(email) = &mail.kind else { panic!("a mail channel") };
    assert_eq!(email.message_id_domain.as_str(), "example.com");
    let MailTransport::Smtp(smtp) = &email.transport else { panic!("a mail server") };
    assert_eq!((smtp.tls, smtp.port), (SmtpTls::Starttls, 587));
}

const EXAMPLE: &str = include_str!("../../config.example.toml");

#[test]
fn the_example_loads_and_its_defaults_are_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let authority = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
    for name in ["mail-ca.pem", "webhook-ca.pem"] {
        fs::write(folder.path().join(name), &authority).unwrap();
    }
    let path = folder.path().join("config.toml");
    let names = [
        "ARGIL_API_KEY",
        "SECOND_STUDIO_API_KEY",
        "OPS_WEBHOOK_SECRET",
        "OPS_WEBHOOK_LOGIN",
        "OPS_WEBHOOK_PROXY",
        "TEAM_CHAT_URL",
        "SMTP_PASSWORD",
        "AVATAR_WATCH_HINT_TOKEN",
        "AVATAR_WATCH_TOKEN",
    ];
    let load = |text: &str| {
        fs::write(&path, text).unwrap();
        load(&ConfigFile::named(&path), &environment(&names)).unwrap()
    };
    let example = load(EXAMPLE);
    let spelled_out: String = EXAMPLE.lines().map(uncomment).collect();
    let mut spelled_out = load(&spelled_out);
    let mail = spelled_out.channels.get_mut(&ChannelName::parse("studio-mail").unwrap()).unwrap();
    let ChannelKind::Email(email) = &mut mail.kind else { panic!("a mail channel") };
    let MailTransport::Smtp(smtp) = &mut email.transport else { panic!("a mail server") };
    assert!(smtp.ca_file.take().is_some() && smtp.hello_name.take().is_some());
    let bounces = email.bounce_to.replace(email.from.clone());
    assert!(bounces.is_some_and(|it| it != email.from) && email.reply_to.take().is_some());
    assert!(email.list_unsubscribe.take().is_some());
    for other in ["vault-mail", "token-mail", "local-mail", "draft-mail"] {
        let other = spelled_out.channels.remove(&ChannelName::parse(other).unwrap());
        assert!(matches!(other.unwrap().kind, ChannelKind::Email(_)));
    }
    let ops = spelled_out.channels.get_mut(&ChannelName::parse("ops").unwrap()).unwrap();
    let ChannelKind::Webhook(webhook) = &mut ops.kind else { panic!("a webhook") };
    assert!(webhook.ca_file.take().is_some() && webhook.proxy.take().is_some());
    assert_eq!(std::mem::take(&mut webhook.headers).len(), 1);
    // Tags change nothing unless a channel asks for them.
    let of_accounts = spelled_out.accounts.values_mut().map(|it| &mut it.tags);
    for tags in of_accounts.chain(spelled_out.avatars.iter_mut().map(|it| &mut it.tags)) {
        assert!(!std::mem::take(tags).is_empty());
    }
    let second = AccountName::parse("second-studio").unwrap();
    let (first, second) =
        (&spelled_out.accounts[&AccountName::default()], &spelled_out.accounts[&second]);
    assert_eq!(&AccountSettings { api_key: first.api_key.clone(), ..second.clone() }, first);
    spelled_out.accounts.retain(|name, _| name.is_default());
    spelled_out.channels.retain(|name, _| !["bus", "team-chat", "own"].contains(&name.as_str()));
    let web = &mut spelled_out.web;
    assert!(web.hint_token.take().is_some() && web.token.take().is_some());
    assert!(web.public_url.take().is_some());
    assert!(std::mem::take(&mut web.is_listen_configured));
    assert_eq!(std::mem::replace(&mut web.read, ReadAccess::Local), ReadAccess::Token);
    // That hints come by a name.
    assert_eq!(spelled_out.warnings.drain(..).count(), 1);
    assert!(spelled_out.heartbeat.take().is_some());
    assert_eq!(example, spelled_out);
    assert_eq!(example.warnings, []);
}

#[test]
fn a_config_of_many_avatars_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let avatar = |number: usize| {
        let name = "x".repeat(40);
        format!("[[avatars]]\nid = 'avatar-{number}'\nname = '{name} {number}'\n")
    };
    let avatars: String = (0..MANY).map(avatar).collect();
    fs::write(&path, format!("argil.api_key = {{ env = 'ARGIL_API_KEY' }}\n{avatars}")).unwrap();
    let config = ConfigFile::named(&path);
    let settings = load(&config, &environment(&["ARGIL_API_KEY"])).unwrap();
    assert_eq!(settings.avatars.len(), MANY);
    assert_eq!(settings.avatars.last().unwrap().location.line, 3 * MANY - 1);
    assert_eq!(partial(&config, &environment(&[])).avatars.unwrap().len(), MANY);
}

const MANY: usize = 20_000;

#[test]
fn the_example_shows_every_key() {
    let spelled_out: String = EXAMPLE.lines().map(uncomment).collect();
    let example = toml::Value::Table(spelled_out.parse().unwrap());
    for schema in keys::ALL {
        let tables = tables_at(&example, schema.path);
        for key in schema.keys {
            let shown = tables.iter().any(|table| table.get(key).is_some());
            assert!(shown, "`{}` is not shown", keys::join(schema.path, key));
        }
    }
}

fn tables_at<'t>(example: &'t toml::Value, path: &str) -> Vec<&'t toml::Value> {
    let mut tables = vec![example];
    for name in path.split('.').filter(|name| !name.is_empty()) {
        tables = tables.into_iter().flat_map(|table| step(table, name)).collect();
    }
    tables
}

fn step<'t>(table: &'t toml::Value, name: &str) -> Vec<&'t toml::Value> {
    match (table, name) {
        (toml::Value::Table(entries), "*") => entries.values().collect(),
        (table, name) => match table.get(name) {
            Some(toml::Value::Array(elements)) => elements.iter().collect(),
            found => found.into_iter().collect(),
        },
    }
}

fn uncomment(line: &str) -> String {
    let key = line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with(' '));
    format!("{}\n", key.unwrap_or(line))
}

const DAMAGE: &str = "[\\[\\]{}=.,\"'#\n a1-]{0,6}";

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text: String) {
        let _ = read_with(&text, &[]);
    }

    #[test]
    fn no_damage_to_a_good_file_makes_the_reader_panic(
        cuts in prop::collection::vec((0usize..6_000, 0usize..40, DAMAGE), 1..6),
    ) {
        let mut text = include_str!("testdata/contract.toml").to_owned();
        for (start, length, insert) in cuts {
            let start = text.floor_char_boundary(start % text.len().max(1));
            let end = text.floor_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end, &insert);
        }
        if let Err(problems) = read_with(&text, &[]) {
            prop_assert!(!problems.is_empty());
        }
    }
}

#[test]
fn a_file_that_is_made_to_be_too_much_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let check = |text: &[u8], expected: &str| {
        fs::write(&path, text).unwrap();
        let begun = std::time::Instant::now();
        let error = load(&ConfigFile::named(&path), &Environment::default()).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        let text = format!("{error} {}", source.unwrap_or_default());
        assert!(text.contains(expected), "{}", text.lines().next().unwrap_or_default());
        assert!(begun.elapsed() < Duration::from_secs(20), "{expected}");
    };
    let half = 500_000;
    let deep = |open: &str, close: &str| {
        format!("a = {}1{}", open.repeat(half / open.len()), close.repeat(half / open.len()))
    };
    check(deep("[", "]").as_bytes(), "max recursion depth met");
    check(deep("[", "").as_bytes(), "max recursion depth met");
    check(deep("{a=", "}").as_bytes(), "max recursion depth met");
    check(deep("[{a=", "").as_bytes(), "max recursion depth met");
    check(format!("a{} = 1", ".a".repeat(half)).as_bytes(), "recursion limit");
    check(format!("[a{}]", ".a".repeat(half)).as_bytes(), "recursion limit");
    check(format!("[[a{}]]", ".a".repeat(half)).as_bytes(), "recursion limit");
    check("[[a]]\n".repeat(half / 3).as_bytes(), "`a` is an unknown key");
    check("[a]\n".repeat(half / 20).as_bytes(), "`a` is set twice");
    check("a = \"\"\"".repeat(half / 4).as_bytes(), "invalid TOML");
    check(&b"# a comment\n".repeat(5_000_000), "larger than 16 MiB; split its avatars");
}
