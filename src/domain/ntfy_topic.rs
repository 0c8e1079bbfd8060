//! The topic of an ntfy server, where whoever knows its name can listen: a secret.

use std::fmt;

/// A topic: 1 to 64 of `a-z A-Z 0-9 _ -`. It hides itself from `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct NtfyTopic(String);

/// The text is no topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path of an ntfy URL is a topic: 1 to {LENGTH_MAX} letters, digits, `_` or `-`")]
pub struct NtfyTopicError;

impl NtfyTopic {
    /// The topic that is the path of a URL, with or without slashes around it.
    ///
    /// # Errors
    /// When the path is empty, longer than one topic, or has other characters.
    pub fn of_path(path: &str) -> Result<Self, NtfyTopicError> {
        let text = path.trim_matches('/');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if text.is_empty() || text.len() > LENGTH_MAX || !text.bytes().all(plain) {
            return Err(NtfyTopicError);
        }
        Ok(Self(text.to_owned()))
    }

    /// The topic as text, for the line that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for NtfyTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

const LENGTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_the_whole_path() {
        for good in ["/ops", "/A_1-b/", "/x"] {
            let topic = NtfyTopic::of_path(good).unwrap();
            assert_eq!(topic.expose(), good.trim_matches('/'));
            assert_eq!(format!("{topic:?}"), "***");
        }
        for bad in ["", "/", "/a/b", "/a%20b", "/é", &"x".repeat(65)] {
            assert_eq!(NtfyTopic::of_path(bad), Err(NtfyTopicError), "for `{bad}`");
        }
    }
}
