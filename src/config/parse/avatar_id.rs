//! Avatar ids that a person wrote: also what is not one, but is easily taken for one.

use crate::domain::avatar::AvatarId;

/// Why a text is no avatar id: what it is, and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoAvatarId {
    pub(crate) message: String,
    pub(crate) help: String,
}

/// Reads an id.
///
/// # Errors
/// For a URL, a list, a placeholder, and for what [`AvatarId::parse`] refuses.
pub(crate) fn read(text: &str) -> Result<AvatarId, NoAvatarId> {
    let fault = |message: &str, help: String| Err(NoAvatarId { message: message.to_owned(), help });
    let id = AvatarId::parse(text).map_err(|error| NoAvatarId {
        message: "is no avatar id".to_owned(),
        help: error.to_string(),
    })?;
    if text.to_ascii_lowercase().contains("your-avatar") || text.contains(['<', '>', '…']) {
        let help = "write the id of your avatar; `avatar-watch init` lists those of your account";
        return fault("is a placeholder", help.to_owned());
    }
    if text.contains('/') {
        return match of_url(text) {
            Some(id) => fault("is a URL", format!("write its id alone: `{id}`")),
            None => fault("is a URL or a path", "write the id of the avatar alone".to_owned()),
        };
    }
    if text.contains('@') {
        return fault("is a mail address", "write the id of the avatar".to_owned());
    }
    if text.contains([',', ';']) {
        return fault("is a list", "write one block `[[avatars]]` for each avatar".to_owned());
    }
    Ok(id)
}

/// Reads an id that no list confirms: what has no digit is a name.
///
/// # Errors
/// As [`read`], and for a name.
pub(crate) fn unlisted(text: &str) -> Result<AvatarId, NoAvatarId> {
    let id = read(text)?;
    if text.bytes().any(|byte| byte.is_ascii_digit()) {
        return Ok(id);
    }
    let help = "write an id, such as `3c90c3cc-0d44-4b50-8888-8dd25736052a`".to_owned();
    Err(NoAvatarId { message: "is no avatar id".to_owned(), help })
}

/// The id in a URL of Argil's app or API: the last segment of the path that is a UUID.
pub(crate) fn of_url(text: &str) -> Option<AvatarId> {
    let segments = text.split(['/', '?', '#', '&', '=']).rev();
    let mut ids = segments.filter(|segment| uuid::Uuid::try_parse(segment).is_ok());
    AvatarId::parse(ids.next()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3c90c3cc-0d44-4b50-8888-8dd25736052a";

    #[test]
    fn what_is_no_id_is_named() {
        let check = |text: &str, message: &str, help: &str| {
            let error = read(text).unwrap_err();
            assert_eq!(error.message, message, "for {text:?}");
            assert!(error.help.contains(help), "for {text:?}: {}", error.help);
        };
        check("the-id-of-your-avatar", "is a placeholder", "`avatar-watch init`");
        check("YOUR-AVATAR-ID", "is a placeholder", "`avatar-watch init`");
        check("<id>", "is a placeholder", "`avatar-watch init`");
        check(&format!("https://app.argil.ai/avatars/{ID}"), "is a URL", ID);
        check(&format!("app.argil.ai/avatars/{ID}?tab=videos"), "is a URL", ID);
        check("https://app.argil.ai/avatars", "is a URL or a path", "alone");
        check(&format!("{ID},"), "is a list", "[[avatars]]");
        check("a b", "is no avatar id", "without blanks");
        check("jane2@example.com", "is a mail address", "the id");
        assert_eq!(unlisted("Jane").unwrap_err().message, "is no avatar id");
        assert_eq!(unlisted("a1").unwrap().as_str(), "a1");
        assert_eq!(read(ID).unwrap().as_str(), ID);
        assert_eq!(read("a1").unwrap().as_str(), "a1");
    }
}
