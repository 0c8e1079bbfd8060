//! `[channels.NAME]`: the channels; webhooks are read here, mail in `email`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;
use url::Url;

use crate::config::parse::ca_file;
use crate::config::parse::document::Location;
use crate::config::parse::duration;
use crate::config::parse::field::{Field, Table};
use crate::config::parse::host;
use crate::config::parse::references::References;
use crate::config::parse::web_address;
use crate::config::schema::keys::{CHANNEL, EMAIL, WEBHOOK};
use crate::config::secret_source::{self, Plain};
use crate::config::sections::custom_headers;
use crate::config::sections::delivery_policy;
use crate::config::sections::email;
use crate::config::sections::format;
use crate::config::sections::only;
use crate::config::sections::proxy;
use crate::config::settings::{ChannelKind, ChannelSettings, FormatSettings, WebhookSettings};
use crate::domain::delivery::channel_name::{Accepts, ChannelName};
use crate::domain::delivery::egress_policy::EgressPolicy;
use crate::domain::delivery::ntfy_topic::NtfyTopic;
use crate::domain::delivery::retry_policy::DeliveryPolicy;
use crate::domain::event::EventKind;
use crate::domain::routing::subscription::ChannelRouting;
use crate::secret::Secret;
use crate::signing_secret::SigningSecret;
use crate::text::secret_input::SecretKind;

pub(in crate::config) fn read(
    root: &Table<'_>,
    names: &References<'_>,
) -> Option<BTreeMap<ChannelName, ChannelSettings>> {
    let Some(field) = root.field("channels") else {
        let place = Location { key: "channels".to_owned(), span: None };
        let help = "add `[channels.NAME]` with a `type`";
        root.reader.warning(&place, "is empty, so no notifications are sent", help);
        return Some(BTreeMap::new());
    };
    if matches!(field.value, DeValue::Array(_)) {
        return field.invalid("is a list", "write `[channels.NAME]`, with one bracket and a name");
    }
    let channels = field.table()?.fields();
    let read: Vec<_> = channels.iter().map(|(name, field)| read_one(name, field, names)).collect();
    read.into_iter().map(|channel| channel.map(|channel| (channel.name.clone(), channel))).collect()
}

fn read_one(name: &str, field: &Field<'_>, names: &References<'_>) -> Option<ChannelSettings> {
    let name = field.valid(ChannelName::parse(name), "is not a valid name");
    let table = field.table()?;
    let types = "write `type = \"webhook\"`, `type = \"email\"`, or the name of a chat such as \
        `type = \"slack\"`";
    let stated = table.required("type", types, |field| field.one_of(&Type::all()));
    // Without a valid type, the other keys decide which type is checked.
    let kind = stated.or_else(|| Type::guess(&table));
    let schema = match kind {
        Some(Type::Webhook(_)) => &WEBHOOK,
        Some(Type::Email) => &EMAIL,
        None => &CHANNEL,
    };
    table.check_keys(schema);
    let routing = routing(&table, names);
    let (place, usual) = match kind? {
        Type::Webhook(format) => {
            let webhook = webhook(&table, format, stated.is_some());
            let is_chat = webhook.as_ref().is_some_and(|webhook| webhook.format.is_chat());
            let usual = if is_chat { DeliveryPolicy::chat() } else { DeliveryPolicy::webhook() };
            (webhook.map(|it| ChannelKind::Webhook(Box::new(it))), usual)
        }
        Type::Email => (
            email::read(&table).map(|it| ChannelKind::Email(Box::new(it))),
            DeliveryPolicy::email(),
        ),
    };
    let policy = delivery_policy::read(&table, usual);
    stated?;
    let ChannelRouting { events, operator, only } = routing?;
    Some(ChannelSettings { name: name?, events, only, operator, policy: policy?, kind: place? })
}

fn routing(table: &Table<'_>, names: &References<'_>) -> Option<ChannelRouting> {
    let operator = table.or("operator", false, |field| field.flag());
    // An operator channel may get conditions only.
    let may_be_empty = operator != Some(false);
    let events =
        table.or("events", EventKind::DEFAULT.to_vec(), |field| events(field, may_be_empty));
    let only = only::read(table, names);
    Some(ChannelRouting { events: events?, operator: operator?, only: only? })
}

/// What each channel asks for, without the rest of it; channels with a problem are omitted.
pub(in crate::config) fn routings(root: &Table<'_>) -> BTreeMap<ChannelName, ChannelRouting> {
    let channels = root.field("channels").and_then(|field| field.table());
    let read = |(name, field): (&str, Field<'_>)| {
        let routing = routing(&field.table()?, &References::default());
        Some((ChannelName::parse(name).ok()?, routing?))
    };
    channels.iter().flat_map(Table::fields).filter_map(read).collect()
}

#[derive(Clone, Copy)]
enum Type {
    /// With the format that the type names, if any.
    Webhook(Option<format::Name>),
    Email,
}

impl Type {
    fn all() -> Vec<(&'static str, Self)> {
        let chats = format::Name::TYPES.map(|(word, name)| (word, Self::Webhook(Some(name))));
        [("webhook", Self::Webhook(None)), ("email", Self::Email)]
            .into_iter()
            .chain(chats)
            .collect()
    }

    fn guess(table: &Table<'_>) -> Option<Self> {
        let only = |schema: &[&str], name: &str| schema.contains(&name) && !CHANNEL.knows(name);
        let fields = table.fields();
        let has = |schema| fields.iter().any(|(name, _)| only(schema, name));
        if has(WEBHOOK.keys) {
            return Some(Self::Webhook(None));
        }
        has(EMAIL.keys).then_some(Self::Email)
    }
}

fn events(field: &Field<'_>, may_be_empty: bool) -> Option<Vec<EventKind>> {
    let events = field.distinct(event)?;
    if events.is_empty() && !may_be_empty {
        return field.not_empty(events, "remove the key for the default events");
    }
    Some(events)
}

fn event(field: &Field<'_>) -> Option<EventKind> {
    let text = field.text()?;
    if EventKind::OPERATIONAL.iter().any(|kind| kind.name() == text) {
        let message = format!("is `{text}`, which is sent only to operator channels");
        return field.invalid(message, "remove it, and write `operator = true` in this channel");
    }
    field.one_of(&EventKind::SELECTABLE.map(|kind| (kind.name(), kind)))
}

/// Reads a webhook; `by_type` is the format that a valid type names.
fn webhook(
    table: &Table<'_>,
    by_type: Option<format::Name>,
    has_type: bool,
) -> Option<WebhookSettings> {
    let egress = table.or("deny_private", EgressPolicy::AllowPrivate, egress_policy);
    let url = table.required("url", "write `url = \"https://…\"`", |field| {
        url(field, egress.unwrap_or_default())
    });
    let help = "make one with `avatar-watch secret`, and write `secret = { env = \"…\" }`";
    let chat = url.as_ref().filter(|_| has_type && table.field("format").is_none());
    let chat = chat.and_then(|url| format::Name::of_url(&Url::parse(url.expose()).ok()?));
    let chat = chat.filter(|(_, name)| by_type != Some(*name));
    if let (Some((word, _)), Some(field)) = (chat, table.field("url")) {
        let message =
            format!("belongs to {word}, which does not accept the format of this channel");
        field.invalid::<()>(message, format!("write `type = \"{word}\"`"));
    }
    let format = format::read(table, by_type.or(chat.map(|(_, name)| *name)));
    // Everyone who has the URL of a chat can write to it; that of a webhook may contain a login.
    let is_login = |url: &Secret| Url::parse(url.expose()).is_ok_and(|it| it.password().is_some());
    if let Some(field) = table.field("url")
        && (format.as_ref().is_some_and(FormatSettings::is_chat)
            || url.as_ref().is_some_and(is_login))
    {
        secret_source::guard(&field);
    }
    let secrets = match &format {
        Some(FormatSettings::Standard | FormatSettings::CloudEvents { .. }) if has_type => {
            table.required("secret", help, secrets)
        }
        // It is not known whether an invalid format signs.
        Some(_) | None => table.or("secret", Vec::new(), secrets),
    };
    let accepts = table.or("accepts", Accepts::default(), |field| field.one_of(&ACCEPTS));
    if let (Some(format), Some(field)) = (&format, table.field("accepts"))
        && !format.is_chat()
    {
        let help = "remove it: in this format every 2xx counts as delivered";
        return field.invalid("is only for chat formats", help);
    }
    let timeout = table.or("timeout", TIMEOUT, |field| duration::read(field, &TIMEOUT_RANGE));
    let headers = table.or("headers", BTreeMap::new(), custom_headers::read);
    let proxy = table.optional("proxy", proxy::read);
    let ca_file = table.optional("ca_file", ca_file::read);
    if let (Some(url), Some(field)) = (&url, table.field("ca_file"))
        && Url::parse(url.expose()).is_ok_and(|url| url.scheme() == "http")
    {
        let message = "is not used: the `url` is `http`, which has no certificates";
        field.warning(message, "write `https`, or remove it");
    }
    if let (Some(FormatSettings::Ntfy), Some(secret), Some(field)) =
        (&format, &url, table.field("url"))
    {
        ntfy_topic(&field, secret)?;
    }
    Some(WebhookSettings {
        url: url?,
        secrets: secrets?,
        timeout: timeout?,
        format: format?,
        headers: headers?,
        proxy: proxy?,
        egress: egress?,
        ca_file: ca_file?,
        accepts: accepts?,
    })
}

/// An ntfy URL contains a topic, which is not repeated: it is the password.
fn ntfy_topic(field: &Field<'_>, url: &Secret) -> Option<NtfyTopic> {
    let url = Url::parse(url.expose()).ok()?;
    let no_topic = |error| {
        let help = "write it like `https://ntfy.sh/your-topic`; a server below a path like \
                    `https://example.com/ntfy/your-topic`";
        field.invalid(format!("has no topic: {error}"), help)
    };
    NtfyTopic::of_path(url.path()).map(|(_, topic)| topic).map_or_else(no_topic, Some)
}

fn egress_policy(field: &Field<'_>) -> Option<EgressPolicy> {
    field
        .flag()
        .map(|denied| if denied { EgressPolicy::DenyPrivate } else { EgressPolicy::AllowPrivate })
}

fn url(field: &Field<'_>, egress: EgressPolicy) -> Option<Secret> {
    let secret = secret_source::read(field, Plain::Allowed, SecretKind::Url)?;
    let url = web_address::service(field, &secret, WHOLE_URL, ("receiver", egress))?;
    if url.scheme() == "http" && url.host().is_some_and(|host| !host::is_private(&host)) {
        let message = "is `http`: messages are sent unencrypted";
        field.warning(message, "write `https` if the receiver supports it");
    }
    Some(secret)
}

fn secrets(field: &Field<'_>) -> Option<Vec<SigningSecret>> {
    if !matches!(field.value, DeValue::Array(_)) {
        return Some(vec![signing_secret(field)?]);
    }
    let secrets = field.distinct(signing_secret)?;
    if secrets.len() > SECRETS_MAX {
        let help = "keep only those that receivers still verify with";
        return field.invalid(format!("has more than {SECRETS_MAX} secrets"), help);
    }
    field.not_empty(secrets, "make one with `avatar-watch secret`")
}

fn signing_secret(field: &Field<'_>) -> Option<SigningSecret> {
    let secret = secret_source::read(field, Plain::Guarded, SecretKind::Key)?;
    let refused = |error| {
        let message = format!("is not a signing secret: {error}");
        field.invalid(message, "make one with `avatar-watch secret`")
    };
    SigningSecret::parse(secret.expose()).map_or_else(refused, Some)
}

const TIMEOUT: Duration = Duration::from_secs(30);
const TIMEOUT_RANGE: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(120);
const SECRETS_MAX: usize = 4;

pub(in crate::config) const ACCEPTS: [(&str, Accepts); 2] =
    [("known-answers", Accepts::Known), ("any-2xx", Accepts::AnySuccess)];

const WHOLE_URL: &str = "write the whole URL, like `https://example.com/hooks/avatars`";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::environment::Environment;
    use crate::config::file;
    use crate::config::file::tests::{self, HOOK, check_added, check_hook};
    use crate::config::parse::document::FileAccess;

    #[test]
    fn a_channel_may_be_for_operators_alone_and_is_for_none_by_default() {
        let channel = |keys: &str| {
            let channel = tests::channel(&format!("{HOOK}{keys}"));
            (channel.operator, channel.events.len())
        };
        assert_eq!(channel(""), (false, 3));
        assert_eq!(channel("operator = true"), (true, 3));
        assert_eq!(channel("operator = true\nevents = []"), (true, 0));
        let empty = "is an empty list\n  help: remove the key for the default events";
        check_hook("events = []", "events", empty);
    }

    #[test]
    fn a_chat_is_a_type_of_its_own() {
        for (word, name) in format::Name::TYPES {
            let url = "url = 'https://example.com/topic'\n";
            let by_type = tests::webhook(&format!("[channels.c]\ntype = '{word}'\n{url}"));
            let by_format = format!("[channels.c]\ntype = 'webhook'\nformat = '{word}'\n{url}");
            assert_eq!(by_type, tests::webhook(&by_format));
            let both = format!("[channels.c]\ntype = '{word}'\nformat = '{word}'\n{url}");
            assert_eq!(by_type, tests::webhook(&both));
            let other = if name == format::Name::Slack { "ntfy" } else { "slack" };
            check_added(
                &format!("[channels.c]\ntype = '{word}'\nformat = '{other}'\n{url}"),
                "config.toml:4: `channels.c.format` contradicts the `type` of this channel\n  \
                 help: remove it, or write `type = \"webhook\"`",
            );
        }
    }

    #[test]
    fn the_url_of_a_chat_or_with_a_login_is_a_secret_in_a_file_that_others_can_read() {
        let problems = |channel: &str| {
            let text = format!("argil.api_key = {{ env = 'KEY' }}\n[channels.c]\n{channel}");
            let variables = [("KEY", "key"), ("CHAT", "https://hooks.slack.com/services/T0/B0/x")];
            let environment = Environment::from_iter(variables);
            let access = FileAccess::Others(0o644);
            let read = file::read_text(Path::new("config.toml"), &text, access, &environment);
            let problems = read.err().into_iter().flatten();
            problems.map(|it| format!("{} {}", it.key, it.message)).collect::<Vec<_>>()
        };
        for (word, _) in format::Name::TYPES {
            let found = problems(&format!("type = '{word}'\nurl = 'https://example.com/topic'"));
            let expected = "channels.c.url is in the config file, which other users can read";
            assert!(matches!(found.as_slice(), [it] if it.starts_with(expected)), "{found:?}");
        }
        let hook = |url: &str| {
            let secret = "secret = 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD'";
            let of_url = problems(&format!("type = 'webhook'\nurl = {url}\n{secret}"));
            of_url.iter().filter(|it| it.starts_with("channels.c.url is in the config")).count()
        };
        assert_eq!(hook("'https://user:password@example.com/hook'"), 1);
        assert_eq!(hook("'https://example.com/hook'"), 0);
        assert!(problems("type = 'slack'\nurl = { env = 'CHAT' }").is_empty());
    }

    #[test]
    fn an_unknown_type_is_the_only_problem_of_its_channel() {
        check_added(
            "[channels.c]\ntype = 'telegram'\nurl = 'https://example.com/x'",
            "config.toml:3: `channels.c.type` has the unknown value `telegram`\n  help: it can be \
             `webhook`, `email`, `slack`, `discord`, `teams` or `ntfy`",
        );
    }

    #[test]
    fn the_url_of_a_chat_needs_its_format() {
        let check = |url: &str, chat: &str| {
            let expected = match chat {
                "" => String::new(),
                chat => format!(
                    "config.toml:4: `channels.ops.url` belongs to {chat}, which does not accept \
                     the format of this channel\n  help: write `type = \"{chat}\"`"
                ),
            };
            let hook = HOOK.replace("https://example.com", url);
            check_added(&hook, &expected);
            check_added(&format!("{hook}format = 'cloudevents'"), "");
            if !chat.is_empty() {
                let typed = |word: &str| hook.replace("'webhook'", &format!("'{word}'"));
                check_added(&typed(chat), "");
                check_added(&typed(if chat == "slack" { "teams" } else { "slack" }), &expected);
            }
        };
        check("https://hooks.slack.com/services/T0/B0/x", "slack");
        check("https://hooks.slack-gov.com/services/T0/B0/x", "slack");
        check("https://discord.com/api/webhooks/1/x", "discord");
        check("https://ptb.discordapp.com/api/webhooks/1/x", "discord");
        check("https://discord.com/hooks", "");
        check("https://discord.com/api/webhooks/1/x/slack", "");
        let flow = "workflows/1/triggers/manual/paths/invoke?sig=x";
        check(&format!("https://prod-1.westeurope.logic.azure.com:443/{flow}"), "teams");
        check("https://prod-1.westeurope.logic.azure.com/other", "");
        check("https://acme.webhook.office.com/webhookb2/x", "teams");
        check("https://evilwebhook.office.com/x", "");
        check("https://ntfy.sh/studio", "ntfy");
        check("https://ntfy.sh.example.com/studio", "");
    }

    #[test]
    fn conditions_are_not_selected_one_by_one() {
        for kind in EventKind::OPERATIONAL {
            check_hook(
                &format!("events = ['{kind}']\noperator = true"),
                "events[0]",
                &format!(
                    "is `{kind}`, which is sent only to operator channels\n  \
                     help: remove it, and write `operator = true` in this channel"
                ),
            );
        }
    }

    #[test]
    fn a_blocked_address_is_reported_with_its_line() {
        let check = |url: &str, deny_private: bool, expected: &str| {
            let hook = HOOK.replace("https://example.com", url);
            let expected = match expected {
                "" => String::new(),
                text => format!("config.toml:4: `channels.ops.url` {text}"),
            };
            check_added(&format!("{hook}deny_private = {deny_private}"), &expected);
        };
        let never = "help: this address is always blocked; use the address of the receiver";
        let link_local = "which is link-local, as the metadata services of clouds are";
        for deny_private in [false, true] {
            for url in ["http://169.254.169.254/x", "https://2852039166/", "http://0xa9fea9fe"] {
                let text = format!("leads to `169.254.169.254`, {link_local}\n  {never}");
                check(url, deny_private, &text);
            }
            let text = format!("leads to `[64:ff9b::a9fe:a9fe]`, {link_local}\n  {never}");
            check("http://[64:ff9b::169.254.169.254]/", deny_private, &text);
        }
        let choice = "help: remove `deny_private`, or name a receiver on the internet";
        for (url, text) in [
            ("https://10.0.0.7/x", "leads to `10.0.0.7`, which is in a private network"),
            ("http://127.1:8080/x", "leads to `127.0.0.1`, which is this machine"),
            ("http://localhost/x", "leads to `localhost`, which is this machine"),
        ] {
            check(url, false, "");
            check(url, true, &format!("{text}\n  {choice}"));
        }
        check("https://nas.lan/x", true, "");
    }

    #[test]
    fn certificates_without_tls_are_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        std::fs::write(&path, authority.pem()).unwrap();
        let trusting = format!("{HOOK}ca_file = '{}'", path.display());
        check_added(&trusting, "");
        check_added(
            &trusting.replace("https://example.com", "http://nas.lan"),
            "config.toml:6: `channels.ops.ca_file` is not used: the `url` is `http`, which has no \
             certificates\n  help: write `https`, or remove it",
        );
    }
}
