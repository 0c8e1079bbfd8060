use std::sync::LazyLock;

use jsonschema::Validator;

use super::*;
use crate::config::file::tests::{HOOK, read_with};
use crate::config::schema::keys::ALL;

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(&config()).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
});

/// What the schema has against a config; nothing where it is no TOML.
pub(in crate::config) fn complaints(text: &str) -> Vec<String> {
    let Ok(config) = toml::from_str::<toml::Value>(text) else { return Vec::new() };
    let config = serde_json::to_value(config).unwrap();
    SCHEMA.iter_errors(&config).map(|error| error.to_string()).collect()
}

const KEY: &str = "argil.api_key = 'key'\n";
const MAIL: &str = "[channels.post]\ntype = 'email'\nfrom = 'a@example.com'\n\
                    to = ['b@example.com']\n";

/// Both the reader and the schema say so.
fn check(text: &str, is_good: bool) {
    let text = format!("{KEY}{text}");
    assert_eq!(read_with(&text, &[]).is_ok(), is_good, "the reader, for {text}");
    assert_eq!(complaints(&text).is_empty(), is_good, "{:?}, for {text}", complaints(&text));
}

#[test]
fn the_reader_and_the_schema_agree_where_a_schema_can_see() {
    for (good, bad) in [
        ("argil.max_concurrency = 256", "argil.max_concurrency = 257"),
        ("argil.max_requests_per_second = 1", "argil.max_requests_per_second = 0"),
        ("argil.timeout = '1s 500ms'", "argil.timeout = 15"),
        ("poll.settled = 'never'", "poll.settled = 'nevr'"),
        ("poll.strategy = 'list'", "poll.strategy = 'lists'"),
        ("poll.jitter = 0.5", "poll.jitter = 0.51"),
        ("poll.jitter = 0", "poll.jitter = '0'"),
        ("poll.backoff.multiplier = 100", "poll.backoff.multiplier = 0.5"),
        ("poll.training.age_fraction = 1.0", "poll.training.age_fraction = 1.1"),
        ("poll.training.adaptive = false", "poll.training.adaptive = 'no'"),
        ("poll.overdue_after = '1d'", "poll.overdue_after = ''"),
        ("poll.overdue_after = '2.5x'", "poll.overdue_after = '2.5'"),
        ("events.infer_unseen_training = false", "events.infer = false"),
        ("accounts.a.api_key = 'k'", "accounts.a.base_url = 'https://example.com'"),
        ("accounts.a_1.api_key = 'k'", "accounts.'a b'.api_key = 'k'"),
        ("[[avatars]]\nid = 'a'\nassume = 'IDLE'", "[[avatars]]\nid = 'a'\nassume = 'idle'"),
        ("[[avatars]]\nid = 'a'", "[[avatars]]\nname = 'a'"),
        ("discover.enabled = true", "discover.enabled = true\ndiscover.accounts = []"),
    ] {
        check(good, true);
        check(bad, false);
    }
    let channel = |start: &str, good: &str, bad: &str| {
        check(&format!("{start}{good}"), true);
        check(&format!("{start}{bad}"), false);
    };
    channel(HOOK, "format = 'slack'", "format = 'irc'");
    channel(HOOK, "events = ['avatar.ready']", "events = ['avatar.redy']");
    channel(HOOK, "retry_schedule = ['0s']", "retry_schedule = []");
    channel(HOOK, "on_unknown = 'hold'", "on_unknown = 'drop'");
    channel(HOOK, "headers = { x-a = 'b' }", "headers = { x-a = 7 }");
    channel(HOOK, "format = 'template'\ntemplate = [1, 'a']", "from = 'a@example.com'");
    channel(MAIL, "file.folder = 'm'", "");
    channel(MAIL, "sendmail.command = ['/bin/x']", "sendmail.command = []");
    channel(MAIL, "smtp = { host = 'h', tls = 'implicit' }", "smtp = { host = 'h', tls = 'ssl' }");
    channel(MAIL, "smtp = { host = 'h', port = 65535 }", "smtp = { host = 'h', port = 65536 }");
    channel(MAIL, "file.folder = 'm'\nbounce_to = ''", "file.folder = 'm'\nsmtp.host = 'h'");
    channel(MAIL, "file.folder = 'm'\nsubject_prefix = ''", "file.folder = 'm'\nreply_to = ''");
    check("[channels.x]\nurl = 'https://example.com'", false);
    let two = "{ env = 'A', file = 'b' }";
    assert!(complaints(&format!("argil.api_key = {two}")).len() == 1);
}

#[test]
fn an_unknown_key_is_refused_in_every_table() {
    for table in ["", "argil", "poll", "poll.training", "poll.backoff", "events", "store", "web"] {
        check(&format!("{} = 1", join(table, "nonsense")), false);
    }
    check("discover.enabled = false\ndiscover.nonsense = 1", false);
    check("accounts.a = { api_key = 'k', nonsense = 1 }", false);
    check("[[avatars]]\nid = 'a'\nnonsense = 1", false);
    check(&format!("{HOOK}nonsense = 1"), false);
    for way in ["smtp = { host = 'h'", "file = { folder = 'f'", "sendmail = { command = ['/x']"] {
        check(&format!("{MAIL}{way} }}"), true);
        check(&format!("{MAIL}{way}, nonsense = 1 }}"), false);
    }
}

#[test]
fn every_key_is_described() {
    let maker = SchemaBuilder { described: KeyDocs::read() };
    for schema in ALL {
        for key in schema.keys {
            let made = maker.key(schema, key);
            let name = join(schema.path, key);
            let is_described = made["description"].as_str().is_some_and(|it| it.len() > 10);
            assert!(is_described, "`{name}`: {made}");
        }
    }
    let schema: Value = serde_json::from_str(&config()).unwrap();
    let poll = &schema["properties"]["poll"]["properties"];
    assert_eq!(poll["training"]["properties"]["min"]["default"], "2s");
    assert_eq!(poll["jitter"]["default"], 0.1);
}

#[test]
fn the_example_is_good_and_ten_mistakes_are_not() {
    assert_eq!(complaints(include_str!("../../../config.example.toml")), [""; 0]);
    let mistakes = include_str!("../../../tests/interop/fixtures/ten-mistakes.toml");
    // A key, a duration, two words, and a channel with an event that is none.
    assert_eq!(complaints(mistakes).len(), 5, "{:?}", complaints(mistakes));
}
