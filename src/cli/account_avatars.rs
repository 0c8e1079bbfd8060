//! The avatars that the API lists for an account, and which of them a text names.

use crate::cli::advice;
use crate::cli::runtime::block_on;
use crate::config::init_template::StarterAvatar;
use crate::config::parse::avatar_id;
use crate::config::settings::AccountSettings;
use crate::daemon::clock::SystemClock;
use crate::daemon::config::wiring;
use crate::daemon::ports::Clock as _;
use crate::domain::avatar::Avatar;
use crate::domain::polling::list_observation::ListObservation;
use crate::domain::polling::observation::{Denial, Observation};
use crate::text::fold::is_same_name;
use crate::text::sanitize::sanitize;

/// Why an account cannot be listed.
#[derive(Debug)]
pub(crate) struct ListFailure {
    pub(crate) text: String,
    pub(crate) key_rejected: bool,
}

impl ListFailure {
    pub(crate) fn other(text: impl ToString) -> Self {
        Self { text: text.to_string(), key_rejected: false }
    }
}

/// The avatars of the account with an id that a config accepts.
pub(crate) fn list_avatars(account: &AccountSettings) -> Result<Vec<Avatar>, ListFailure> {
    let client = wiring::client(account).map_err(ListFailure::other)?;
    match block_on(client.list_avatars(SystemClock.now())) {
        Ok(ListObservation::Listed { mut avatars, .. }) => {
            avatars.retain(|avatar| avatar_id::read(avatar.id.as_str()).is_ok());
            Ok(avatars)
        }
        Ok(ListObservation::Failed(observation)) => {
            let key_rejected =
                matches!(observation, Observation::Denied { denial: Denial::Key, .. });
            let (_, text, help) = advice::for_list(&observation);
            let help = help.filter(|_| !key_rejected).map(|help| format!("; {help}"));
            Err(ListFailure { text: format!("{text}{}", help.unwrap_or_default()), key_rejected })
        }
        Err(error) => Err(ListFailure::other(error)),
    }
}

/// The avatars that an answer names, each once: by number, id, URL or name.
pub(crate) fn chosen(answer: &str, listed: &[Avatar]) -> Result<Vec<StarterAvatar>, String> {
    if is_all(answer) && !listed.is_empty() {
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

/// The avatars that arguments name, each once: `all`, names, ids and URLs. The account is listed
/// only for what is not certainly an id.
pub(crate) fn named_by_arguments(
    texts: &[String],
    list: impl FnOnce() -> Result<Vec<Avatar>, ListFailure>,
) -> Result<Vec<StarterAvatar>, String> {
    let is_certain = texts.iter().all(|text| avatar_id::of_url(text).is_some());
    let listed = if is_certain { Ok(Vec::new()) } else { list() };
    let mut avatars: Vec<StarterAvatar> = Vec::new();
    for text in texts {
        let found = match &listed {
            Ok(listed) if is_all(text) && listed.is_empty() => {
                return Err(format!("`{text}`: the account has no avatars yet"));
            }
            Ok(listed) if is_all(text) => listed.iter().map(starter).collect(),
            Ok(listed) => vec![match named(text, listed)? {
                Some(avatar) => starter(avatar),
                None => by_text(text, listed)?,
            }],
            Err(failure) => {
                let unlisted =
                    |why| format!("{why}; for names, the account is listed, but {}", failure.text);
                vec![free(text).map_err(unlisted)?]
            }
        };
        for avatar in found {
            if !avatars.iter().any(|it| it.id == avatar.id) {
                avatars.push(avatar);
            }
        }
    }
    Ok(avatars)
}

fn is_all(text: &str) -> bool {
    text.trim().eq_ignore_ascii_case("all")
}

/// The listed avatars with a number such as `3`, or with numbers such as `3-5`.
fn by_number<'a>(word: &str, listed: &'a [Avatar]) -> Option<&'a [Avatar]> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let [first, last] = [first, last].map(|it| it.parse::<usize>().ok());
    listed.get(first?.checked_sub(1)?..last?)
}

/// The only listed avatar with that name.
pub(crate) fn named<'a>(text: &str, listed: &'a [Avatar]) -> Result<Option<&'a Avatar>, String> {
    let is_named = |it: &&Avatar| it.name.as_ref().is_some_and(|name| is_same_name(name, text));
    match listed.iter().filter(is_named).collect::<Vec<_>>().as_slice() {
        [] => Ok(None),
        [avatar] => Ok(Some(avatar)),
        several => Err(format!(
            "{} avatars are named `{}`; choose by number or id",
            several.len(),
            sanitize(text)
        )),
    }
}

fn by_text(word: &str, listed: &[Avatar]) -> Result<StarterAvatar, String> {
    if listed.is_empty() {
        return free(word);
    }
    if let Some(avatar) = named(word, listed)? {
        return Ok(starter(avatar));
    }
    // An id of a URL may be of another account, or not listed yet.
    let by_url = word.contains('/').then(|| avatar_id::of_url(word)).flatten();
    if let Some(avatar) = listed.iter().find(|it| it.id.matches(word)) {
        return Ok(starter(avatar));
    }
    match by_url {
        Some(id) => Ok(listed
            .iter()
            .find(|it| it.id == id)
            .map_or_else(|| StarterAvatar { id: id.to_string(), name: None }, starter)),
        None => {
            avatar_id::read(word).map_err(|fault| refusal(word, &fault))?;
            Err(format!("`{}` is not in the list", sanitize(word)))
        }
    }
}

/// An avatar that is not in a list, if the text can be an id.
fn free(word: &str) -> Result<StarterAvatar, String> {
    let id = avatar_id::of_url(word).map_or_else(|| avatar_id::unlisted(word), Ok);
    let id = id.map_err(|fault| refusal(word, &fault))?;
    Ok(StarterAvatar { id: id.to_string(), name: None })
}

fn refusal(word: &str, fault: &avatar_id::NoAvatarId) -> String {
    format!("`{}` {}: {}", sanitize(word), fault.message, fault.help)
}

fn starter(avatar: &Avatar) -> StarterAvatar {
    StarterAvatar { id: avatar.id.to_string(), name: avatar.name.clone() }
}

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
        [("a1", "Jane"), ("a2", "Béla"), ("a3", "Ines, English")].map(avatar).into()
    }

    #[test]
    fn avatars_are_chosen_by_number_id_or_url() {
        let check = |answer: &str, expected: &[&str]| {
            let ids: Vec<String> =
                chosen(answer, &listed()).unwrap().into_iter().map(|it| it.id).collect();
            assert_eq!(ids, expected, "for {answer:?}");
        };
        check("", &[]);
        check("all", &["a1", "a2", "a3"]);
        check("1,3", &["a1", "a3"]);
        check("2, a1 2;", &["a2", "a1"]);
        check(&format!("https://app.argil.ai/avatars/{UUID}"), &[UUID]);
        check("2-3", &["a2", "a3"]);
        check("jane", &["a1"]);
        check("3 BÉLA", &["a3", "a2"]);
        let names: Vec<_> =
            chosen("a2", &listed()).unwrap().into_iter().map(|it| it.name).collect();
        assert_eq!(names, [Some("Béla".to_owned())]);
        assert!(chosen("the-id-of-your-avatar", &listed()).unwrap_err().contains("placeholder"));
        for wrong in ["Jäne", "4", "0", "3-9", "2 ALL", "Name", UUID] {
            assert!(chosen(wrong, &listed()).is_err(), "{wrong}");
        }
        let free = chosen("x1", &[]).unwrap();
        assert_eq!(free, [StarterAvatar { id: "x1".to_owned(), name: None }]);
        for wrong in ["all", "Jane", "jane@example.com", "jane2@example.com"] {
            assert!(chosen(wrong, &[]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn arguments_name_avatars_of_the_account_or_are_refused() {
        let check = |texts: &[&str], expected: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
            let ids = named_by_arguments(&texts, || Ok(listed())).unwrap();
            assert_eq!(ids.into_iter().map(|it| it.id).collect::<Vec<_>>(), expected);
        };
        check(&["all"], &["a1", "a2", "a3"]);
        check(&["ines, english", "A2", "a2"], &["a3", "a2"]);
        let refused = |text: &str, list: Result<Vec<Avatar>, ListFailure>| {
            named_by_arguments(&[text.to_owned()], || list).unwrap_err()
        };
        assert_eq!(refused("Jan", Ok(listed())), "`Jan` is not in the list");
        assert_eq!(refused("all", Ok(Vec::new())), "`all`: the account has no avatars yet");
        for text in ["all", "Jane", "jane@example.com", "j4ne@example.com"] {
            let error = refused(text, Err(ListFailure::other("offline")));
            assert!(error.contains("offline"), "{error}");
        }
        let offline = || Err(ListFailure::other("offline"));
        assert_eq!(named_by_arguments(&["a9".to_owned()], offline).unwrap()[0].id, "a9");
        let unasked = || panic!("an id needs no list");
        assert_eq!(named_by_arguments(&[UUID.to_owned()], unasked).unwrap()[0].id, UUID);
    }

    const UUID: &str = "3c90c3cc-0d44-4b50-8888-8dd25736052a";
}
