//! Durations: texts such as `200ms`, `5s` or `1h 30m`.
//!
//! A number without a unit is never guessed.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use crate::config::parse::field::{Field, shown};
use crate::config::schema::keys::nearest;

pub(in crate::config) fn read(
    field: &Field<'_>,
    range: &RangeInclusive<Duration>,
) -> Option<Duration> {
    let text = match field.value {
        DeValue::Integer(number) => return unitless(field, number.as_str()),
        DeValue::Float(number) => return unitless(field, number.as_str()),
        DeValue::String(_) => field.text()?,
        _ => return field.wrong_type("a duration such as `5s`"),
    };
    if text.trim().parse::<f64>().is_ok() {
        return unitless(field, text.trim());
    }
    let duration = match humantime::parse_duration(text) {
        Ok(duration) => duration,
        Err(humantime::DurationError::UnknownUnit { unit, .. }) => {
            let message = format!("is `{}`, and `{}` is no unit", shown(text), shown(&unit));
            return field.invalid(message, UNITS);
        }
        Err(_) => {
            return field.invalid(format!("is `{}`, which is no duration", shown(text)), EXAMPLES);
        }
    };
    if range.contains(&duration) {
        return Some(duration);
    }
    let [min, max] = [range.start(), range.end()].map(|end| humantime::format_duration(*end));
    field.invalid(
        format!("is `{}`", shown(text)),
        format!("write a duration from `{min}` to `{max}`"),
    )
}

/// Reads a duration, or the word for none: `Some(None)`.
pub(in crate::config) fn read_or(
    field: &Field<'_>,
    word: &str,
    range: &RangeInclusive<Duration>,
) -> Option<Option<Duration>> {
    match field.value.as_str() {
        Some(text) if text == word => Some(None),
        Some(text) if nearest(text, &[word]).is_some() => field.unknown_word(text, &[word]),
        _ => read(field, range).map(Some),
    }
}

/// Whether a text is a good duration that only lacks its quotes.
pub(in crate::config) fn is_bare(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
        && humantime::parse_duration(text).is_ok()
}

fn unitless(field: &Field<'_>, number: &str) -> Option<Duration> {
    let seconds = number.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let help = match seconds {
        Some(seconds) if seconds.subsec_nanos() == 0 => {
            let plain = format!("{}s", seconds.as_secs());
            let other = humantime::format_duration(seconds).to_string();
            let other = if other == plain { format!("{}ms", seconds.as_secs()) } else { other };
            format!("write `{plain}` or `{other}`")
        }
        Some(seconds) => format!("write `{}`", humantime::format_duration(seconds)),
        None => EXAMPLES.to_owned(),
    };
    field.invalid(format!("is `{}`, which has no unit", shown(number)), help)
}

/// The longest duration that can be configured, far below an overflow of the clock.
pub(in crate::config) const LONGEST: Duration = Duration::from_secs(30 * 24 * 3_600);

const UNITS: &str = "the units are `ms`, `s`, `m`, `h` and `d`";
const EXAMPLES: &str = "write something like `200ms`, `5s` or `1h 30m`";
