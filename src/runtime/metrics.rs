//! Metrics of this process since its start, for Prometheus. `prometheus-client` is used only here.
//!
//! The loops update counters and histograms. Gauges of the database and the daemon are set from a
//! [`MetricsSnapshot`] at each scrape.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::account::AccountName;
use crate::domain::avatar::status::Status;
use crate::domain::delivery::channel::ChannelName;
use crate::domain::delivery::channel_health::ChannelState;
use crate::domain::delivery::{DeliveryState, OutcomeClass};
use crate::domain::polling::observation::Observation;
use crate::domain::time::timestamp::Timestamp;

/// The metrics; clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

type Labels = Vec<(&'static str, String)>;
type Level = Gauge<f64, AtomicU64>;
type Count = Gauge<i64, AtomicI64>;

struct Inner {
    registry: Registry,
    polls: Family<Labels, Counter>,
    poll_duration: Family<Labels, Histogram, fn() -> Histogram>,
    transitions: Family<Labels, Counter>,
    attempts: Family<Labels, Counter>,
    attempt_duration: Family<Labels, Histogram, fn() -> Histogram>,
    deliveries: Family<Labels, Counter>,
    delivery_latency: Family<Labels, Histogram, fn() -> Histogram>,
    reload_succeeded: Count,
    reloaded_at: Level,
    log_dropped: Counter,
    systemd_dropped: Counter,
    snapshot: Mutex<Gauges>,
}

/// The gauges that each scrape sets.
#[derive(Clone, Default)]
struct Gauges {
    avatars: Family<Labels, Count>,
    unreachable: Count,
    conditions: Family<Labels, Count>,
    pending: Family<Labels, Count>,
    dead_letters: Family<Labels, Count>,
    oldest: Family<Labels, Level>,
    oldest_of_all: Level,
    channels: Family<Labels, Count>,
    failing_recipients: Family<Labels, Count>,
    account_age: Family<Labels, Level>,
    loop_age: Family<Labels, Level>,
    database_size: Count,
    database_writable: Count,
}

/// The values of the gauges at the time of a scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricsSnapshot {
    /// Watched avatars by status; `None` before the first successful poll.
    pub avatars: Vec<(Option<Status>, u64)>,
    /// Watched avatars with a failed last poll.
    pub unreachable: u64,
    /// Active conditions by kind.
    pub conditions: Vec<(String, u64)>,
    /// The channels.
    pub channels: Vec<ChannelSnapshot>,
    /// The time since the last successful poll of each account, or since the start.
    pub accounts: Vec<(AccountName, Duration)>,
    /// The time since the last iteration of each loop.
    pub loops: Vec<(&'static str, Duration)>,
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
    pub pending: u64,
    /// Dead letters that were not retried since.
    pub dead_letters: u64,
    /// The age of the oldest delivery that is pending or being sent.
    pub oldest: Option<Duration>,
    /// Failing recipients of an e-mail channel.
    pub failing_recipients: u64,
}

impl Metrics {
    /// Metrics that start at zero.
    pub fn new() -> Self {
        let polls = Family::default();
        let poll_duration = histogram(|| Histogram::new(LATENCIES_S));
        let transitions = Family::default();
        let attempts = Family::default();
        let attempt_duration = histogram(|| Histogram::new(LATENCIES_S));
        let deliveries = Family::default();
        let delivery_latency = histogram(|| Histogram::new(DELIVERY_LATENCIES_S));
        let reload_succeeded = Count::default();
        let reloaded_at = Level::default();
        let (log_dropped, systemd_dropped) = (Counter::default(), Counter::default());
        let gauges = Gauges::default();

        let mut registry = Registry::with_prefix("avatar_watch");
        let build: Family<Labels, Count> = Family::default();
        build.get_or_create(&vec![("version", env!("CARGO_PKG_VERSION").to_owned())]).set(1);
        registry.register("build_info", "Version of avatar-watch", build);
        registry.register("polls", "Requests to the API, by outcome", polls.clone());
        let help = "Duration of requests to the API";
        registry.register_with_unit("poll_duration", help, Unit::Seconds, poll_duration.clone());
        let help = "Recorded changes of status, by new status, without first polls";
        registry.register("transitions", help, transitions.clone());
        registry.register("attempts", "Delivery attempts, by outcome", attempts.clone());
        let help = "Duration of delivery attempts";
        registry.register_with_unit(
            "attempt_duration",
            help,
            Unit::Seconds,
            attempt_duration.clone(),
        );
        let help = "Finished deliveries, by outcome: delivered or failed";
        registry.register("deliveries", help, deliveries.clone());
        let help = "Time from the detection of a change to its successful delivery";
        let latency = delivery_latency.clone();
        registry.register_with_unit("delivery_latency", help, Unit::Seconds, latency);
        let help = "Whether the last reload of the config was successful (1) or rejected (0)";
        registry.register("config_last_reload_successful", help, reload_succeeded.clone());
        let help = "Unix time of the last successful reload of the config";
        registry.register_with_unit(
            "config_last_reload_success_timestamp",
            help,
            Unit::Seconds,
            reloaded_at.clone(),
        );
        let help = "Log lines that were dropped because nothing read them";
        registry.register("log_lines_dropped", help, log_dropped.clone());
        let help = "Messages to systemd that were replaced by newer ones or not accepted";
        registry.register("systemd_messages_dropped", help, systemd_dropped.clone());
        gauges.register(&mut registry);
        Self(Arc::new(Inner {
            registry,
            polls,
            poll_duration,
            transitions,
            attempts,
            attempt_duration,
            deliveries,
            delivery_latency,
            reload_succeeded,
            reloaded_at,
            log_dropped,
            systemd_dropped,
            snapshot: Mutex::new(gauges),
        }))
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
        let account = ("account", account.to_string());
        let labels = vec![account.clone(), ("outcome", outcome.to_owned())];
        self.0.polls.get_or_create(&labels).inc();
        self.0.poll_duration.get_or_create(&vec![account]).observe(latency.as_secs_f64());
    }

    /// Counts a transition.
    pub fn record_transition(&self, to: &Status) {
        self.0.transitions.get_or_create(&vec![("status", status_label(to))]).inc();
    }

    /// Counts a delivery attempt.
    pub fn record_attempt(&self, channel: &ChannelName, class: OutcomeClass, latency: Duration) {
        let channel = ("channel", channel.to_string());
        let labels = vec![channel.clone(), ("outcome", class.name().to_owned())];
        self.0.attempts.get_or_create(&labels).inc();
        self.0.attempt_duration.get_or_create(&vec![channel]).observe(latency.as_secs_f64());
    }

    /// Counts a finished delivery; `latency` is the time since the detection of the change.
    pub fn record_delivery(&self, channel: &ChannelName, state: &DeliveryState, latency: Duration) {
        let outcome = match state {
            DeliveryState::Delivered => "delivered",
            DeliveryState::Failed { .. } => "failed",
            DeliveryState::Pending { .. } | DeliveryState::Sending | DeliveryState::Cancelled => {
                return;
            }
        };
        let channel = ("channel", channel.to_string());
        let labels = vec![channel.clone(), ("outcome", outcome.to_owned())];
        self.0.deliveries.get_or_create(&labels).inc();
        if outcome == "delivered" {
            self.0.delivery_latency.get_or_create(&vec![channel]).observe(latency.as_secs_f64());
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
    pub fn text(&self, snapshot: &MetricsSnapshot) -> String {
        let gauges = self.0.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        gauges.set(snapshot);
        raise_to(&self.0.log_dropped, snapshot.dropped.log_lines);
        raise_to(&self.0.systemd_dropped, snapshot.dropped.systemd_messages);
        let mut text = String::new();
        // Writing to a `String` does not fail.
        let _ = encode(&mut text, &self.0.registry);
        drop(gauges);
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

impl Gauges {
    fn register(&self, registry: &mut Registry) {
        let help = "Watched avatars, by last observed status";
        registry.register("avatars", help, self.avatars.clone());
        registry.register(
            "avatars_unreachable",
            "Watched avatars with a failed last poll",
            self.unreachable.clone(),
        );
        registry.register("conditions", "Active conditions, by kind", self.conditions.clone());
        let help = "Deliveries that are pending or being sent";
        registry.register("deliveries_pending", help, self.pending.clone());
        let help = "Dead letters that were not retried since";
        registry.register("dead_letters", help, self.dead_letters.clone());
        let help = "Age of the oldest undelivered message; 0 without one";
        let (name, unit) = ("oldest_undelivered_age", Unit::Seconds);
        registry.register_with_unit(name, help, unit.clone(), self.oldest_of_all.clone());
        let help = "Age of the oldest undelivered message of a channel; 0 without one";
        registry.register_with_unit(
            "channel_oldest_undelivered_age",
            help,
            unit.clone(),
            self.oldest.clone(),
        );
        let help = "State of a channel: 1 for the current state, 0 for the others";
        registry.register("channel_state", help, self.channels.clone());
        let help = "Failing recipients of a channel";
        let recipients = self.failing_recipients.clone();
        registry.register("channel_recipients_failing", help, recipients);
        let help = "Time since the last successful poll of an account, or since the start";
        let name = "account_last_success_age";
        registry.register_with_unit(name, help, unit.clone(), self.account_age.clone());
        let help = "Time since the last iteration of a loop";
        registry.register_with_unit("loop_age", help, unit, self.loop_age.clone());
        let help = "Size of the database including its WAL";
        registry.register_with_unit("database_size", help, Unit::Bytes, self.database_size.clone());
        let help = "Whether the last write to the database succeeded (1) or failed (0)";
        registry.register("database_writable", help, self.database_writable.clone());
    }

    fn set(&self, snapshot: &MetricsSnapshot) {
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let MetricsSnapshot { avatars, unreachable, conditions, channels, accounts, loops, .. } =
            snapshot;
        self.avatars.clear();
        for (status, number) in avatars {
            let status = status.as_ref().map_or_else(|| "unknown".to_owned(), status_label);
            self.avatars.get_or_create(&vec![("status", status)]).inc_by(count(*number));
        }
        self.unreachable.set(count(*unreachable));
        self.conditions.clear();
        for (kind, number) in conditions {
            self.conditions.get_or_create(&vec![("kind", kind.clone())]).set(count(*number));
        }
        for family in [&self.pending, &self.dead_letters, &self.channels, &self.failing_recipients]
        {
            family.clear();
        }
        self.oldest.clear();
        let mut oldest = Duration::ZERO;
        for channel in channels {
            let labels = vec![("channel", channel.name.to_string())];
            self.pending.get_or_create(&labels).set(count(channel.pending));
            self.dead_letters.get_or_create(&labels).set(count(channel.dead_letters));
            let failing = count(channel.failing_recipients);
            self.failing_recipients.get_or_create(&labels).set(failing);
            let age = channel.oldest.unwrap_or_default();
            self.oldest.get_or_create(&labels).set(age.as_secs_f64());
            oldest = oldest.max(age);
            for state in ChannelState::ALL {
                let labels = vec![labels[0].clone(), ("state", state.name().to_owned())];
                self.channels.get_or_create(&labels).set(i64::from(state == channel.state));
            }
        }
        self.oldest_of_all.set(oldest.as_secs_f64());
        self.account_age.clear();
        for (account, age) in accounts {
            let labels = vec![("account", account.to_string())];
            self.account_age.get_or_create(&labels).set(age.as_secs_f64());
        }
        self.loop_age.clear();
        for (name, age) in loops {
            let labels = vec![("loop", (*name).to_owned())];
            self.loop_age.get_or_create(&labels).set(age.as_secs_f64());
        }
        self.database_size.set(count(snapshot.database_size));
        self.database_writable.set(i64::from(snapshot.database_writable));
    }
}

fn histogram(new: fn() -> Histogram) -> Family<Labels, Histogram, fn() -> Histogram> {
    Family::new_with_constructor(new)
}

/// Raises a counter to a total that is counted elsewhere.
fn raise_to(counter: &Counter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
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
/// Buckets of the delivery latency, in seconds, up to three days.
const DELIVERY_LATENCIES_S: [f64; 14] =
    [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 36_000.0, 259_200.0];
