//! The questions of `avatar-watch init` on a terminal.

use std::io;
use std::path::Path;

use url::Url;

use crate::cli::advice;
use crate::cli::commands::init::{InitAnswers, KEY_FILE, PASSWORD_FILE};
use crate::cli::prompt::Prompter;
use crate::cli::runtime::block_on;
use crate::config::environment::Environment;
use crate::config::from_env::{KEY_VARIABLE, KeySource, settings_of_key};
use crate::config::init_template::{PASSWORD_VARIABLE, StarterAnswers, StarterAvatar};
use crate::config::parse::{avatar_id, host};
use crate::daemon::clock::SystemClock;
use crate::daemon::config::wiring;
use crate::daemon::ports::Clock as _;
use crate::domain::account::AccountName;
use crate::domain::avatar::Avatar;
use crate::domain::mail::address::MailAddress;
use crate::domain::polling::list_observation::ListObservation;
use crate::domain::polling::observation::{Denial, Observation};
use crate::domain::status_report::NAME_CHARS_MAX;
use crate::secret::Secret;
use crate::text::plural::counted;
use crate::text::sanitize::{is_same_name, sanitize_line};
use crate::text::secret_input::SecretKind;

/// Asks for everything that no variable and no file provides.
pub(super) fn ask(folder: &Path, base_url: Option<&str>) -> io::Result<InitAnswers> {
    let prompter = Prompter::new()?;
    let (api_key, listed) = ask_key(&prompter, folder, base_url)?;
    let mut answers = InitAnswers { api_key, ..InitAnswers::default() };
    let avatars = ask_avatars(&prompter, &listed)?;
    let url =
        prompter.ask("URL of a webhook or chat to notify, https://… (Enter: none)", |text| {
            let url = Url::parse(text).map_err(|error| error.to_string())?;
            match url.scheme() {
                "https" | "http" if !text.contains(char::is_whitespace) => Ok(()),
                _ => Err("must be a URL that begins with `https://`, without blanks".to_owned()),
            }
        })?;
    let address =
        |text: &str| MailAddress::parse(text).map(drop).map_err(|error| format!("it {error}"));
    let mail = prompter.ask("Mailbox to notify (Enter: none)", address)?;
    let mut smtp_host = String::new();
    if !mail.is_empty() {
        let question = "SMTP server, such as smtp.example.com (Enter: add it to the config later)";
        smtp_host = prompter.ask(question, |text| {
            let no_host = || "must be a host name or an IP address, without a port".to_owned();
            if host::parse(text).is_some() { Ok(()) } else { Err(no_host()) }
        })?;
        if !folder.join(PASSWORD_FILE).exists() {
            let question = format!(
                "SMTP password of {mail} (not echoed; Enter: read it from {PASSWORD_VARIABLE})"
            );
            answers.smtp_password = prompter.ask_secret(&question, SecretKind::Password)?;
        }
    }
    let mut no_operator = false;
    if !url.is_empty() || !mail.is_empty() {
        let channel = if mail.is_empty() { "this channel" } else { &mail };
        let question = format!(
            "Also notify {channel} when the watching itself fails, such as for a revoked key? \
             (Enter: yes; or no)"
        );
        let answer = prompter.ask(&question, |text| match text {
            "yes" | "y" | "no" | "n" => Ok(()),
            _ => Err("answer `yes` or `no`".to_owned()),
        })?;
        no_operator = answer.starts_with('n');
    }
    answers.answers = StarterAnswers {
        base_url: base_url.map(str::to_owned),
        avatars,
        webhook_url: non_empty(url),
        mail_to: non_empty(mail),
        smtp_host: non_empty(smtp_host),
        no_operator,
        ..StarterAnswers::default()
    };
    Ok(answers)
}

/// Asks for the API key until the API accepts it, unless it is known. Returns what was typed, and
/// the avatars of the account.
fn ask_key(
    prompter: &Prompter,
    folder: &Path,
    base_url: Option<&str>,
) -> io::Result<(Option<Secret>, Vec<Avatar>)> {
    let file = folder.join(KEY_FILE);
    let is_set = std::env::var_os(KEY_VARIABLE).is_some();
    if is_set || file.exists() {
        let key = if is_set { KeySource::Variable } else { KeySource::File(&file) };
        let listed = list_avatars(key, &Environment::from_process(), base_url);
        return Ok((None, listed.or_else(|failure| report(prompter, &failure))?));
    }
    let question = format!(
        "API key, from app.argil.ai (not echoed; Enter: read it from {KEY_VARIABLE} later)"
    );
    loop {
        let Some(key) = prompter.ask_secret(&question, SecretKind::Key)? else {
            return Ok((None, Vec::new()));
        };
        let environment = Environment::from_iter([(KEY_VARIABLE, key.expose())]);
        match list_avatars(KeySource::Variable, &environment, base_url) {
            Ok(avatars) => return Ok((Some(key), avatars)),
            Err(failure) => {
                let none = report(prompter, &failure)?;
                if !failure.key_rejected {
                    return Ok((Some(key), none));
                }
            }
        }
    }
}

/// Prints why there is no list; returns an empty one.
fn report(prompter: &Prompter, failure: &ListFailure) -> io::Result<Vec<Avatar>> {
    prompter.say(&format!("  The avatars cannot be listed: {}\n", failure.text))?;
    Ok(Vec::new())
}

struct ListFailure {
    text: String,
    key_rejected: bool,
}

fn list_avatars(
    key: KeySource<'_>,
    environment: &Environment,
    base_url: Option<&str>,
) -> Result<Vec<Avatar>, ListFailure> {
    let other = |text: String| ListFailure { text, key_rejected: false };
    let settings = settings_of_key(key, environment, base_url).map_err(|problems| {
        let texts = problems.iter().map(|it| format!("`{}` {}", it.key, it.message));
        other(texts.collect::<Vec<_>>().join("; "))
    })?;
    let account = settings.accounts.get(&AccountName::default());
    let account = account.ok_or_else(|| other("there is no account".to_owned()))?;
    let client = wiring::client(account).map_err(|error| other(error.to_string()))?;
    match block_on(client.list_avatars(SystemClock.now())) {
        Ok(ListObservation::Listed { mut avatars, .. }) => {
            // The config would reject the others.
            avatars.retain(|avatar| avatar_id::read(avatar.id.as_str()).is_ok());
            Ok(avatars)
        }
        Ok(ListObservation::Failed(observation)) => {
            let key_rejected =
                matches!(observation, Observation::Denied { denial: Denial::Key, .. });
            Err(ListFailure { text: advice::for_poll(&observation).1, key_rejected })
        }
        Err(error) => Err(other(error.to_string())),
    }
}

/// Shows the avatars of the account and asks which to watch.
fn ask_avatars(prompter: &Prompter, listed: &[Avatar]) -> io::Result<Vec<StarterAvatar>> {
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
    let answer = prompter.ask(question, |text| chosen(text, listed).map(drop))?;
    Ok(chosen(&answer, listed).unwrap_or_default())
}

/// The avatars that an answer names, each once: by number, id, URL or name.
fn chosen(answer: &str, listed: &[Avatar]) -> Result<Vec<StarterAvatar>, String> {
    if answer.eq_ignore_ascii_case("all") && !listed.is_empty() {
        return Ok(listed.iter().map(starter).collect());
    }
    if let Some(avatar) = named(answer, listed)? {
        return Ok(vec![starter(avatar)]);
    }
    let mut avatars: Vec<StarterAvatar> = Vec::new();
    let words = answer.split(|char: char| char.is_whitespace() || ",;".contains(char));
    for word in words.filter(|word| !word.is_empty()) {
        let found = match by_number(word, listed) {
            Some(range) => range.iter().map(starter).collect(),
            None => vec![by_text(word, listed)?],
        };
        for avatar in found {
            if !avatars.iter().any(|it| it.id == avatar.id) {
                avatars.push(avatar);
            }
        }
    }
    Ok(avatars)
}

/// The listed avatars with a number such as `3`, or with numbers such as `3-5`.
fn by_number<'a>(word: &str, listed: &'a [Avatar]) -> Option<&'a [Avatar]> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let [first, last] = [first, last].map(|it| it.parse::<usize>().ok());
    listed.get(first?.checked_sub(1)?..last?)
}

/// The only listed avatar with that name.
fn named<'a>(text: &str, listed: &'a [Avatar]) -> Result<Option<&'a Avatar>, String> {
    let is_named = |it: &&Avatar| it.name.as_ref().is_some_and(|name| is_same_name(name, text));
    match listed.iter().filter(is_named).collect::<Vec<_>>().as_slice() {
        [] => Ok(None),
        [avatar] => Ok(Some(avatar)),
        several => Err(format!("{} avatars have this name; choose by number", several.len())),
    }
}

fn by_text(word: &str, listed: &[Avatar]) -> Result<StarterAvatar, String> {
    if let Some(avatar) = named(word, listed)? {
        return Ok(starter(avatar));
    }
    let by_url = avatar_id::of_url(word);
    // An id of a URL may be of another account, or not listed yet.
    let is_free = by_url.is_some() || listed.is_empty();
    let id = by_url.map_or_else(|| avatar_id::read(word), Ok);
    let id = id.map_err(|fault| format!("`{word}` {}: {}", fault.message, fault.help))?;
    match listed.iter().find(|it| it.id == id) {
        Some(avatar) => Ok(starter(avatar)),
        None if is_free => Ok(StarterAvatar { id: id.to_string(), name: None }),
        None => Err(format!("`{word}` is not in the list")),
    }
}

fn starter(avatar: &Avatar) -> StarterAvatar {
    StarterAvatar { id: avatar.id.to_string(), name: avatar.name.clone() }
}

fn non_empty(answer: String) -> Option<String> {
    (!answer.is_empty()).then_some(answer)
}

/// Avatars to list; the others can be chosen by id.
const SHOWN_MAX: usize = 50;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::avatar::AvatarId;
    use crate::domain::avatar::status::Status;

    fn listed() -> Vec<Avatar> {
        let avatar = |(id, name): (&str, &str)| Avatar {
            id: AvatarId::parse(id).unwrap(),
            status: Status::Idle,
            name: Some(name.to_owned()),
            model: None,
            orientation: None,
            thumbnail_url: None,
            extras: BTreeMap::new(),
            updated_at: None,
        };
        [("a1", "Jane"), ("a2", "Béla"), ("a3", "Ines")].map(avatar).into_iter().collect()
    }

    #[test]
    fn avatars_are_chosen_by_number_id_or_url() {
        let uuid = "3c90c3cc-0d44-4b50-8888-8dd25736052a";
        let check = |answer: &str, expected: &[&str]| {
            let ids: Vec<String> =
                chosen(answer, &listed()).unwrap().into_iter().map(|it| it.id).collect();
            assert_eq!(ids, expected, "for {answer:?}");
        };
        check("", &[]);
        check("all", &["a1", "a2", "a3"]);
        check("1,3", &["a1", "a3"]);
        check("2, a1 2;", &["a2", "a1"]);
        check(&format!("https://app.argil.ai/avatars/{uuid}"), &[uuid]);
        check("2-3", &["a2", "a3"]);
        check("jane", &["a1"]);
        check("3 BÉLA", &["a3", "a2"]);
        let names: Vec<_> =
            chosen("a2", &listed()).unwrap().into_iter().map(|it| it.name).collect();
        assert_eq!(names, [Some("Béla".to_owned())]);
        assert!(chosen("the-id-of-your-avatar", &listed()).unwrap_err().contains("placeholder"));
        for wrong in ["Jäne", "4", "0", "3-9", "2 ALL", "Name"] {
            assert!(chosen(wrong, &listed()).is_err(), "{wrong}");
        }
        let free = chosen("x1", &[]).unwrap();
        assert_eq!(free, [StarterAvatar { id: "x1".to_owned(), name: None }]);
    }
}
