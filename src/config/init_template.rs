//! The starter config that `avatar-watch init` writes. It is short, since `config.example.toml`
//! shows every key, and is valid as soon as its variables are set.

use toml::Value;
use url::Url;

use crate::config::from_env::KEY_VARIABLE;
use crate::config::sections::format;
use crate::config::sections::smtp::SMTP_PLACEHOLDER;
use crate::text::sanitize::sanitize;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StarterAnswers {
    pub(crate) api_key: SecretLocation,
    /// The URL of the API, if it is not the default.
    pub(crate) base_url: Option<String>,
    /// The avatars to watch; without one, the lines are comments.
    pub(crate) avatars: Vec<StarterAvatar>,
    /// The URL of a webhook or chat; without it, its lines are comments.
    pub(crate) webhook_url: Option<String>,
    /// The file with the URL of a chat, which is a secret; its path as written in the config.
    pub(crate) chat_file: Option<String>,
    pub(crate) webhook_secret: SecretLocation,
    /// A mail recipient; without it, its lines are comments.
    pub(crate) mail_to: Option<String>,
    /// The mail server; without it, a placeholder is written.
    pub(crate) smtp_host: Option<String>,
    /// Its port; without it, that of `starttls`.
    pub(crate) smtp_port: Option<u16>,
    pub(crate) smtp_password: SecretLocation,
    pub(crate) operators: Operators,
}

/// The channels that get the conditions for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Operators {
    /// The mail, or the webhook if there is no mail.
    #[default]
    Preferred,
    Webhook,
    Both,
    None,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StarterAvatar {
    pub(crate) id: String,
    /// Its name at Argil, for people.
    pub(crate) name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum SecretLocation {
    /// An environment variable, named by this config.
    #[default]
    Variable,
    /// A file; its path as written in the config.
    File(String),
}

/// The text of a starter config. Answers are quoted; they are validated when the file is loaded.
pub(crate) fn init_config(answers: &StarterAnswers) -> String {
    let avatar = |StarterAvatar { id, name }: &StarterAvatar| {
        let name = name.as_ref().map(|name| format!("# {}\n", sanitize(name)));
        format!("{}[[avatars]]\nid = {}\n", name.unwrap_or_default(), quoted(id))
    };
    let avatars = match answers.avatars.as_slice() {
        [] => optional(false, "[[avatars]]\nid = \"the-id-of-your-avatar\"\n"),
        avatars => avatars.iter().map(avatar).collect::<Vec<_>>().join("\n"),
    };
    let url = answers.webhook_url.as_deref().unwrap_or("https://example.com/hooks/avatars");
    let operator = |is_operator: bool| if is_operator { OPERATOR } else { "" };
    let (is_webhook_operator, is_mail_operator) = match answers.operators {
        Operators::Preferred => (answers.mail_to.is_none(), true),
        Operators::Webhook => (true, false),
        Operators::Both => (true, true),
        Operators::None => (false, false),
    };
    let webhook_operator = operator(answers.webhook_url.is_some() && is_webhook_operator);
    let chat = chat_of(url);
    let webhook = match chat {
        Some(chat) => format!(
            "[channels.{chat}]\ntype = \"{chat}\"\nurl = {}\n{webhook_operator}",
            match &answers.chat_file {
                Some(path) => format!("{{ file = {} }}", quoted(path)),
                None => quoted(url),
            }
        ),
        None => format!(
            "[channels.webhook]\ntype = \"webhook\"\nurl = {}\nsecret = {}\n{webhook_operator}",
            quoted(url),
            source(&answers.webhook_secret, SECRET_VARIABLE)
        ),
    };
    let to = quoted(answers.mail_to.as_deref().unwrap_or("studio@example.com"));
    let mail = format!(
        "[channels.mail]\ntype = \"email\"\nfrom = {to}\nto = [{to}]\n{}\n[channels.mail.smtp]\n\
         host = {}\n{}tls = \"{}\"\nusername = {to}\npassword = {}\n",
        operator(answers.mail_to.is_some() && is_mail_operator),
        quoted(answers.smtp_host.as_deref().unwrap_or(SMTP_PLACEHOLDER)),
        answers.smtp_port.map(|port| format!("port = {port}\n")).unwrap_or_default(),
        if answers.smtp_port == Some(TLS_PORT) { "implicit" } else { "starttls" },
        source(&answers.smtp_password, PASSWORD_VARIABLE)
    );
    [
        HEAD.to_owned(),
        instruction(&answers.api_key, KEY_VARIABLE, "…"),
        format!("api_key = {}\n", source(&answers.api_key, KEY_VARIABLE)),
        answers.base_url.iter().map(|url| format!("base_url = {}\n", quoted(url))).collect(),
        AVATARS_HEAD.to_owned(),
        avatars,
        match chat {
            Some(_) => CHAT_HEAD.to_owned(),
            None => {
                let secret = instruction(&answers.webhook_secret, SECRET_VARIABLE, "whsec_…");
                format!("{WEBHOOK_HEAD}{secret}")
            }
        },
        optional(answers.webhook_url.is_some(), &webhook),
        MAIL_HEAD.to_owned(),
        instruction(&answers.smtp_password, PASSWORD_VARIABLE, "…"),
        optional(answers.mail_to.is_some(), &mail),
    ]
    .concat()
}

/// The chat service that a URL belongs to, as a type of channel.
pub(crate) fn chat_of(url: &str) -> Option<&'static str> {
    format::Name::of_url(&Url::parse(url).ok()?).map(|(word, _)| *word)
}

fn source(place: &SecretLocation, variable: &str) -> String {
    match place {
        SecretLocation::Variable => format!("{{ env = \"{variable}\" }}"),
        SecretLocation::File(path) => format!("{{ file = {} }}", quoted(path)),
    }
}

/// The comment that says how to set a secret.
fn instruction(place: &SecretLocation, variable: &str, value: &str) -> String {
    match place {
        SecretLocation::Variable => format!("#   export {variable}={value}\n"),
        SecretLocation::File(_) => {
            "#   in a file of its own, which only its owner can read\n".to_owned()
        }
    }
}

fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

/// The lines, commented out unless `given`.
fn optional(given: bool, lines: &str) -> String {
    if given {
        return lines.to_owned();
    }
    lines.lines().map(|line| format!("#{line}\n")).collect()
}

/// The port of SMTP that starts with TLS (RFC 8314, section 3.3).
const TLS_PORT: u16 = 465;
pub(crate) const SECRET_VARIABLE: &str = "AVATAR_WATCH_WEBHOOK_SECRET";
pub(crate) const PASSWORD_VARIABLE: &str = "SMTP_PASSWORD";

const HEAD: &str = "\
# avatar-watch: a starter. `config.example.toml` shows every key with its default.
# `avatar-watch check` validates this file and prints every problem in it.

[argil]
# The API key, from app.argil.ai. It is stored outside of this file:
";

const AVATARS_HEAD: &str = "
# One block for each avatar to watch.
";

const WEBHOOK_HEAD: &str = "
# A webhook. `avatar-watch secret` generates the secret; the receiver needs it too:
";

const CHAT_HEAD: &str = "
# A chat. Its URL is a secret: everyone who has it can write to the chat.
";

/// The line that makes a channel the one for operators.
const OPERATOR: &str = "\
# It is also notified when the watching itself fails, such as for a revoked key:
operator = true
";

const MAIL_HEAD: &str = "
# Mail to one recipient through your mail server, with its password:
";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::config::environment::Environment;
    use crate::config::file;
    use crate::config::parse::document::FileAccess;

    const ENVIRONMENT: [(&str, &str); 3] = [
        ("ARGIL_API_KEY", "key"),
        ("AVATAR_WATCH_WEBHOOK_SECRET", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
        ("SMTP_PASSWORD", "password"),
    ];

    #[test]
    fn a_starter_loads_with_and_without_answers() {
        let check = |avatar: Option<&str>, webhook: Option<&str>, mail: Option<&str>| {
            let answers = StarterAnswers {
                avatars: avatar
                    .map(|id| StarterAvatar { id: id.to_owned(), name: Some("Jane\n".to_owned()) })
                    .into_iter()
                    .collect(),
                webhook_url: webhook.map(str::to_owned),
                mail_to: mail.map(str::to_owned),
                smtp_host: Some("mail.example.com".to_owned()),
                ..StarterAnswers::default()
            };
            let text = init_config(&answers);
            let path = Path::new("starter.toml");
            let environment = Environment::from_iter(ENVIRONMENT);
            let read = |text: &str, access| file::read_text(path, text, access, &environment);
            let settings = read(&text, FileAccess::Others(0o644)).unwrap();
            let channels = usize::from(webhook.is_some()) + usize::from(mail.is_some());
            let avatars = usize::from(avatar.is_some());
            assert_eq!((settings.avatars.len(), settings.channels.len()), (avatars, channels));
            let uncommented: String = text.lines().map(uncomment).collect();
            let uncommented = uncommented.replace("the-id-of-your-avatar", "a1");
            assert!(read(&uncommented, FileAccess::Owner).is_ok());
        };
        check(None, None, None);
        check(Some("3c90c3cc"), Some("https://example.com/x?token=\"1"), Some("a@example.com"));
        check(Some("\"\\#"), None, Some("a@example.com"));
    }

    fn uncomment(line: &str) -> String {
        let rest = line.strip_prefix('#').filter(|rest| !rest.starts_with(' '));
        format!("{}\n", rest.unwrap_or(line))
    }

    proptest! {
        #[test]
        fn no_answer_breaks_out_of_its_quotes(text: String) {
            let avatar = StarterAvatar { id: text.clone(), name: Some(text.clone()) };
            let answers = StarterAnswers {
                api_key: SecretLocation::File(text.clone()),
                base_url: Some(text.clone()),
                avatars: vec![avatar.clone(), avatar],
                webhook_url: Some(text.clone()),
                webhook_secret: SecretLocation::File(text.clone()),
                mail_to: Some(text.clone()),
                smtp_host: Some(text.clone()),
                smtp_password: SecretLocation::File(text.clone()),
                smtp_port: None,
                chat_file: None,
                operators: Operators::Both,
            };
            let table: toml::Table = init_config(&answers).parse().unwrap();
            prop_assert_eq!(table["argil"]["api_key"]["file"].as_str(), Some(text.as_str()));
            prop_assert_eq!(table["avatars"][1]["id"].as_str(), Some(text.as_str()));
            prop_assert_eq!(table["channels"]["webhook"]["url"].as_str(), Some(text.as_str()));
            prop_assert_eq!(table["channels"]["mail"]["to"][0].as_str(), Some(text.as_str()));
        }
    }
}
