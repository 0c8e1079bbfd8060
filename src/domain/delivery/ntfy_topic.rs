//! The topic of an ntfy server: a secret, since everyone who knows its name can subscribe.

use std::fmt;

use crate::domain::id::{NAME_LENGTH_MAX, is_name};

/// A topic: 1 to 64 of `a-z A-Z 0-9 _ -`. It hides itself from `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct NtfyTopic(String);

/// Why a path contains no topic. Does not repeat the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NtfyTopicError {
    #[error("the path of the URL is empty")]
    Empty,
    #[error("the last part of its path is not 1 to {NAME_LENGTH_MAX} letters, digits, `_` or `-`")]
    Malformed,
    #[error("the last part of its path is a name that ntfy keeps for itself")]
    Reserved,
}

impl NtfyTopic {
    /// The topic, which is the last segment of a URL's path, and the path of the server before it,
    /// which ends in a slash.
    pub(crate) fn of_path(path: &str) -> Result<(String, Self), NtfyTopicError> {
        let text = path.trim_matches('/');
        let (root, topic) = text.rsplit_once('/').unwrap_or(("", text));
        if topic.is_empty() {
            return Err(NtfyTopicError::Empty);
        }
        if !is_name(topic) {
            return Err(NtfyTopicError::Malformed);
        }
        // Users may copy the URL of an endpoint below the topic.
        if RESERVED.contains(&topic) || (!root.is_empty() && WAYS.contains(&topic)) {
            return Err(NtfyTopicError::Reserved);
        }
        let root = if root.is_empty() { "/".to_owned() } else { format!("/{root}/") };
        Ok((root, Self(topic.to_owned())))
    }

    /// The topic as text, for the line that sends it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for NtfyTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Names that the server reserves.
const RESERVED: [&str; 10] =
    ["docs", "static", "file", "app", "metrics", "account", "settings", "signup", "login", "v1"];
/// Endpoints below a topic.
const WAYS: [&str; 8] = ["json", "sse", "raw", "ws", "auth", "publish", "send", "trigger"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_the_end_of_the_path() {
        let check = |path: &str, root: &str, name: &str| {
            let (found, topic) = NtfyTopic::of_path(path).unwrap();
            assert_eq!((found.as_str(), topic.expose()), (root, name), "for `{path}`");
            assert_eq!(format!("{topic:?}"), "***");
        };
        check("/ops", "/", "ops");
        check("/A_1-b/", "/", "A_1-b");
        check("//x", "/", "x");
        check("/json", "/", "json");
        check("/ntfy/alerts", "/ntfy/", "alerts");
        check("/a/b/c/", "/a/b/", "c");
        check("/docs/alerts", "/docs/", "alerts");
    }

    #[test]
    fn an_invalid_topic_is_reported_with_the_reason() {
        let check = |path: &str, expected: NtfyTopicError| {
            assert_eq!(NtfyTopic::of_path(path), Err(expected), "for `{path}`");
        };
        for empty in ["", "/", "//"] {
            check(empty, NtfyTopicError::Empty);
        }
        let long = format!("/ntfy/{}", "x".repeat(65));
        for bad in ["/a%20b", "/é", "/ntfy/a%2Fb", "/a.b", &long] {
            check(bad, NtfyTopicError::Malformed);
        }
        for reserved in ["/docs", "/v1/", "/ntfy/account", "/alerts/json", "/alerts/publish"] {
            check(reserved, NtfyTopicError::Reserved);
        }
    }
}
