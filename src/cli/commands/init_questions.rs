//! The questions of `avatar-watch init` on a terminal.

use std::io;
use std::path::Path;

use url::Url;

use crate::cli::account_avatars::{ListFailure, chosen, list_avatars};
use crate::cli::commands::init::{
    InitAnswers, KEY_FILE, PASSWORD_FILE, account_of_key, host_and_port, with_scheme,
};
use crate::cli::prompt::Prompter;
use crate::config::environment::Environment;
use crate::config::from_env::{KEY_VARIABLE, KeySource};
use crate::config::init_template::{
    Operators, PASSWORD_VARIABLE, StarterAnswers, StarterAvatar, chat_of,
};
use crate::config::parse::host;
use crate::domain::avatar::Avatar;
use crate::domain::mail::address::MailAddress;
use crate::domain::status_report::NAME_CHARS_MAX;
use crate::secret::Secret;
use crate::text::plural::counted;
use crate::text::sanitize::{sanitize, sanitize_line};
use crate::text::secret_input::SecretKind;

/// Asks for everything that no variable provides; an existing secret file can be kept.
pub(super) fn ask(folder: &Path, base_url: Option<&str>) -> io::Result<InitAnswers> {
    let prompter = Prompter::new()?;
    let KnownKey { typed, key, listed } = ask_key(&prompter, folder, base_url)?;
    let avatars = ask_avatars(&prompter, &listed, key.as_ref())?;
    let question = "URL of a webhook or chat to notify, https://… (Enter: none)";
    let url = with_scheme(&prompter.ask(question, valid_url)?);
    let address =
        |text: &str| MailAddress::parse(text).map(drop).map_err(|error| format!("it {error}"));
    let mail = prompter.ask("Mailbox to notify (Enter: none)", address)?;
    let (smtp, smtp_password) = match mail.as_str() {
        "" => (None, None),
        mail => ask_smtp(&prompter, folder, mail)?,
    };
    let operators = ask_operators(&prompter, &url, &mail)?;
    let (smtp_host, smtp_port) = smtp.unzip();
    let answers = StarterAnswers {
        base_url: base_url.map(str::to_owned),
        avatars,
        webhook_url: non_empty(url),
        mail_to: non_empty(mail),
        smtp_host,
        smtp_port: smtp_port.flatten(),
        operators,
        ..StarterAnswers::default()
    };
    Ok(InitAnswers { answers, api_key: typed, smtp_password })
}

fn valid_url(text: &str) -> Result<(), String> {
    if text.contains(char::is_whitespace) {
        return Err("must be a URL without blanks".to_owned());
    }
    let text = with_scheme(text);
    match Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "https" | "http") => Ok(()),
        Err(error) if text.contains("://") => Err(format!("is no URL: {error}")),
        Ok(_) | Err(_) => Err("put `https://` in front of it".to_owned()),
    }
}

type SmtpServer = (String, Option<u16>);

fn ask_smtp(
    prompter: &Prompter,
    folder: &Path,
    mail: &str,
) -> io::Result<(Option<SmtpServer>, Option<Secret>)> {
    let question = "SMTP server, such as mail.example.com (Enter: add it to the config later)";
    let server = prompter.ask(question, |text| {
        let no_host = || {
            "must be a host name or an IP address, and may end with a port, such as `:465`"
                .to_owned()
        };
        host::with_port(text).map(drop).ok_or_else(no_host)
    })?;
    if server.is_empty() {
        return Ok((None, None));
    }
    let file = folder.join(PASSWORD_FILE);
    let empty = match file.symlink_metadata() {
        Ok(_) => format!("keep the one in `{}`", sanitize(&file.to_string_lossy())),
        Err(_) => format!("read it from {PASSWORD_VARIABLE}"),
    };
    let question = format!("SMTP password of {mail} (not echoed; Enter: {empty})");
    let password = prompter.ask_secret(&question, SecretKind::Password)?;
    Ok((Some(host_and_port(&server)), password))
}

/// Asks which channels are also notified when the watching itself fails.
fn ask_operators(prompter: &Prompter, url: &str, mail: &str) -> io::Result<Operators> {
    let when = "when the watching itself fails, such as for a revoked key?";
    let webhook = chat_of(url).unwrap_or("webhook");
    let (question, both) = match (url, mail) {
        ("", "") => return Ok(Operators::None),
        ("", channel) => (format!("Also notify {channel} {when} (Enter: yes; or no)"), false),
        (_, "") => (format!("Also notify this channel {when} (Enter: yes; or no)"), false),
        (_, mail) => {
            let answers = format!("(Enter: {mail}; or `{webhook}`, `both` or `no`)");
            (format!("Which channel to notify {when} {answers}"), true)
        }
    };
    let read = |text: &str| match text.to_lowercase().as_str() {
        "" | "yes" | "y" => Ok(Operators::Preferred),
        "no" | "n" | "none" => Ok(Operators::None),
        "mail" if both => Ok(Operators::Preferred),
        "both" if both => Ok(Operators::Both),
        text if both && text == mail.to_lowercase() => Ok(Operators::Preferred),
        text if both && (text == webhook || text == "webhook") => Ok(Operators::Webhook),
        _ if both => Err(format!("answer `mail`, `{webhook}`, `both` or `no`")),
        _ => Err("answer `yes` or `no`".to_owned()),
    };
    let answer = prompter.ask(&question, |text| read(text).map(drop))?;
    Ok(read(&answer).unwrap_or_default())
}

/// The key that the config will name, as far as it is known.
#[derive(Default)]
struct KnownKey {
    /// The key, if it was typed and has to be stored.
    typed: Option<Secret>,
    key: Option<Secret>,
    /// The avatars of its account.
    listed: Vec<Avatar>,
}

/// Asks for the API key until the API accepts it. That in a file or variable can be kept.
fn ask_key(prompter: &Prompter, folder: &Path, base_url: Option<&str>) -> io::Result<KnownKey> {
    let file = folder.join(KEY_FILE);
    let kept = match file.symlink_metadata() {
        Ok(_) => Some(KeySource::File(&file)),
        Err(_) => std::env::var_os(KEY_VARIABLE).map(|_| KeySource::Variable),
    };
    let place = match kept {
        Some(KeySource::File(path)) => sanitize(&path.to_string_lossy()),
        Some(KeySource::Variable) | None => KEY_VARIABLE.to_owned(),
    };
    let empty = match kept {
        Some(_) => format!("keep that in `{place}`"),
        None => format!("read it from {KEY_VARIABLE} later"),
    };
    let question = format!("API key, from app.argil.ai (not echoed; Enter: {empty})");
    let mut kept_rejected = false;
    loop {
        let typed = match kept {
            // It was set for this.
            Some(KeySource::Variable) if !kept_rejected => None,
            _ => prompter.ask_secret(&question, SecretKind::Key)?,
        };
        let account = match (&typed, kept) {
            (Some(key), _) => {
                let environment = Environment::from_iter([(KEY_VARIABLE, key.expose())]);
                account_of_key(KeySource::Variable, &environment, base_url)
            }
            (None, Some(kept)) if !kept_rejected => {
                account_of_key(kept, &Environment::from_process(), base_url)
            }
            (None, _) => return Ok(KnownKey::default()),
        };
        let key = account.as_ref().ok().map(|account| account.api_key.clone());
        match account.and_then(|account| list_avatars(&account)) {
            Ok(listed) => return Ok(KnownKey { typed, key, listed }),
            Err(failure) if failure.key_rejected => {
                let which = if typed.is_none() { format!(" in `{place}`") } else { String::new() };
                prompter.say(&format!("  The key{which} cannot be used: {}\n", failure.text))?;
                kept_rejected |= typed.is_none();
            }
            Err(ListFailure { text, .. }) => {
                prompter.say(&format!("  The avatars cannot be listed: {text}\n"))?;
                return Ok(KnownKey { typed, key, listed: Vec::new() });
            }
        }
    }
}

/// Shows the avatars of the account and asks which to watch.
fn ask_avatars(
    prompter: &Prompter,
    listed: &[Avatar],
    key: Option<&Secret>,
) -> io::Result<Vec<StarterAvatar>> {
    let question = if listed.is_empty() {
        "Avatar ids, separated by spaces or commas (Enter: add them to the config later)"
    } else {
        let count = counted(listed.len(), "avatar");
        prompter.say(&format!("The account has {count}:\n"))?;
        for (number, avatar) in listed.iter().enumerate().take(SHOWN_MAX) {
            let name = sanitize_line(avatar.name.as_deref().unwrap_or_default(), NAME_CHARS_MAX);
            let (id, status) = (&avatar.id, avatar.status.display());
            prompter.say(&format!("{:4}  {status:15}  {id}  {name}\n", number + 1))?;
        }
        if listed.len() > SHOWN_MAX {
            prompter.say(&format!("      … and {} more\n", listed.len() - SHOWN_MAX))?;
        }
        "Avatars to watch: numbers such as `1, 3-5`, ids, names or `all` (Enter: later)"
    };
    let read = |text: &str| match text.split_whitespace().any(|word| resembles_key(word, key)) {
        true => Err("this resembles an API key, which is a secret and no avatar id; to use \
                     another key, press Ctrl-C and run `init` again"
            .to_owned()),
        false => chosen(text, listed),
    };
    let answer = prompter.ask(question, |text| read(text).map(drop))?;
    Ok(read(&answer).unwrap_or_default())
}

/// Whether a word is the key, or begins as it or other keys do, such as `sk_`.
fn resembles_key(word: &str, key: Option<&Secret>) -> bool {
    let of_key = key.and_then(|key| key.expose().find(['_', '-']).map(|at| &key.expose()[..=at]));
    // Hexadecimal digits may begin a UUID.
    let is_prefix = |prefix: &&str| {
        prefix.len() > 2
            && prefix.bytes().any(|byte| byte.is_ascii_alphabetic() && !byte.is_ascii_hexdigit())
    };
    key.is_some_and(|key| key.expose() == word)
        || KEY_PREFIXES
            .iter()
            .copied()
            .chain(of_key)
            .filter(is_prefix)
            .any(|it| word.starts_with(it))
}

fn non_empty(answer: String) -> Option<String> {
    (!answer.is_empty()).then_some(answer)
}

/// How keys of services begin.
const KEY_PREFIXES: [&str; 5] = ["sk_", "sk-", "pk_", "key_", "argil_"];
/// Avatars to list; the others can be chosen by id.
const SHOWN_MAX: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_like_the_key_is_no_avatar_id() {
        let key = Secret::new("arg-1234");
        for word in ["arg-1234", "arg-99", "sk_live_1", "argil_77"] {
            assert!(resembles_key(word, Some(&key)), "{word}");
        }
        let uuid = Secret::new("3c90c3cc-0d44-4b50-8888-8dd25736052a");
        for word in ["a1", "3c90c3cc-0d44-4b50-8888-000000000000"] {
            assert!(!resembles_key(word, Some(&uuid)) && !resembles_key(word, None), "{word}");
        }
    }

    #[test]
    fn a_url_without_a_scheme_is_explained_and_that_of_a_chat_completed() {
        assert_eq!(valid_url("hooks.slack.com/services/T0/B0/x"), Ok(()));
        assert_eq!(with_scheme("ntfy.sh/topic"), "https://ntfy.sh/topic");
        for text in ["ops.example.com/hook", "localhost:8080/hook"] {
            assert!(valid_url(text).unwrap_err().contains("`https://` in front"), "{text}");
        }
        assert!(valid_url("https://").unwrap_err().contains("is no URL"));
    }

    #[test]
    fn the_port_of_a_mail_server_is_split_off() {
        assert_eq!(
            host_and_port("mail.example.com:465"),
            ("mail.example.com".to_owned(), Some(465))
        );
        assert_eq!(host_and_port("mail.example.com"), ("mail.example.com".to_owned(), None));
        assert_eq!(host_and_port("::1"), ("::1".to_owned(), None));
        assert_eq!(host_and_port("a b:1"), ("a b:1".to_owned(), None));
    }
}
