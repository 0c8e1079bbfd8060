//! Timeline of an avatar's statuses, as rectangles to scale.
//!
//! Between the last poll that showed one status and the first that showed the next, the status is
//! unknown; the timeline shows such a time as a segment without status.

use std::time::Duration;

use crate::domain::time::humanize::humanize;
use crate::domain::time::timestamp::Timestamp;

/// A timeline that starts with the first poll.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Timeline {
    /// The segments, in order; together they fill [`WIDTH`].
    pub(super) segments: Vec<Segment>,
    pub(super) begins_at: Timestamp,
    /// The end; the last status may last longer.
    pub(super) ends_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Segment {
    pub(super) x: u32,
    pub(super) width: u32,
    /// The status; empty if unknown.
    pub(super) status: String,
    pub(super) duration: Duration,
    /// Whether it lasts; then it may be drawn shorter than it is.
    pub(super) is_current: bool,
}

impl Segment {
    pub(super) fn label(&self) -> String {
        let duration = humanize(self.duration);
        if self.is_current { format!("{duration} so far") } else { duration }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct StatusChange {
    pub(super) last_seen_previous_at: Option<Timestamp>,
    pub(super) detected_at: Timestamp,
    pub(super) status: String,
}

impl Timeline {
    /// The timeline of changes, oldest first; `None` without changes. The last status gets a
    /// limited part of the width, so that a short training stays visible beside it.
    pub(super) fn of(changes: &[StatusChange], now: Timestamp) -> Option<Self> {
        let (first, last) = (changes.first()?, changes.last()?);
        let span = last.detected_at.since(first.detected_at);
        let remaining = now.since(last.detected_at);
        let tail = if span.is_zero() { remaining } else { remaining.min(span / TAIL_PART) };
        let ends_at = last.detected_at.plus(tail.max(Duration::from_millis(1)));
        let begins_at = first.detected_at;
        let mut starts: Vec<(Timestamp, String)> = Vec::new();
        for change in changes {
            let before = starts.last().map_or(begins_at, |(at, _)| *at);
            if let Some(seen_at) = change.last_seen_previous_at
                && seen_at > before
                && seen_at < change.detected_at
            {
                starts.push((seen_at, String::new()));
            }
            starts.push((change.detected_at.max(before), change.status.clone()));
        }
        let whole = ends_at.since(begins_at);
        let x = |at: Timestamp| scaled(at.since(begins_at), whole);
        let ends = starts.iter().skip(1).map(|(at, _)| *at).chain([ends_at]);
        let last = starts.len();
        let segments = (1..).zip(starts.iter().zip(ends)).map(|(number, ((at, status), end))| {
            let is_current = number == last;
            Segment {
                x: x(*at),
                width: x(end).saturating_sub(x(*at)),
                status: status.clone(),
                duration: if is_current { remaining } else { end.since(*at) },
                is_current,
            }
        });
        Some(Self { segments: segments.collect(), begins_at, ends_at })
    }
}

fn scaled(part: Duration, whole: Duration) -> u32 {
    let share = part.as_secs_f64() / whole.as_secs_f64();
    let x = (share * f64::from(WIDTH)).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped")]
    let x = x.clamp(0.0, f64::from(WIDTH)) as u32;
    x
}

/// The width of a timeline, in the unit of its segments.
pub(super) const WIDTH: u32 = 10_000;
/// The last status is shown for at most this part of the time before it.
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
        let segments = timeline.map(|it| it.segments).unwrap_or_default();
        segments.into_iter().map(|it| (it.x, it.width, it.status)).collect()
    }

    #[test]
    fn the_width_of_a_segment_is_proportional_to_its_duration() {
        let changes = [change(None, 0, "TRAINING"), change(Some(60), 80, "IDLE")];
        let expected = [(0, 6_000, "TRAINING"), (6_000, 2_000, ""), (8_000, 2_000, "IDLE")];
        let expected: Vec<_> = expected.map(|(x, w, s)| (x, w, s.to_owned())).into();
        assert_eq!(drawn(&changes, 100_000), expected);
    }

    #[test]
    fn a_timeline_fills_its_width_for_any_times() {
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
