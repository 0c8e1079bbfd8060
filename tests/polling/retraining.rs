//! Retrainings of an avatar that has an outcome: how many are notified, and how late, by when they
//! begin and how long they last. Each ends as the training before, so that it leaves no trace if no
//! poll falls into it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use avatar_watch::daemon::rng::Rng;
use avatar_watch::domain::account::AccountName;
use avatar_watch::domain::avatar::status::Status;
use avatar_watch::domain::avatar::{Avatar, AvatarId};
use avatar_watch::domain::config_origin::ConfigOrigin;
use avatar_watch::domain::event::EventKind;
use avatar_watch::domain::polling::interval::{PollIntervals, SettledIntervals};
use avatar_watch::domain::polling::observation::Observation;
use avatar_watch::domain::polling::policy::Policy;
use avatar_watch::domain::polling::watch::Watch;
use avatar_watch::domain::time::timestamp::Timestamp;

use super::rule;
use super::table::{mean_and_p99, short};

/// The result for all retrainings.
pub(crate) struct RetrainingTable(pub(crate) Vec<RetrainingRow>);

/// The result for retrainings of one kind.
pub(crate) struct RetrainingRow {
    pub(crate) begins: &'static str,
    pub(crate) duration: Duration,
    pub(crate) settled: &'static str,
    /// The fraction that was notified.
    pub(crate) notified: f64,
    /// From the end of a notified one to the poll that shows it, mean and 99th percentile.
    delays_s: Option<(f64, f64)>,
    /// Polls from the outcome to the begin of the retraining, mean.
    requests: f64,
}

/// Simulates retrainings of every kind, with the default of `settled` and with one interval.
pub(crate) fn table() -> RetrainingTable {
    let defaults = rule::defaults();
    let hourly = SettledIntervals::always(Some(HOUR));
    let hourly = PollIntervals { settled: hourly, ..defaults.clone() };
    let kinds =
        BEGINS.iter().flat_map(|begins| begins.2.iter().map(move |duration| (begins, *duration)));
    let rows = kinds.flat_map(|((begins, within, _), duration)| {
        [(DEFAULT, &defaults), ("1h", &hourly)]
            .map(|(settled, intervals)| row(begins, *within, duration, settled, intervals))
    });
    RetrainingTable(rows.collect())
}

fn row(
    begins: &'static str,
    (earliest, latest): (Duration, Duration),
    duration: Duration,
    settled: &'static str,
    intervals: &PollIntervals,
) -> RetrainingRow {
    let mut delays = Vec::new();
    let mut requests = 0;
    for run in 0..RUNS {
        let rng = Rng::seeded(run);
        let begins_after = earliest + (latest - earliest).mul_f64(rng.next_bits().fraction());
        let (delay, polls) = retrain(begins_after, duration, intervals, &rng);
        delays.extend(delay);
        requests += polls;
    }
    let runs = RUNS as f64;
    RetrainingRow {
        begins,
        duration,
        settled,
        notified: delays.len() as f64 / runs,
        delays_s: mean_and_p99(delays),
        requests: f64::from(requests) / runs,
    }
}

/// Polls one avatar from an outcome to the end of a retraining. Returns how late the retraining was
/// notified, if it was, and how many polls preceded it.
fn retrain(
    begins_after: Duration,
    duration: Duration,
    intervals: &PollIntervals,
    rng: &Rng,
) -> (Option<Duration>, u32) {
    let account = AccountName::default();
    let outcome_at = Timestamp::from_millis(0);
    let begins_at = outcome_at.plus(begins_after);
    let ends_at = begins_at.plus(duration);
    let observe = |watch: Watch, status, now| {
        let location = ConfigOrigin { file: Path::new("config").into(), line: 1 };
        let policy = Policy { location: Some(&location), ..Policy::new(intervals, &account, now) };
        let avatar = Avatar::new(watch.id.clone(), status);
        watch.observe(Observation::Seen(Box::new(avatar)), now, &policy, rng.next_bits())
    };
    let watch = Watch::new(AvatarId::parse("a1").unwrap());
    let mut watch = observe(watch, Status::Training, outcome_at.minus(MINUTE)).watch;
    let (mut now, mut polls) = (outcome_at, 0);
    loop {
        let is_training = (begins_at..ends_at).contains(&now);
        let status = if is_training { Status::Training } else { Status::Idle };
        let decision = observe(watch, status, now);
        if now >= ends_at {
            let is_ready = decision.events.iter().any(|it| it.kind == EventKind::AvatarReady);
            return (is_ready.then(|| now.since(ends_at)), polls);
        }
        polls += u32::from(now < begins_at);
        watch = decision.watch;
        now = now.plus(decision.next_poll_in.unwrap());
    }
}

impl fmt::Display for RetrainingTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {NAME}\n\n{TEXT}\n")?;
        writeln!(
            f,
            "| begins | duration | `settled` | notified | delay, mean | delay, p99 | requests |\n\
             | --- | --- | --- | ---: | ---: | ---: | ---: |"
        )?;
        for row in &self.0 {
            let RetrainingRow { begins, settled, notified, requests, .. } = row;
            let duration = humantime::format_duration(row.duration);
            let (share, requests) = (notified * 100.0, short(*requests));
            let [mean, p99] = match row.delays_s {
                Some((mean, p99)) => [mean, p99].map(|it| format!("{} s", short(it))),
                None => ["–", "–"].map(str::to_owned),
            };
            writeln!(
                f,
                "| {begins} | {duration} | {settled} | {share:.0} % | {mean} | {p99} | {requests} |"
            )?;
        }
        Ok(())
    }
}

pub(crate) const DEFAULT: &str = "default";
pub(crate) const FIRST: &str = "1 to 9 min after";
const NAME: &str = "Retrainings";
const TEXT: &str = "\
1,000 retrainings in each row, which begin at a random time after an outcome and end as the training
before. *Notified* is the share that a poll fell into; the others leave no trace. *Requests* are the
polls between the outcome and the begin of the retraining.";

/// When retrainings begin after the outcome, and how long they last.
const BEGINS: [(&str, (Duration, Duration), &[Duration]); 4] = [
    (FIRST, (MINUTE, Duration::from_secs(9 * 60)), &[Duration::from_secs(20), MINUTE]),
    (
        "10 to 70 min after",
        (Duration::from_secs(10 * 60), Duration::from_secs(70 * 60)),
        &[Duration::from_secs(20), MINUTE, Duration::from_secs(2 * 60)],
    ),
    (
        "70 min to 25 h after",
        (Duration::from_secs(70 * 60), Duration::from_secs(25 * 3_600)),
        &[Duration::from_secs(20), Duration::from_secs(2 * 60), Duration::from_secs(5 * 60)],
    ),
    (
        "26 to 50 h after",
        (Duration::from_secs(26 * 3_600), Duration::from_secs(50 * 3_600)),
        &[Duration::from_secs(5 * 60), HOUR, Duration::from_secs(8 * 3_600)],
    ),
];
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const RUNS: u64 = 1_000;
