//! The URL under which people reach the page, for links in messages.

use crate::domain::avatar::AvatarId;
use crate::domain::delivery::DeliveryId;
use crate::text::url_segment::encode_segment;

/// Scheme, host and path of the page, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    prefix: String,
}

impl PublicUrl {
    /// `origin` is scheme, host and port; `path` may end in a slash. `None` when the path has
    /// characters with a meaning in the markup of a chat, or repeated slashes or dots.
    pub fn new(origin: &str, path: &str) -> Option<Self> {
        let prefix = path.strip_suffix('/').unwrap_or(path);
        let is_plain =
            |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.' | '~');
        let mut segments = prefix.split('/').skip(1);
        let is_valid = segments.all(|segment| {
            !segment.is_empty() && !matches!(segment, "." | "..") && segment.chars().all(is_plain)
        });
        (is_valid && (prefix.is_empty() || prefix.starts_with('/')))
            .then(|| Self { origin: origin.to_owned(), prefix: prefix.to_owned() })
    }

    /// The path of the page without the slash at the end: empty, or like `/argil`.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The overview.
    pub fn home(&self) -> String {
        format!("{self}/")
    }

    /// The accounts and channels in the overview.
    pub fn connections(&self) -> String {
        format!("{self}/#connections")
    }

    /// The page of an avatar.
    pub fn avatar(&self, id: &AvatarId) -> String {
        format!("{self}/avatars/{}", encode_segment(id.as_str()))
    }

    /// The list of the dead letters.
    pub fn dead_letters(&self) -> String {
        format!("{self}/deliveries?state=dead")
    }

    /// The page of a delivery.
    pub fn delivery(&self, id: &DeliveryId) -> String {
        format!("{self}/deliveries/{id}")
    }
}

impl std::fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.origin, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "https://watch.example.com";

    #[test]
    fn links_lead_below_the_path() {
        for (path, prefix) in [("", ""), ("/", ""), ("/argil", "/argil"), ("/a/b.c/", "/a/b.c")] {
            let url = PublicUrl::new(ORIGIN, path).unwrap();
            assert_eq!((url.prefix(), url.to_string()), (prefix, format!("{ORIGIN}{prefix}")));
            let id = AvatarId::parse("a/1|<x>").unwrap();
            let expected = format!("{ORIGIN}{prefix}/avatars/a%2F1%7C%3Cx%3E");
            assert_eq!(url.avatar(&id), expected);
            assert_eq!(url.home(), format!("{ORIGIN}{prefix}/"));
            assert_eq!(url.dead_letters(), format!("{ORIGIN}{prefix}/deliveries?state=dead"));
        }
    }

    #[test]
    fn a_path_has_plain_segments() {
        for path in ["argil", "//", "/a//b", "/a|b", "/%41", "/..", "/a/./b", "/a&b", "/a b", "/é"]
        {
            assert_eq!(PublicUrl::new(ORIGIN, path), None, "{path}");
        }
    }
}
