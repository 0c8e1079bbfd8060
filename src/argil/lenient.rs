//! One value of an answer, read as loosely as it comes: what is a text is kept, what is not is
//! only named.
//!
//! The whole value is read all the same, so that broken UTF-8 and a nesting deeper than
//! `serde_json` allows are found wherever they hide.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::mask::Mask;

/// One value, kept only if it is a text, an object's texts, or the fields of an avatar.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LenientValue {
    Null,
    Text(String),
    /// An object, of which only the pairs with texts are kept, and not too many.
    Texts(BTreeMap<String, String>),
    Avatar(Fields),
    Number,
    Bool,
    List,
}

/// The fields of an object that an avatar has, as loosely as they come.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    values: BTreeMap<&'static str, LenientValue>,
    /// A field that came twice.
    pub(super) repeated: Option<&'static str>,
}

impl Fields {
    pub(super) fn get(&self, name: &str) -> Option<&LenientValue> {
        self.values.get(name)
    }

    /// A text, cut to its maximum at the end of a character, and masked.
    pub(super) fn short_text(&self, name: &str, mask: &Mask) -> Option<String> {
        let text = self.text(name)?;
        let short = &text[..text.floor_char_boundary(TEXT_SIZE_MAX)];
        let is_cut = short.len() < text.len();
        Some(if is_cut { mask.beginning(short) } else { mask.whole(short) }.into_owned())
    }

    /// A text, masked, that is worth nothing when it is cut: none that is longer than so many
    /// bytes.
    pub(super) fn whole_text(&self, name: &str, size_max: usize, mask: &Mask) -> Option<String> {
        let text = self.text(name).filter(|text| text.len() <= size_max)?;
        Some(mask.whole(text).into_owned())
    }

    /// An object's texts, masked; none for anything else.
    pub(super) fn pairs(&self, name: &str, mask: &Mask) -> BTreeMap<String, String> {
        let Some(LenientValue::Texts(pairs)) = self.get(name) else { return BTreeMap::new() };
        let masked = |text: &String| mask.whole(text).into_owned();
        pairs.iter().map(|(key, value)| (masked(key), masked(value))).collect()
    }

    fn text(&self, name: &str) -> Option<&str> {
        let LenientValue::Text(text) = self.get(name)? else { return None };
        Some(text)
    }
}

/// What of a value is kept; all of it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// The fields of an avatar, each as [`FIELDS`] says.
    Avatar,
    /// A text, or an object's texts.
    Texts,
    /// A text.
    Text,
    /// Nothing but what kind of value it is.
    Kind,
}

impl<'de> DeserializeSeed<'de> for Keep {
    type Value = LenientValue;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<LenientValue, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keep {
    type Value = LenientValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<LenientValue, E> {
        Ok(LenientValue::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<LenientValue, E> {
        Ok(LenientValue::Bool)
    }

    fn visit_i64<E>(self, _: i64) -> Result<LenientValue, E> {
        Ok(LenientValue::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<LenientValue, E> {
        Ok(LenientValue::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<LenientValue, E> {
        Ok(LenientValue::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<LenientValue, E> {
        let kept = if matches!(self, Self::Kind | Self::Avatar) { "" } else { text };
        Ok(LenientValue::Text(kept.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<LenientValue, A::Error> {
        while list.next_element_seed(Self::Kind)?.is_some() {}
        Ok(LenientValue::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LenientValue, A::Error> {
        if self == Self::Avatar {
            return fields(map).map(LenientValue::Avatar);
        }
        let mut texts = BTreeMap::new();
        if self != Self::Texts {
            while map.next_entry_seed(Self::Kind, Self::Kind)?.is_some() {}
            return Ok(LenientValue::Texts(texts));
        }
        while let Some(key) = map.next_key::<String>()? {
            let LenientValue::Text(value) = map.next_value_seed(Self::Text)? else { continue };
            let fits = key.len() <= TEXT_SIZE_MAX && value.len() <= TEXT_SIZE_MAX;
            if fits && (texts.len() < PAIRS_COUNT_MAX || texts.contains_key(&key)) {
                texts.insert(key, value);
            }
        }
        Ok(LenientValue::Texts(texts))
    }
}

/// Unknown fields are parsed too, so that invalid UTF-8 and excessive nesting are found everywhere.
fn fields<'de, A: MapAccess<'de>>(mut map: A) -> Result<Fields, A::Error> {
    let mut fields = Fields::default();
    while let Some(key) = map.next_key::<String>()? {
        let Some((name, keep)) = FIELDS.into_iter().find(|(name, _)| *name == key) else {
            map.next_value_seed(Keep::Kind)?;
            continue;
        };
        if fields.values.insert(name, map.next_value_seed(keep)?).is_some() {
            fields.repeated.get_or_insert(name);
        }
    }
    Ok(fields)
}

/// The fields of an avatar, and what is kept of each.
const FIELDS: [(&str, Keep); 8] = [
    ("id", Keep::Text),
    ("status", Keep::Text),
    ("name", Keep::Text),
    ("model", Keep::Text),
    ("orientation", Keep::Text),
    ("thumbnailUrl", Keep::Text),
    ("updatedAt", Keep::Text),
    ("extras", Keep::Texts),
];
/// The longest text that is kept, in bytes.
const TEXT_SIZE_MAX: usize = 1024;
/// The most pairs of an object that are kept; the published page allows `extras` 10.
const PAIRS_COUNT_MAX: usize = 64;
