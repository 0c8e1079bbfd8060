//! The starter config: what `avatar-watch init` writes.
//!
//! Short on purpose; `config.example.toml` shows every key. It loads as it is, as soon as the
//! variables that it names are set.

use toml::Value;

/// What is known when a config is begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StarterAnswers {
    /// The avatar to watch; left out, a placeholder stands there.
    pub avatar_id: Option<String>,
    /// A webhook to tell; left out, its lines are comments.
    pub webhook_url: Option<String>,
    /// A mailbox to tell; left out, its lines are comments.
    pub mail_to: Option<String>,
}

/// The text of a starter config. The answers are quoted, whatever stands in them; whether they
/// are any good is said when the file is loaded.
pub fn starter(answers: &StarterAnswers) -> String {
    let id = quoted(answers.avatar_id.as_deref().unwrap_or("the-id-of-your-avatar"));
    let avatar = format!("[[avatars]]\nid = {id}\n#name = \"Jane, English\"\n");
    let url = quoted(answers.webhook_url.as_deref().unwrap_or("https://example.com/hooks/avatars"));
    let webhook = optional(answers.webhook_url.is_some(), &WEBHOOK.replace("URL", &url));
    let to = quoted(answers.mail_to.as_deref().unwrap_or("studio@example.com"));
    let mail = optional(answers.mail_to.is_some(), &MAIL.replace("ADDRESS", &to));
    format!("{HEAD}{avatar}{WEBHOOK_HEAD}{webhook}{MAIL_HEAD}{mail}")
}

fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

/// The lines as they are, or as comments.
fn optional(given: bool, lines: &str) -> String {
    if given {
        return lines.to_owned();
    }
    lines.lines().map(|line| format!("#{line}\n")).collect()
}

const HEAD: &str = "\
# avatar-watch: a starter. `config.example.toml` shows every key with its default.
# `avatar-watch check` says what is wrong with this file, all at once.

[argil]
# The API key, from app.argil.ai. It stands outside of this file:
#   export ARGIL_API_KEY=…
api_key = { env = \"ARGIL_API_KEY\" }

# One block for each avatar to watch.
";

const WEBHOOK_HEAD: &str = "
# A webhook to tell. Make its secret with `avatar-watch secret`, and give it to the receiver too:
#   export AVATAR_WATCH_WEBHOOK_SECRET=whsec_…
";

const WEBHOOK: &str = "\
[channels.webhook]
type = \"webhook\"
url = URL
secret = { env = \"AVATAR_WATCH_WEBHOOK_SECRET\" }
";

const MAIL_HEAD: &str = "
# A mailbox to tell, through your mail server:
#   export SMTP_PASSWORD=…
";

const MAIL: &str = "\
[channels.mail]
type = \"email\"
from = ADDRESS
to = [ADDRESS]

[channels.mail.smtp]
host = \"smtp.example.com\"
tls = \"starttls\"
username = ADDRESS
password = { env = \"SMTP_PASSWORD\" }
";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::config::drop_in::DropIns;
    use crate::config::environment::Environment;
    use crate::config::file;
    use crate::config::reader::Visibility;

    const ENVIRONMENT: [(&str, &str); 3] = [
        ("ARGIL_API_KEY", "key"),
        ("AVATAR_WATCH_WEBHOOK_SECRET", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
        ("SMTP_PASSWORD", "password"),
    ];

    fn environment() -> Environment {
        ENVIRONMENT.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect()
    }

    #[test]
    fn a_starter_loads_with_and_without_answers() {
        let check = |avatar: Option<&str>, webhook: Option<&str>, mail: Option<&str>| {
            let answers = StarterAnswers {
                avatar_id: avatar.map(str::to_owned),
                webhook_url: webhook.map(str::to_owned),
                mail_to: mail.map(str::to_owned),
            };
            let text = starter(&answers);
            let path = Path::new("starter.toml");
            let read = |text: &str, visibility| {
                file::read(path, text, visibility, &environment(), DropIns::default())
            };
            let settings = read(&text, Visibility::Others(0o644)).unwrap();
            let channels = usize::from(webhook.is_some()) + usize::from(mail.is_some());
            assert_eq!((settings.avatars.len(), settings.channels.len()), (1, channels));
            let uncommented: String = text.lines().map(uncomment).collect();
            assert!(read(&uncommented, Visibility::Owner).is_ok());
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
                avatar_id: Some(text.clone()),
                webhook_url: Some(text.clone()),
                mail_to: Some(text.clone()),
            };
            let table: toml::Table = starter(&answers).parse().unwrap();
            prop_assert_eq!(table["avatars"][0]["id"].as_str(), Some(text.as_str()));
            prop_assert_eq!(table["channels"]["webhook"]["url"].as_str(), Some(text.as_str()));
            prop_assert_eq!(table["channels"]["mail"]["to"][0].as_str(), Some(text.as_str()));
        }
    }
}
