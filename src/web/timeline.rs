//! A timeline: what an avatar was and when, to scale, as rectangles.
//!
//! We look from time to time, so between the last sight of one status and the first of the next
//! lies a stretch of which nobody knows; it is shown as such.

use std::time::Duration;

use crate::domain::time::humanize::humanize;
use crate::domain::time::timestamp::Timestamp;

/// A timeline from the first sight on.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    /// The stretches, in order; together they fill [`WIDTH`].
    pub segments: Vec<Segment>,
    /// Where it begins.
    pub begins_at: Timestamp,
    /// Where it ends; the last status may last longer.
    pub ends_at: Timestamp,
}

/// One stretch of a timeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Where it begins, from the left.
    pub x: u32,
    /// How wide it is.
    pub width: u32,
    /// The status; empty where nobody knows.
    pub status: String,
    /// How long it lasted.
    pub duration: Duration,
}

impl Segment {
    /// How long it lasted, for people.
    pub fn label(&self) -> String {
        humanize(self.duration)
    }
}

/// A change of status, as far as a timeline needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusChange {
    /// When the status before was last seen.
    pub last_seen_previous_at: Option<Timestamp>,
    /// When the status was first seen.
    pub detected_at: Timestamp,
    /// The status.
    pub status: String,
}

impl Timeline {
    /// The timeline of these changes, oldest first, at `now`; none without a change. The last
    /// status is drawn for a part of the whole only, so that a short training is not lost beside
    /// a long life.
    pub fn of(changes: &[StatusChange], now: Timestamp) -> Option<Self> {
        let (first, last) = (changes.first()?, changes.last()?);
        let span = last.detected_at.since(first.detected_at);
        let rest = now.since(last.detected_at);
        let tail = if span.is_zero() { rest } else { rest.min(span / TAIL_PART) };
        let ends_at = last.detected_at.plus(tail.max(Duration::from_millis(1)));
        let begins_at = first.detected_at;
        let mut marks: Vec<(Timestamp, String)> = Vec::new();
        for change in changes {
            let before = marks.last().map_or(begins_at, |(at, _)| *at);
            if let Some(seen_at) = change.last_seen_previous_at
                && seen_at > before
                && seen_at < change.detected_at
            {
                marks.push((seen_at, String::new()));
            }
            marks.push((change.detected_at.max(before), change.status.clone()));
        }
        let whole = ends_at.since(begins_at);
        let place = |at: Timestamp| scaled(at.since(begins_at), whole);
        let ends = marks.iter().skip(1).map(|(at, _)| *at).chain([ends_at]);
        let stretches = marks.iter().zip(ends).map(|((at, status), end)| Segment {
            x: place(*at),
            width: place(end).saturating_sub(place(*at)),
            status: status.clone(),
            duration: end.since(*at),
        });
        Some(Self { segments: stretches.collect(), begins_at, ends_at })
    }
}

fn scaled(part: Duration, whole: Duration) -> u32 {
    let share = part.as_secs_f64() / whole.as_secs_f64();
    let place = (share * f64::from(WIDTH)).round();
    // Between zero and the width, which fits.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped")]
    let place = place.clamp(0.0, f64::from(WIDTH)) as u32;
    place
}

/// How wide a timeline is, in the units of its stretches.
pub const WIDTH: u32 = 10_000;
/// The last status is drawn for this part of all that came before it.
const TAIL_PART: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn change(seen_s: Option<i64>, at_s: i64, status: &str) -> StatusChange {
        StatusChange {
            last_seen_previous_at: seen_s.map(|it| Timestamp::from_millis(it * 1_000)),
            detected_at: Timestamp::from_millis(at_s * 1_000),
            status: status.to_owned(),
        }
    }

    fn drawn(changes: &[StatusChange], now_s: i64) -> Vec<(u32, u32, String)> {
        let timeline = Timeline::of(changes, Timestamp::from_millis(now_s * 1_000));
        let stretches = timeline.map(|it| it.segments).unwrap_or_default();
        stretches.into_iter().map(|it| (it.x, it.width, it.status)).collect()
    }

    #[test]
    fn stretches_are_as_wide_as_they_lasted() {
        let changes = [change(None, 0, "TRAINING"), change(Some(60), 80, "IDLE")];
        let expected = [(0, 6_000, "TRAINING"), (6_000, 2_000, ""), (8_000, 2_000, "IDLE")];
        let expected: Vec<_> = expected.map(|(x, w, s)| (x, w, s.to_owned())).into();
        assert_eq!(drawn(&changes, 100_000), expected);
    }

    #[test]
    fn whatever_the_clocks_say_a_timeline_fills_its_width() {
        let check = |changes: &[StatusChange], now_s: i64| {
            let drawn = drawn(changes, now_s);
            let end = drawn.last().map(|(x, width, _)| x + width);
            assert_eq!(end, (!changes.is_empty()).then_some(WIDTH), "{drawn:?}");
            assert!(drawn.windows(2).all(|pair| pair[0].0 + pair[0].1 == pair[1].0), "{drawn:?}");
        };
        check(&[], 5);
        check(&[change(None, 0, "IDLE")], 0);
        check(&[change(None, 9, "IDLE")], 0);
        check(&[change(None, 9, "IDLE"), change(Some(3), 4, "TRAINING")], 50);
        check(&[change(None, 0, "A"), change(Some(0), 10, "B"), change(Some(99), 20, "C")], 21);
    }
}
