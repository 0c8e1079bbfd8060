//! Parses a list of avatars while it is received. The published page guarantees nothing, so any
//! element may be invalid.
//!
//! Of invalid elements, only the number and the ids are kept; memory is bounded. Independent of
//! HTTP.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufReader, Read};

use serde::de::{Deserializer as _, Error as _, SeqAccess, Visitor};
use serde_json::Deserializer;

use crate::argil::json::{
    DecodeError, LIST_COUNT_MAX, LIST_KEPT_MAX, LIST_TEXT_MAX, LongText, avatar, begin, text_of,
    unusable,
};
use crate::argil::lenient::{Fields, Keep, LenientValue};
use crate::domain::avatar::{Avatar, AvatarId};
use crate::mask::Mask;

/// The valid part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AvatarList {
    /// The avatars, in the order of the list; no id twice.
    pub(super) avatars: Vec<Avatar>,
    /// The ids of those that cannot be used, as far as they have one; none twice.
    pub(super) unreadable_ids: Vec<AvatarId>,
    /// How many elements cannot be used.
    pub(super) unreadable: usize,
}

/// Parses the body of a 200 as a list of avatars while it is received. Elements without an id or a
/// status, and those with the same id, are invalid: only their number and ids are kept.
///
/// # Errors
/// When the body is not a JSON list, or larger than anybody's: by its elements, by what is kept of
/// them, or by one text. Where reading fails, the list breaks off.
pub(super) fn read_list(body: impl Read, mask: &Mask) -> Result<AvatarList, DecodeError> {
    let mut body = BufReader::new(BoundedTexts::new(body));
    begin(&mut body)?;
    let mut json = Deserializer::from_reader(body);
    let too_large = Cell::new(None);
    let read = json.deserialize_seq(Elements { mask, too_large: &too_large });
    let read = read.and_then(|read| json.end().map(|()| read));
    let ListEntries { listed, count, .. } = read.map_err(|error| {
        too_large.take().unwrap_or_else(|| unusable(error, DecodeError::NotAList))
    })?;
    let (mut avatars, mut unreadable_ids) = (Vec::new(), Vec::new());
    for listed in listed {
        match listed {
            ListEntry::Usable(avatar) => avatars.push(*avatar),
            ListEntry::Unclear(id) => unreadable_ids.push(id),
        }
    }
    Ok(AvatarList { unreadable: count - avatars.len(), avatars, unreadable_ids })
}

/// An element of a list that has an id.
enum ListEntry {
    Usable(Box<Avatar>),
    Unclear(AvatarId),
}

impl ListEntry {
    /// The id of an element, and its avatar if it is valid.
    fn of(fields: &Fields, mask: &Mask) -> Option<Self> {
        // An id with a secret in it is none.
        let id = text_of(fields, "id").ok().filter(|id| mask.whole(id) == *id)?;
        let id = AvatarId::parse(id).ok()?;
        let whole = Some(fields).filter(|fields| fields.repeated.is_none());
        let avatar = whole.and_then(|fields| avatar(fields, id.clone(), mask).ok());
        Some(avatar.map_or(Self::Unclear(id), |avatar| Self::Usable(Box::new(avatar))))
    }

    fn id(&self) -> &AvatarId {
        match self {
            Self::Usable(avatar) => &avatar.id,
            Self::Unclear(id) => id,
        }
    }

    /// About how much memory it takes, in bytes.
    fn size(&self) -> usize {
        let Self::Usable(avatar) = self else { return LISTED_SIZE };
        let Avatar { name, model, orientation, thumbnail_url, updated_at, extras, .. } = &**avatar;
        let texts = [name, model, orientation, thumbnail_url, updated_at];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        let pairs: usize = extras.iter().map(|(key, value)| key.len() + value.len()).sum();
        let nodes = extras.len().div_ceil(PAIRS_IN_NODE) * PAIRS_NODE_SIZE;
        LISTED_SIZE + size_of::<Avatar>() + texts + pairs + nodes
    }
}

/// What was read of a list.
#[derive(Default)]
struct ListEntries {
    /// The elements with an id, none twice.
    listed: Vec<ListEntry>,
    /// Where each of them is, by its id in lower case.
    places: HashMap<String, usize>,
    /// How many elements there are, with an id or without.
    count: usize,
    /// About how much memory it takes, in bytes.
    size: usize,
}

impl ListEntries {
    /// Adds one element. Elements with the same id are invalid.
    fn add(&mut self, listed: ListEntry) {
        let (key, next) = (listed.id().as_str().to_ascii_lowercase(), self.listed.len());
        match self.places.get(&key).and_then(|place| self.listed.get_mut(*place)) {
            Some(first) => *first = ListEntry::Unclear(first.id().clone()),
            None => {
                self.size += listed.size();
                self.places.insert(key, next);
                self.listed.push(listed);
            }
        }
    }

    fn is_too_large(&self) -> Option<DecodeError> {
        if self.count > LIST_COUNT_MAX {
            return Some(DecodeError::ManyElements);
        }
        (self.size > LIST_KEPT_MAX).then_some(DecodeError::MuchToKeep)
    }
}

/// The elements of a list.
struct Elements<'l> {
    mask: &'l Mask,
    too_large: &'l Cell<Option<DecodeError>>,
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ListEntries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ListEntries, A::Error> {
        let mut listing = ListEntries::default();
        while let Some(element) = list.next_element_seed(Keep::Avatar)? {
            listing.count += 1;
            if let LenientValue::Avatar(fields) = element
                && let Some(listed) = ListEntry::of(&fields, self.mask)
            {
                listing.add(listed);
            }
            if let Some(too_large) = listing.is_too_large() {
                self.too_large.set(Some(too_large));
                return Err(A::Error::custom("too large"));
            }
        }
        Ok(listing)
    }
}

/// Hands JSON on as long as no text and no number in it is too long: the library keeps one whole.
struct BoundedTexts<R> {
    inner: R,
    /// Whether a text is open.
    is_text: bool,
    /// Whether a character of it is escaped.
    is_escaped: bool,
    /// The length of the text or number so far, in bytes.
    length: usize,
}

impl<R> BoundedTexts<R> {
    const fn new(inner: R) -> Self {
        Self { inner, is_text: false, is_escaped: false, length: 0 }
    }

    fn pass(&mut self, byte: u8) -> io::Result<()> {
        let is_quote = byte == b'"' && !self.is_escaped;
        self.is_escaped = self.is_text && byte == b'\\' && !self.is_escaped;
        self.is_text ^= is_quote;
        let goes_on = !is_quote && (self.is_text || !b",:[]{} \t\r\n".contains(&byte));
        self.length = if goes_on { self.length + 1 } else { 0 };
        if self.length > LIST_TEXT_MAX { Err(io::Error::other(LongText)) } else { Ok(()) }
    }
}

impl<R: Read> Read for BoundedTexts<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(to)?;
        to[..count].iter().try_for_each(|byte| self.pass(*byte))?;
        Ok(count)
    }
}

/// About what an id takes, twice, and what leads to it, in bytes.
const LISTED_SIZE: usize = 256;
/// What pairs of texts take besides the texts: so many share so many bytes, at least.
const PAIRS_IN_NODE: usize = 5;
const PAIRS_NODE_SIZE: usize = 560;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    proptest! {
        /// A list is read whole and in any pieces alike, and never otherwise than the library that
        /// keeps all of it would.
        #[test]
        fn a_list_is_what_the_library_says(
            pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..24),
            junk in prop::option::weighted(0.1, prop::collection::vec(any::<u8>(), 0..9)),
            is_closed in any::<bool>(),
        ) {
            let end = if is_closed { "]" } else { "" };
            let mut body = format!("[{}{end}", pieces.concat()).into_bytes();
            body.extend(junk.into_iter().flatten());
            let found = read_list(&*body, &Mask::default());
            let slowly = BufReader::with_capacity(1, &*body);
            prop_assert_eq!(&found, &read_list(slowly, &Mask::default()));
            let whole = serde_json::from_slice::<Vec<Value>>(&body);
            match (found, whole) {
                (Ok(AvatarList { avatars, unreadable_ids, unreadable }), Ok(whole)) => {
                    prop_assert_eq!(avatars.len() + unreadable, whole.len());
                    prop_assert!(unreadable_ids.len() <= unreadable);
                    for avatar in avatars {
                        let id = avatar.id.as_str();
                        let same = |it: &&Value| it["id"].as_str() == Some(id);
                        prop_assert_eq!(whole.iter().filter(same).count(), 1);
                    }
                }
                (Err(_), Err(_)) => {}
                // What comes twice in an object is no error to either.
                (found, whole) => prop_assert!(false, "{found:?} and {whole:?}"),
            }
        }
    }

    const PIECES: [&str; 30] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"id\"",
        "\"status\"",
        "\"name\"",
        "\"extras\"",
        "\"x\"",
        "\"a\"",
        "\"IDLE\"",
        "null",
        "true",
        "7",
        "-1.5e3",
        "1e999",
        "\"\\u00e9\\\"\"",
        "\"\\ud800\"",
        " ",
        "\n",
        "{\"id\":\"a\",\"status\":\"IDLE\"}",
        "{\"id\":\"b\",\"status\":\"REFUSED\"}",
        "{\"id\":\"A\",\"status\":\"IDLE\"}",
        "{\"id\":\"c\"}",
        "{\"extras\":{\"a\":\"b\"}}",
        ",{}",
        ",[]",
        ",\"\"",
    ];

    fn check(body: &str, expected: Result<(&[&str], &[&str], usize), DecodeError>) {
        let whole = read_list(body.as_bytes(), &Mask::default());
        // However it comes in.
        let piecemeal = read_list(BufReader::with_capacity(1, body.as_bytes()), &Mask::default());
        assert_eq!(whole, piecemeal, "for {body:.60}");
        let ids = |ids: Vec<AvatarId>| ids.iter().map(AvatarId::to_string).collect::<Vec<_>>();
        let found = whole.map(|AvatarList { avatars, unreadable_ids, unreadable }| {
            (ids(avatars.into_iter().map(|it| it.id).collect()), ids(unreadable_ids), unreadable)
        });
        let expected = expected.map(|(avatars, unreadable_ids, unreadable)| {
            let texts = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
            (texts(avatars), texts(unreadable_ids), unreadable)
        });
        assert_eq!(found, expected, "for {body:.60}");
    }

    #[test]
    fn what_can_be_used_is_kept_and_the_rest_is_counted() {
        let idle = |id: &str| format!(r#"{{"id":"{id}","status":"IDLE","x":[{{"y":"\"]"}}]}}"#);
        let [a, b] = ["a", "b"].map(idle);
        check("\u{feff} [ ]", Ok((&[], &[], 0)));
        check(&format!("\n[{a},{b}]\n"), Ok((&["a", "b"], &[], 0)));
        check(&format!("[{a},7,null,[{b}],\"x\",{{}},{{\"id\":\"c\"}}]"), Ok((&["a"], &["c"], 6)));
        let again = idle("A");
        check(&format!("[{a},{b},{again},{a}]"), Ok((&["b"], &["a"], 3)));
    }

    #[test]
    fn invalid_and_oversized_lists_are_reported() {
        check("", Err(DecodeError::Empty));
        check(" \n ", Err(DecodeError::Empty));
        check(" <html>", Err(DecodeError::WebPage));
        check("{}", Err(DecodeError::NotAList));
        check("[{}", Err(DecodeError::Truncated));
        check("[] x", Err(DecodeError::Unreadable { line: 1, column: 4 }));
        let many = |count: usize| format!("[{}0]", "0,".repeat(count));
        check(&many(LIST_COUNT_MAX), Err(DecodeError::ManyElements));
        check(&many(LIST_COUNT_MAX - 1), Ok((&[], &[], LIST_COUNT_MAX)));
        let text = |length: usize| format!("[\"{}\\\"\"]", "x".repeat(length - 2));
        check(&text(LIST_TEXT_MAX), Ok((&[], &[], 1)));
        check(&text(LIST_TEXT_MAX + 1), Err(DecodeError::LongText));
        check(&format!("[{}]", "1".repeat(LIST_TEXT_MAX + 1)), Err(DecodeError::LongText));
        let long = "x".repeat(1024);
        let pairs: Vec<String> = (0..64).map(|n| format!(r#""{n}":"{long}""#)).collect();
        let pairs = pairs.join(",");
        let one = |n| format!(r#"{{"id":"{n}","status":"IDLE","extras":{{{pairs}}}}}"#);
        let all: Vec<String> = (0..200).map(one).collect();
        check(&format!("[{}]", all.join(",")), Err(DecodeError::MuchToKeep));
    }
}
