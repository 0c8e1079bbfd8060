//! The documentation shows what the program sends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use avatar_watch::config::config_file_trust::ConfigFile;
use avatar_watch::config::environment::Environment;
use avatar_watch::config::file;
use avatar_watch::daemon::config::load_config;
use avatar_watch::domain::account::AccountName;
use avatar_watch::domain::condition::{ConditionSubject, OutageCause, Phase};
use avatar_watch::domain::delivery::channel_name::ChannelName;
use avatar_watch::domain::event::{Event, EventKind};
use avatar_watch::notify::format::kind::Format;
use avatar_watch::notify::format::standard;
use avatar_watch::notify::message_context::MessageContext;
use serde_json::Value;

use crate::harness::sample_events;

fn guide(name: &str) -> String {
    fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The JSON blocks of a guide on one line each.
fn shown(guide: &str) -> Vec<String> {
    let blocks = guide.split("```json\n").skip(1).map(|it| it.split("```").next().unwrap());
    blocks.map(|block| block.lines().map(str::trim_start).collect()).collect()
}

fn sent(event: &Event) -> String {
    String::from_utf8(standard::render(event)).unwrap()
}

#[test]
fn the_guide_to_conditions_shows_real_events() {
    let jane = sample_events::about_avatar(Some("Jane, English"), Some("TRAINING"));
    let missing = Some("the API answered 404");
    let account =
        ConditionSubject::Account { name: AccountName::default(), cause: OutageCause::KeyRejected };
    let rejected = Some("the API answered 401");
    let channel =
        ConditionSubject::Channel { name: ChannelName::parse("ops").unwrap(), recipient: None };
    let failing = Some("`ops.example.com` answered 500");
    let recipient = ConditionSubject::Channel {
        name: ChannelName::parse("studio-mail").unwrap(),
        recipient: Some("boss@example.com".to_owned()),
    };
    let deferred = Some("`mail.example.com` answered 450 to RCPT TO: 4.2.0 greylisted");
    let (begun, ended) = (Phase::Firing, Phase::Resolved);
    let expected = [
        sent(&sample_events::condition(EventKind::AvatarMissing, begun, jane, missing)),
        sent(&sample_events::condition(EventKind::AccountUnavailable, begun, account, rejected)),
        sent(&sample_events::condition(
            EventKind::ConfigRejected,
            ended,
            ConditionSubject::Config,
            None,
        )),
        sent(&sample_events::condition(EventKind::ChannelFailing, begun, channel, failing)),
        sent(&sample_events::condition(EventKind::ChannelFailing, begun, recipient, deferred)),
        sent(&sample_events::dead_letter()),
    ];
    let guide = guide("docs/conditions.md");
    assert_eq!(shown(&guide), expected);
    for kind in EventKind::OPERATIONAL {
        assert!(guide.contains(&format!("| `{kind}` |")), "{kind} is not in the table");
    }
    for cause in OutageCause::ALL {
        assert!(guide.contains(&format!("`{}`", cause.name())), "{} is not there", cause.name());
    }
}

#[test]
fn the_readme_shows_a_real_event() {
    let shown = shown(&guide("README.md"));
    let shown: Value = serde_json::from_str(&shown[0]).unwrap();
    let event = sample_events::settled(Some("Jane, English"), "IDLE");
    let mut sent: Value = serde_json::from_str(&sent(&event)).unwrap();
    sent["data"]["avatar"]["id"] = "3c90c3cc-…".into();
    assert_eq!(shown, sent);
}

#[test]
fn the_guide_to_formats_shows_real_bodies() {
    let ready = sample_events::settled(Some("Jane, English"), "IDLE");
    let source = "urn:avatar-watch:daemon".to_owned();
    let formats = [
        Format::CloudEvents { source },
        Format::Slack,
        Format::Discord,
        Format::Teams,
        Format::Ntfy,
    ];
    let body = |format: &Format| {
        String::from_utf8(format.render(&ready, &MessageContext::PLAIN).body).unwrap()
    };
    let expected: Vec<String> = formats.iter().map(body).collect();
    assert_eq!(shown(&guide("docs/formats.md")), expected);
}

#[test]
fn the_templates_of_the_guide_to_formats_are_valid() {
    let guide = guide("docs/formats.md");
    let secret = "\"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"";
    let guide = guide.replace("{ env = \"BUS_WEBHOOK_SECRET\" }", secret);
    let configs: Vec<&str> = guide.split("```toml\n").skip(1).collect();
    assert_eq!(configs.len(), 8, "five formats and three templates");
    for config in configs {
        let channel = config.split("```").next().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, format!("argil.api_key = 'key'\n{channel}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let environment = Environment::from_process();
        let read = load_config::load(&ConfigFile::named(&path), &environment);
        assert!(read.is_ok(), "{channel}: {}", read.unwrap_err());
    }
}

#[test]
fn the_guide_to_mail_shows_configs_that_load_and_every_step() {
    let guide = guide("docs/mail.md");
    let environment =
        Environment::from_iter([("ARGIL_API_KEY", "key"), ("SMTP_PASSWORD", "password")]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let blocks: Vec<&str> = guide.split("```toml\n").skip(1).collect();
    assert_eq!(blocks.len(), 4);
    for block in blocks {
        let block = block.split("```").next().unwrap();
        fs::write(&path, format!("argil.api_key = {{ env = 'ARGIL_API_KEY' }}\n{block}")).unwrap();
        let settings = file::load(&ConfigFile::named(&path), &environment).unwrap();
        assert_eq!(settings.channels.len(), 1);
    }
    let steps = [
        "resolve", "connect", "tls", "hello", "token", "auth", "mail", "rcpt", "data", "dot",
        "sendmail", "file",
    ];
    for step in steps {
        assert!(guide.contains(&format!("`{step}`")), "`{step}` is not there");
    }
}

#[test]
fn the_examples_of_routing_are_valid() {
    let guide = guide("docs/routing.md");
    let names = ["ARGIL_API_KEY", "ACME_API_KEY", "GLOBEX_API_KEY"];
    let environment = Environment::from_iter(names.map(|name| (name, name)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let blocks: Vec<&str> = guide.split("```toml\n").skip(1).collect();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        let block = block.split("```").next().unwrap();
        let account = match block.contains("[accounts.") {
            true => "",
            false => "argil.api_key = { env = 'ARGIL_API_KEY' }\n",
        };
        fs::write(&path, format!("{account}{block}")).unwrap();
        // A chat has its credential in its URL.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        file::load(&ConfigFile::named(&path), &environment).unwrap();
    }
}

#[test]
fn the_receivers_use_the_tested_dependencies() {
    let lines = |name: &str| guide(name).lines().map(str::to_owned).collect::<Vec<_>>();
    let checked = lines("tests/interop/packages/requirements.txt");
    let leaned_on = lines("docs/receivers/python/requirements.txt");
    assert!(!leaned_on.is_empty());
    assert!(leaned_on.iter().all(|line| checked.contains(line)), "{leaned_on:?}");
    let packages = |name: &str| -> Value {
        let package: Value = serde_json::from_str(&guide(name)).unwrap();
        package["dependencies"].clone()
    };
    let checked = packages("tests/interop/packages/package.json");
    let leaned_on = packages("docs/receivers/node/package.json");
    for (name, version) in leaned_on.as_object().unwrap() {
        assert_eq!(&checked[name], version, "{name}");
    }
    assert_eq!(leaned_on.as_object().unwrap().len(), 1);
}

/// The receivers share one design: their tables are identical.
#[test]
fn the_receivers_keep_the_same_tables() {
    let tables = |name: &str| {
        let text = guide(name).replace("\\`", "`");
        let start = text.find("CREATE TABLE IF NOT EXISTS inbox").unwrap();
        let end = start + text[start..].find("changes INTEGER NOT NULL);").unwrap();
        text[start..end].to_owned()
    };
    let python = tables("docs/receivers/python/receiver.py");
    assert!(python.contains("id TEXT NOT NULL UNIQUE"));
    assert_eq!(tables("docs/receivers/node/receiver.mjs"), python);
    assert_eq!(tables("docs/receivers/rust/src/main.rs"), python);
}

#[test]
fn the_guide_for_consumers_names_all_receivers_and_responses() {
    let text = guide("docs/consuming.md");
    for file in ["python/receiver.py", "node/receiver.mjs", "rust/src/main.rs"] {
        assert!(text.contains(&format!("(receivers/{file})")), "{file} is not linked");
        assert!(!guide(&format!("docs/receivers/{file}")).is_empty());
    }
    let words = [
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "410",
        "413",
        "415",
        "429",
        "`webhook-delivery: disable`",
        "`webhook-delivery: abort-message`",
        "`Retry-After`",
        "--as-new",
        "schema event",
        "test CHANNEL",
    ];
    for word in words {
        assert!(text.contains(word), "{word} is not there");
    }
}
