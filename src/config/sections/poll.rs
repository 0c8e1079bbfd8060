//! `[poll]`: the polling strategy and the polling intervals.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use crate::config::parse::duration::{self, LONGEST};
use crate::config::parse::field::{Field, Table, shown};
use crate::config::schema::keys::{BACKOFF, POLL, SETTLED_STEP, TRAINING};
use crate::domain::polling::backoff::Backoff;
use crate::domain::polling::interval::{
    PollIntervals, SettledIntervals, SettledStep, TrainingInterval,
};
use crate::domain::polling::overdue::{Hundredths, OverdueAfter};
use crate::domain::polling::strategy::Strategy;

pub(in crate::config) struct Poll {
    pub(in crate::config) strategy: Strategy,
    pub(in crate::config) intervals: PollIntervals,
    /// The default of `overdue_after`.
    pub(in crate::config) overdue_after: OverdueAfter,
}

pub(in crate::config) fn read(root: &Table<'_>) -> Option<Poll> {
    let poll = root.section(POLL.path, &POLL)?;
    let strategy = poll.or("strategy", Strategy::Single, |field| field.one_of(&STRATEGIES));
    let overdue_after = overdue_after(&poll, OverdueAfter::default());
    let intervals = intervals(&poll);
    Some(Poll { strategy: strategy?, intervals: intervals?, overdue_after: overdue_after? })
}

/// Reads `overdue_after` of any table: a duration, `never`, or a multiple such as `3x`.
pub(in crate::config) fn overdue_after(
    table: &Table<'_>,
    default: OverdueAfter,
) -> Option<OverdueAfter> {
    table.or("overdue_after", default, |field| match field.value.as_str() {
        Some(text) if text.ends_with(['x', 'X']) => match Hundredths::parse(text) {
            Some(factor) => Some(OverdueAfter::TimesUsual(factor)),
            None => field.invalid(format!("is `{}`", shown(text)), TIMES_USUAL),
        },
        _ => match bare_factor(field) {
            Some(number) => field.invalid(
                format!("is `{number}`, which has no unit"),
                format!("write `{number}x` for {number} times the usual duration, or `{number}h`"),
            ),
            None => Some(wait_or_never(field)?.map_or(OverdueAfter::Never, OverdueAfter::Fixed)),
        },
    })
}

/// A number without a unit that would be a multiple with an `x`.
fn bare_factor<'f>(field: &'f Field<'_>) -> Option<&'f str> {
    let number = match field.value {
        DeValue::Integer(number) => number.as_str(),
        DeValue::Float(number) => number.as_str(),
        DeValue::String(text) => text.trim(),
        _ => return None,
    };
    Hundredths::parse(&format!("{number}x")).map(|_| number)
}

fn intervals(poll: &Table<'_>) -> Option<PollIntervals> {
    let training = training(poll);
    let not_trained = poll.or("not_trained", NOT_TRAINED, wait);
    let settled = poll.optional("settled", settled);
    let missing = poll.or("missing", MISSING, wait);
    let backoff = backoff(poll);
    let jitter = poll.or("jitter", JITTER, |field| field.number(0.0..=0.5));
    Some(PollIntervals {
        training: training?,
        not_trained: not_trained?,
        settled: settled?
            .unwrap_or_else(|| SettledIntervals::new(SETTLED_STEPS.to_vec(), Some(SETTLED))),
        missing: missing?,
        backoff: backoff?,
        jitter: jitter?,
    })
}

/// One interval, or a list of steps.
fn settled(field: &Field<'_>) -> Option<SettledIntervals> {
    let DeValue::Array(_) = field.value else {
        return Some(SettledIntervals::always(wait_or_never(field)?));
    };
    let elements = field.not_empty(field.elements()?, "write an interval, or a list of steps")?;
    let (last, before) = elements.split_last()?;
    let steps: Vec<Option<SettledStep>> = before.iter().map(settled_step).collect();
    let last = last_step(last);
    Some(SettledIntervals::new(steps.into_iter().collect::<Option<_>>()?, last?))
}

fn settled_step(field: &Field<'_>) -> Option<SettledStep> {
    let step = field.table()?;
    step.check_keys(&SETTLED_STEP);
    let every = step.required("every", "write the interval, such as `every = \"15s\"`", |field| {
        let last_only = || field.invalid("is `never`", "only the last step may be `never`");
        wait_or_never(field)?.map_or_else(last_only, Some)
    });
    let help = "write how long this step applies, such as `for = \"10m\"`; only the last step \
        has none";
    let lasts = step.required("for", help, wait);
    Some(SettledStep { every: every?, lasts: lasts? })
}

/// The last step, which has no end.
fn last_step(field: &Field<'_>) -> Option<Option<Duration>> {
    let step = field.table()?;
    step.check_keys(&SETTLED_STEP);
    let help = "write the interval, such as `every = \"1h\"`, or `every = \"never\"`";
    let every = step.required("every", help, wait_or_never);
    if let Some(lasts) = step.field("for") {
        return lasts.invalid(
            "is not allowed in the last step",
            "remove it, or add a step such as `{ every = \"1h\" }`",
        );
    }
    every
}

fn training(poll: &Table<'_>) -> Option<TrainingInterval> {
    let training = poll.section("training", &TRAINING)?;
    let min = training.or("min", TRAINING_MIN, wait);
    let max = training.or("max", TRAINING_MAX, wait);
    let fraction = training.or("age_fraction", AGE_FRACTION, |field| field.number(0.0..=1.0));
    let adaptive = training.or("adaptive", true, |field| field.flag());
    let (min, max) = (min?, max?);
    ordered(&training, ("min", min), ("max", max))?;
    Some(TrainingInterval { min, max, age_fraction: fraction?, adaptive: adaptive? })
}

fn backoff(poll: &Table<'_>) -> Option<Backoff> {
    let backoff = poll.section("backoff", &BACKOFF)?;
    let initial = backoff.or("initial", BACKOFF_INITIAL, wait);
    let max = backoff.or("max", BACKOFF_MAX, wait);
    let multiplier = backoff.or("multiplier", MULTIPLIER, |field| field.number(1.0..=100.0));
    let jitter = backoff.or("jitter", BACKOFF_JITTER, |field| field.number(0.0..=1.0));
    let (initial, max) = (initial?, max?);
    ordered(&backoff, ("initial", initial), ("max", max))?;
    match Backoff::new(initial, max, multiplier?, jitter?) {
        Ok(backoff) => Some(backoff),
        Err(error) => {
            let message = format!("makes no backoff: {error}");
            backoff.reader.problem(&backoff.place, message, None);
            None
        }
    }
}

fn wait(field: &Field<'_>) -> Option<Duration> {
    duration::read(field, &WAIT_RANGE)
}

/// Gives `Some(None)` for never.
fn wait_or_never(field: &Field<'_>) -> Option<Option<Duration>> {
    duration::read_or(field, "never", &WAIT_RANGE)
}

/// Reports a minimum interval that exceeds the maximum. At least one of the two is in the file,
/// since the defaults are in order; the problem names that one.
fn ordered(table: &Table<'_>, least: (&str, Duration), most: (&str, Duration)) -> Option<()> {
    if least.1 <= most.1 {
        return Some(());
    }
    let [low, high] = [least.1, most.1].map(humantime::format_duration);
    let (low_name, high_name) = (least.0, most.0);
    match table.field(low_name) {
        Some(field) => field.invalid(
            format!("is `{low}`, which is longer than `{high_name}`, which is `{high}`"),
            format!("write at most `{high}`, or a longer `{high_name}`"),
        ),
        None => table.field(high_name)?.invalid(
            format!("is `{high}`, which is shorter than `{low_name}`, which is `{low}`"),
            format!("write at least `{low}`, or a shorter `{low_name}`"),
        ),
    }
}

/// The range of polling intervals. Zero would poll without a pause.
const WAIT_RANGE: RangeInclusive<Duration> = Duration::from_millis(10)..=LONGEST;
const TRAINING_MIN: Duration = Duration::from_secs(2);
const TRAINING_MAX: Duration = Duration::from_secs(60);
const AGE_FRACTION: f64 = 0.1;
const NOT_TRAINED: Duration = Duration::from_secs(60);
/// The steps after an outcome, and the interval after them.
const SETTLED_STEPS: [SettledStep; 3] = [
    SettledStep { every: Duration::from_secs(15), lasts: Duration::from_secs(10 * 60) },
    SettledStep { every: Duration::from_secs(2 * 60), lasts: Duration::from_secs(3_600) },
    SettledStep { every: Duration::from_secs(5 * 60), lasts: Duration::from_secs(24 * 3_600) },
];
const SETTLED: Duration = Duration::from_secs(3_600);
const MISSING: Duration = Duration::from_secs(900);
const BACKOFF_INITIAL: Duration = Duration::from_secs(2);
const BACKOFF_MAX: Duration = Duration::from_secs(300);
const MULTIPLIER: f64 = 2.0;
const BACKOFF_JITTER: f64 = 0.3;
const JITTER: f64 = 0.1;
pub(in crate::config) const STRATEGIES: [(&str, Strategy); 2] =
    [("single", Strategy::Single), ("list", Strategy::List)];
const TIMES_USUAL: &str =
    "write a multiple of the usual duration from `1.1x` to `100x`, such as `3x`";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::tests::{check_added, settings};

    #[test]
    fn intervals_have_defaults() {
        let settings = settings("");
        let intervals = &settings.intervals;
        assert_eq!(settings.strategy, Strategy::Single);
        assert_eq!((intervals.jitter, intervals.training.adaptive), (0.1, true));
        assert_eq!(intervals.training.min, Duration::from_secs(2));
    }

    #[test]
    fn an_avatar_is_overdue_by_its_own_word_or_by_that_of_all() {
        let check = |poll: &str, avatar: &str, expected: OverdueAfter| {
            let settings = settings(&format!("{poll}\n[[avatars]]\nid = 'a1'\n{avatar}"));
            assert_eq!(settings.avatars[0].overdue_after, expected, "`{poll}` `{avatar}`");
        };
        let hours = |hours| OverdueAfter::Fixed(Duration::from_hours(hours));
        let times = |hundredths| OverdueAfter::TimesUsual(Hundredths(hundredths));
        check("", "", times(300));
        check("poll.overdue_after = '36h'", "", hours(36));
        check("poll.overdue_after = '2.5x'", "", times(250));
        check("poll.overdue_after = 'never'", "", OverdueAfter::Never);
        check("poll.overdue_after = 'never'", "overdue_after = '2h'", hours(2));
        check("", "overdue_after = 'never'", OverdueAfter::Never);
        check("", "overdue_after = '10x'", times(1_000));
        check("poll.overdue_after = '3X'", "", times(300));
    }

    #[test]
    fn a_bad_multiple_of_the_usual_duration_says_what_is_allowed() {
        for bad in ["x", "1x", "0x", "-3x", "101x", "NaNx", "infx", "1e1x", "3 x", "3.123x", "+3x"]
        {
            let problem =
                format!("config.toml:2: `poll.overdue_after` is `{bad}`\n  help: {TIMES_USUAL}");
            check_added(&format!("poll.overdue_after = '{bad}'"), &problem);
        }
    }

    #[test]
    fn a_number_without_a_unit_may_be_meant_as_a_multiple() {
        for written in ["3", "'3'"] {
            let problem = "config.toml:2: `poll.overdue_after` is `3`, which has no unit\n  help: \
                           write `3x` for 3 times the usual duration, or `3h`";
            check_added(&format!("poll.overdue_after = {written}"), problem);
        }
        let problem = "config.toml:2: `poll.overdue_after` is `7200`, which has no unit\n  help: \
                       write `7200s` or `2h`";
        check_added("poll.overdue_after = 7200", problem);
    }

    #[test]
    fn jitter_shortens_an_interval_by_half_at_most() {
        check_added(
            "poll.jitter = 0.5\npoll.strategy = 'list'\npoll.training.adaptive = false",
            "",
        );
        check_added(
            "poll.jitter = 0.6",
            "config.toml:2: `poll.jitter` is `0.6`\n  help: write a number from `0` to `0.5`",
        );
    }

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(minutes * 60)
    }

    #[test]
    fn settled_is_an_interval_or_a_list_of_steps() {
        let settled = |value: &str| settings(&format!("poll.settled = {value}")).intervals.settled;
        assert_eq!(settled("'1m'"), SettledIntervals::always(Some(minutes(1))));
        assert_eq!(settled("'never'"), SettledIntervals::always(None));
        assert_eq!(settled("[{ every = '1m' }]"), SettledIntervals::always(Some(minutes(1))));
        let step = SettledStep { every: minutes(1), lasts: minutes(10) };
        assert_eq!(
            settled("[{ every = '1m', for = '10m' }, { every = 'never' }]"),
            SettledIntervals::new(vec![step], None)
        );
    }

    #[test]
    fn an_invalid_step_is_reported_with_its_help() {
        let check = |value: &str, expected: &str| {
            let expected = format!("config.toml:2: `poll.settled{expected}");
            check_added(&format!("poll.settled = {value}"), &expected);
        };
        check("[]", "` is an empty list\n  help: write an interval, or a list of steps");
        check(
            "[{ every = '1m' }, { every = '1h' }]",
            "[0].for` is missing\n  help: write how long this step applies, such as \
             `for = \"10m\"`; only the last step has none",
        );
        check(
            "[{ every = '1m', for = '1h' }]",
            "[0].for` is not allowed in the last step\n  help: remove it, or add a step such as \
             `{ every = \"1h\" }`",
        );
        check(
            "[{ every = 'never', for = '1h' }, { every = '1h' }]",
            "[0].every` is `never`\n  help: only the last step may be `never`",
        );
        check("['1m']", "[0]` is a string, but must be a table");
    }
}
