//! Metrics of this process since its start, for Prometheus. `prometheus-client` is used only here.
//!
//! The loops update counters and histograms. What the database and the daemon know comes from a
//! [`MetricsSnapshot`] at each scrape.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::account::AccountName;
use crate::domain::avatar::status::Status;
use crate::domain::avatar::transition::Transition;
use crate::domain::delivery::channel_health::ChannelState;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::{DeliveryState, OutcomeClass};
use crate::domain::polling::observation::Observation;
use crate::domain::time::timestamp::Timestamp;

/// The metrics; clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<LoopMetrics>, Arc<Registry>);

type Labels = Vec<(&'static str, String)>;
type FloatGauge = Gauge<f64, AtomicU64>;
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;
type IntGauge = Gauge<i64, AtomicI64>;

/// What the loops update.
struct LoopMetrics {
    polls: Family<Labels, Counter>,
    poll_duration: Histograms,
    transitions: Family<Labels, Counter>,
    training_duration: Histograms,
    attempts: Family<Labels, Counter>,
    attempt_duration: Histograms,
    deliveries: Family<Labels, Counter>,
    delivery_latency: Histograms,
    reload_succeeded: IntGauge,
    reloaded_at: FloatGauge,
}

/// The values of the gauges at the time of a scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricsSnapshot {
    /// The numbers of watched avatars by status; `None` before the first successful poll.
    pub avatars: Vec<(Option<Status>, u64)>,
    /// Watched avatars with a failed last poll.
    pub failing: u64,
    /// The kind of each firing condition.
    pub conditions: Vec<String>,
    /// The channels.
    pub channels: Vec<ChannelSnapshot>,
    /// The time since the last successful poll of each account, or since the start.
    pub account_ages: Vec<(AccountName, Duration)>,
    /// The time since the last iteration of each loop.
    pub loop_ages: Vec<(&'static str, Duration)>,
    /// The size of the database files in bytes.
    pub database_size: u64,
    /// Whether the last write to the database succeeded.
    pub database_writable: bool,
    /// Dropped output since the start.
    pub dropped: Dropped,
}

/// Output that was dropped since the start of the process, because nothing read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Log lines.
    pub log_lines: u64,
    /// Messages to systemd; most were replaced by newer ones.
    pub systemd_messages: u64,
}

/// The values of one channel.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelSnapshot {
    /// The name.
    pub name: ChannelName,
    /// The state.
    pub state: ChannelState,
    /// Deliveries that are pending or being sent.
    pub undelivered: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// The age of the oldest delivery that is pending or being sent.
    pub oldest_age: Option<Duration>,
    /// Failing recipients of an e-mail channel.
    pub failing_recipients: u64,
}

impl Metrics {
    /// Metrics that start at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("avatar_watch");
        let all = &mut registry;
        let build: Family<Labels, IntGauge> = Family::default();
        build.get_or_create(&labels("version", env!("CARGO_PKG_VERSION"))).set(1);
        all.register("build_info", "Version of avatar-watch", build);
        let loop_metrics = LoopMetrics {
            polls: counters(all, "polls", "Requests to the API, by outcome"),
            poll_duration: histograms(
                all,
                "poll_duration",
                "Duration of requests to the API",
                || Histogram::new(LATENCIES_S),
            ),
            transitions: counters(
                all,
                "transitions",
                "Recorded changes of status, by new status, without first polls",
            ),
            training_duration: histograms(
                all,
                "training_duration",
                "Time from the first poll that showed a training to the first that showed its \
                 outcome, by model and outcome",
                || Histogram::new(TRAINING_DURATIONS_S),
            ),
            attempts: counters(all, "attempts", "Delivery attempts, by outcome"),
            attempt_duration: histograms(
                all,
                "attempt_duration",
                "Duration of delivery attempts",
                || Histogram::new(LATENCIES_S),
            ),
            deliveries: counters(
                all,
                "deliveries",
                "Finished deliveries, by outcome: delivered or dead",
            ),
            delivery_latency: histograms(
                all,
                "delivery_latency",
                "Time from the detection of a change to its successful delivery",
                || Histogram::new(DELIVERY_LATENCIES_S),
            ),
            reload_succeeded: IntGauge::default(),
            reloaded_at: FloatGauge::default(),
        };
        let help = "Whether the last reload of the config was successful (1) or rejected (0)";
        all.register("config_last_reload_successful", help, loop_metrics.reload_succeeded.clone());
        let help = "Unix time of the last successful reload of the config";
        let name = "config_last_reload_success_timestamp";
        all.register_with_unit(name, help, Unit::Seconds, loop_metrics.reloaded_at.clone());
        Self(Arc::new(loop_metrics), Arc::new(registry))
    }

    /// Counts a request for one avatar.
    pub fn record_poll(&self, account: &AccountName, observation: &Observation, latency: Duration) {
        let outcome = match observation {
            Observation::Seen(_) => "seen",
            Observation::Missing { .. } => "missing",
            Observation::Denied { .. } => "denied",
            Observation::Throttled { .. } => "throttled",
            Observation::Failed { .. } => "failed",
        };
        self.record_request(account, outcome, latency);
    }

    /// Counts a request for a list of avatars.
    pub fn record_list(&self, account: &AccountName, succeeded: bool, latency: Duration) {
        self.record_request(account, if succeeded { "listed" } else { "list_failed" }, latency);
    }

    fn record_request(&self, account: &AccountName, outcome: &str, latency: Duration) {
        self.0.polls.get_or_create(&outcome_labels("account", account, outcome)).inc();
        let duration = self.0.poll_duration.get_or_create(&labels("account", account));
        duration.observe(latency.as_secs_f64());
    }

    /// Counts a transition and the training that ended with it, if any. A model that the API does
    /// not document is `other`: labels must not grow with what a server says.
    pub fn record_transition(&self, transition: &Transition) {
        let status = status_label(&transition.status);
        self.0.transitions.get_or_create(&labels("status", &status)).inc();
        if let Some(training) = &transition.training {
            let model = training.model.as_deref().filter(|it| MODELS.contains(it));
            let labels = vec![("model", model.unwrap_or("other").to_owned()), ("status", status)];
            let durations = self.0.training_duration.get_or_create(&labels);
            durations.observe(training.observed_duration().as_secs_f64());
        }
    }

    /// Counts a delivery attempt.
    pub fn record_attempt(&self, channel: &ChannelName, class: OutcomeClass, latency: Duration) {
        self.0.attempts.get_or_create(&outcome_labels("channel", channel, class.name())).inc();
        let duration = self.0.attempt_duration.get_or_create(&labels("channel", channel));
        duration.observe(latency.as_secs_f64());
    }

    /// Counts a finished delivery; `latency` is the time since the detection of the change, if that
    /// is known.
    pub(crate) fn record_delivery(
        &self,
        channel: &ChannelName,
        state: &DeliveryState,
        latency: Option<Duration>,
    ) {
        let outcome = match state {
            DeliveryState::Delivered => "delivered",
            DeliveryState::Dead { .. } => "dead",
            DeliveryState::Pending { .. } | DeliveryState::Sending => {
                return;
            }
        };
        self.0.deliveries.get_or_create(&outcome_labels("channel", channel, outcome)).inc();
        if let (DeliveryState::Delivered, Some(latency)) = (state, latency) {
            let latencies = self.0.delivery_latency.get_or_create(&labels("channel", channel));
            latencies.observe(latency.as_secs_f64());
        }
    }

    /// Records the result of a reload of the config.
    pub fn record_reload(&self, succeeded: bool, now: Timestamp) {
        self.0.reload_succeeded.set(i64::from(succeeded));
        if succeeded {
            self.0.reloaded_at.set(seconds(now));
        }
    }

    /// All metrics in the format of `OpenMetrics` 1.0, with the gauges of a snapshot.
    pub fn encode(&self, snapshot: &MetricsSnapshot) -> String {
        let mut text = String::new();
        // Writing to a `String` does not fail.
        let _ = encode_registry(&mut text, &self.1);
        let _ = encode_registry(&mut text, &snapshot.registry());
        let _ = encode_eof(&mut text);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl MetricsSnapshot {
    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("avatar_watch");
        let all = &mut registry;
        let help = "Log lines that were dropped because nothing read them";
        all.register("log_lines_dropped", help, total(self.dropped.log_lines));
        let help = "Messages to systemd that were replaced by newer ones or not accepted";
        all.register("systemd_messages_dropped", help, total(self.dropped.systemd_messages));
        let channels = |value: fn(&ChannelSnapshot) -> u64| {
            counts(self.channels.iter().map(|it| (labels("channel", &it.name), value(it))))
        };
        let status = |it: &Option<Status>| it.as_ref().map_or("unknown".to_owned(), status_label);
        let avatars = self.avatars.iter().map(|(it, count)| (labels("status", status(it)), *count));
        all.register("avatars", "Watched avatars, by last observed status", counts(avatars));
        let help = "Watched avatars with a failed last poll";
        all.register("avatars_unreachable", help, count(self.failing));
        let conditions = self.conditions.iter().map(|kind| (labels("kind", kind), 1));
        all.register("conditions", "Firing conditions, by kind", counts(conditions));
        let help = "Deliveries that are pending or being sent";
        all.register("deliveries_pending", help, channels(|it| it.undelivered));
        let help = "Dead letters";
        all.register("dead_letters", help, channels(|it| it.dead_letters));
        let help = "Age of the oldest undelivered message; 0 without one";
        let oldest = FloatGauge::default();
        let age = self.channels.iter().filter_map(|it| it.oldest_age).max().unwrap_or_default();
        oldest.set(age.as_secs_f64());
        all.register_with_unit("oldest_undelivered_age", help, Unit::Seconds, oldest);
        let help = "Age of the oldest undelivered message of a channel; 0 without one";
        let oldest = self.channels.iter();
        let oldest =
            oldest.map(|it| (labels("channel", &it.name), it.oldest_age.unwrap_or_default()));
        let name = "channel_oldest_undelivered_age";
        all.register_with_unit(name, help, Unit::Seconds, ages(oldest));
        let help = "State of a channel: 1 for the current state, 0 for the others";
        let states = self.channels.iter().flat_map(|it| {
            ChannelState::ALL.into_iter().map(move |state| {
                let label = ("state", state.name().to_owned());
                (vec![("channel", it.name.to_string()), label], u64::from(state == it.state))
            })
        });
        all.register("channel_state", help, counts(states));
        let help = "Failing recipients of a channel";
        all.register("channel_recipients_failing", help, channels(|it| it.failing_recipients));
        let help = "Time since the last successful poll of an account, or since the start";
        let accounts = self.account_ages.iter().map(|(name, age)| (labels("account", name), *age));
        all.register_with_unit("account_last_success_age", help, Unit::Seconds, ages(accounts));
        let help = "Time since the last iteration of a loop";
        let loops = self.loop_ages.iter().map(|(name, age)| (labels("loop", name), *age));
        all.register_with_unit("loop_age", help, Unit::Seconds, ages(loops));
        let help = "Size of the database including its WAL";
        all.register_with_unit("database_size", help, Unit::Bytes, count(self.database_size));
        let help = "Whether the last write to the database succeeded (1) or failed (0)";
        all.register("database_writable", help, count(self.database_writable.into()));
        registry
    }
}

fn labels(name: &'static str, value: impl ToString) -> Labels {
    vec![(name, value.to_string())]
}

fn outcome_labels(name: &'static str, value: impl ToString, outcome: &str) -> Labels {
    vec![(name, value.to_string()), ("outcome", outcome.to_owned())]
}

fn count(number: u64) -> IntGauge {
    let gauge = IntGauge::default();
    gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
    gauge
}

/// Numbers with the same labels are added.
fn counts(numbers: impl Iterator<Item = (Labels, u64)>) -> Family<Labels, IntGauge> {
    let family = Family::<Labels, IntGauge>::default();
    for (labels, number) in numbers {
        family.get_or_create(&labels).inc_by(i64::try_from(number).unwrap_or(i64::MAX));
    }
    family
}

fn ages(ages: impl Iterator<Item = (Labels, Duration)>) -> Family<Labels, FloatGauge> {
    let family = Family::<Labels, FloatGauge>::default();
    for (labels, age) in ages {
        family.get_or_create(&labels).set(age.as_secs_f64());
    }
    family
}

/// Registers counters and returns a handle of them.
fn counters(registry: &mut Registry, name: &str, help: &str) -> Family<Labels, Counter> {
    let counters = Family::default();
    registry.register(name, help, counters.clone());
    counters
}

/// Registers histograms of durations in seconds and returns a handle of them.
fn histograms(
    registry: &mut Registry,
    name: &str,
    help: &str,
    new: fn() -> Histogram,
) -> Histograms {
    let histograms = Histograms::new_with_constructor(new);
    registry.register_with_unit(name, help, Unit::Seconds, histograms.clone());
    histograms
}

fn total(count: u64) -> Counter {
    let counter = Counter::default();
    counter.inc_by(count);
    counter
}

/// All undocumented statuses share one label, so that responses cannot create any number of labels.
fn status_label(status: &Status) -> String {
    match status {
        Status::Unrecognized(_) => "unrecognized".to_owned(),
        Status::NotTrained
        | Status::Training
        | Status::TrainingFailed
        | Status::Idle
        | Status::Refused => status.name().to_owned(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of this millennium fit")]
fn seconds(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1_000.0
}

/// Buckets of the latency of servers, in seconds.
const LATENCIES_S: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];
/// Buckets of the duration of trainings, in seconds: half a minute is usual for images, 8 to 24
/// hours for videos.
const TRAINING_DURATIONS_S: [f64; 14] = [
    15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 14_400.0, 28_800.0, 43_200.0,
    57_600.0, 86_400.0, 172_800.0,
];
/// The models that the API documents.
const MODELS: [&str; 2] = ["ARGIL_ATOM", "ARGIL_V1"];
/// Buckets of the delivery latency, in seconds, up to three days.
const DELIVERY_LATENCIES_S: [f64; 14] =
    [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 36_000.0, 259_200.0];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::avatar::AvatarId;
    use crate::domain::avatar::training::{Training, TrainingStart};
    use crate::domain::avatar::transition::Previous;

    #[test]
    fn a_delivery_of_unknown_age_counts_without_a_latency() {
        let metrics = Metrics::new();
        let ops = ChannelName::parse("ops").unwrap();
        metrics.record_delivery(&ops, &DeliveryState::Delivered, None);
        let text = metrics.encode(&MetricsSnapshot::default());
        let count = "avatar_watch_deliveries_total{channel=\"ops\",outcome=\"delivered\"} 1\n";
        assert!(text.contains(count), "{text}");
        assert!(!text.contains("avatar_watch_delivery_latency_seconds_count"), "{text}");
        metrics.record_delivery(&ops, &DeliveryState::Delivered, Some(Duration::ZERO));
        let text = metrics.encode(&MetricsSnapshot::default());
        let count = "avatar_watch_delivery_latency_seconds_count{channel=\"ops\"} 1\n";
        assert!(text.contains(count), "{text}");
    }

    #[test]
    fn a_duration_of_a_training_has_a_bounded_number_of_labels() {
        let metrics = Metrics::new();
        let at = Timestamp::from_millis;
        for model in [Some("ARGIL_ATOM"), Some("made\nup"), None] {
            let transition = Transition {
                avatar_id: AvatarId::parse("a").unwrap(),
                sequence: 2,
                previous: Previous::Observed { status: Status::Training, at: at(25_000) },
                earlier: None,
                training: Some(Training {
                    model: model.map(str::to_owned),
                    start: TrainingStart { after: None, before: at(1_000) },
                    last_seen_at: at(25_000),
                    ended_before: at(29_000),
                }),
                status: Status::Idle,
                detected_at: at(29_000),
                upstream_updated_at: None,
            };
            metrics.record_transition(&transition);
        }
        let text = metrics.encode(&MetricsSnapshot::default());
        let name = "avatar_watch_training_duration_seconds";
        for (model, count) in [("ARGIL_ATOM", 1), ("other", 2)] {
            let labels = format!("{{model=\"{model}\",status=\"IDLE\"}}");
            assert!(text.contains(&format!("{name}_count{labels} {count}\n")), "{text}");
            assert!(text.contains(&format!("{name}_sum{labels} {}.0\n", 28 * count)), "{text}");
        }
    }
}
