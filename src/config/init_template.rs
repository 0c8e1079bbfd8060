//! The starter config that `avatar-watch init` writes. It is short, since `config.example.toml`
//! shows every key, and is valid as soon as its variables are set.

use toml::Value;

use crate::config::from_env::KEY_VARIABLE;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StarterAnswers {
    pub(crate) api_key: SecretLocation,
    /// The avatars to watch; empty for a placeholder.
    pub(crate) avatars: Vec<String>,
    /// The URL of a webhook; without it, its lines are comments.
    pub(crate) webhook_url: Option<String>,
    pub(crate) webhook_secret: SecretLocation,
    /// A mail recipient; without it, its lines are comments.
    pub(crate) mail_to: Option<String>,
    /// The mail server; without it, a placeholder is written.
    pub(crate) smtp_host: Option<String>,
    pub(crate) smtp_password: SecretLocation,
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
    let placeholder = ["the-id-of-your-avatar".to_owned()];
    let ids = if answers.avatars.is_empty() { &placeholder[..] } else { &answers.avatars };
    let avatar =
        |id: &String| format!("[[avatars]]\nid = {}\n#name = \"Jane, English\"\n", quoted(id));
    let avatars: Vec<String> = ids.iter().map(avatar).collect();
    let url = answers.webhook_url.as_deref().unwrap_or("https://example.com/hooks/avatars");
    let webhook = format!(
        "[channels.webhook]\ntype = \"webhook\"\nurl = {}\nsecret = {}\n",
        quoted(url),
        source(&answers.webhook_secret, SECRET_VARIABLE)
    );
    let to = quoted(answers.mail_to.as_deref().unwrap_or("studio@example.com"));
    let mail = format!(
        "[channels.mail]\ntype = \"email\"\nfrom = {to}\nto = [{to}]\n\n[channels.mail.smtp]\n\
         host = {}\ntls = \"starttls\"\nusername = {to}\npassword = {}\n",
        quoted(answers.smtp_host.as_deref().unwrap_or("smtp.example.com")),
        source(&answers.smtp_password, PASSWORD_VARIABLE)
    );
    [
        HEAD.to_owned(),
        instruction(&answers.api_key, KEY_VARIABLE, "…"),
        format!("api_key = {}\n", source(&answers.api_key, KEY_VARIABLE)),
        AVATARS_HEAD.to_owned(),
        avatars.join("\n"),
        WEBHOOK_HEAD.to_owned(),
        instruction(&answers.webhook_secret, SECRET_VARIABLE, "whsec_…"),
        optional(answers.webhook_url.is_some(), &webhook),
        MAIL_HEAD.to_owned(),
        instruction(&answers.smtp_password, PASSWORD_VARIABLE, "…"),
        optional(answers.mail_to.is_some(), &mail),
    ]
    .concat()
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
                avatars: avatar.map(str::to_owned).into_iter().collect(),
                webhook_url: webhook.map(str::to_owned),
                mail_to: mail.map(str::to_owned),
                ..StarterAnswers::default()
            };
            let text = init_config(&answers);
            let path = Path::new("starter.toml");
            let environment = Environment::from_iter(ENVIRONMENT);
            let read = |text: &str, access| file::read_text(path, text, access, &environment);
            let settings = read(&text, FileAccess::Others(0o644)).unwrap();
            let channels = usize::from(webhook.is_some()) + usize::from(mail.is_some());
            assert_eq!((settings.avatars.len(), settings.channels.len()), (1, channels));
            let uncommented: String = text.lines().map(uncomment).collect();
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
            let answers = StarterAnswers {
                api_key: SecretLocation::File(text.clone()),
                avatars: vec![text.clone(), text.clone()],
                webhook_url: Some(text.clone()),
                webhook_secret: SecretLocation::File(text.clone()),
                mail_to: Some(text.clone()),
                smtp_host: Some(text.clone()),
                smtp_password: SecretLocation::File(text.clone()),
            };
            let table: toml::Table = init_config(&answers).parse().unwrap();
            prop_assert_eq!(table["argil"]["api_key"]["file"].as_str(), Some(text.as_str()));
            prop_assert_eq!(table["avatars"][1]["id"].as_str(), Some(text.as_str()));
            prop_assert_eq!(table["channels"]["webhook"]["url"].as_str(), Some(text.as_str()));
            prop_assert_eq!(table["channels"]["mail"]["to"][0].as_str(), Some(text.as_str()));
        }
    }
}
