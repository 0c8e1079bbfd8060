//! The numbers of this process since its start, for Prometheus. The one home of
//! `prometheus-client`.
//!
//! Loops count here; nothing reads it but whoever scrapes. What stands in the tables is not
//! counted here but measured when somebody asks: see [`Measured`].

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

/// The numbers; clones are the same.
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

/// What is measured when somebody asks.
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

/// What stands in the tables, and how long ago things happened, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricsSnapshot {
    /// How many avatars are watched, by status; those never seen are under no status.
    pub avatars: Vec<(Option<Status>, u64)>,
    /// How many of them cannot be seen just now.
    pub unreachable: u64,
    /// How many conditions hold, by kind.
    pub conditions: Vec<(String, u64)>,
    /// The channels.
    pub channels: Vec<ChannelSnapshot>,
    /// How long ago each key last showed anything; since the start, if it never did.
    pub accounts: Vec<(AccountName, Duration)>,
    /// How long ago each loop last turned.
    pub loops: Vec<(&'static str, Duration)>,
    /// The size of the database's files, in bytes.
    pub database_size: u64,
    /// Whether it can be written, as far as is known.
    pub database_writable: bool,
    /// What was dropped since the start.
    pub dropped: Dropped,
}

/// What was not written, since nobody read it, since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Lines of the log.
    pub log_lines: u64,
    /// Messages to systemd; most of them gave way to newer ones.
    pub systemd_messages: u64,
}

/// One channel, as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelSnapshot {
    /// Its name.
    pub name: ChannelName,
    /// Whether it is told.
    pub state: ChannelState,
    /// Deliveries that wait or are being sent.
    pub pending: u64,
    /// Dead letters that were not sent again since.
    pub dead_letters: u64,
    /// The age of the oldest delivery that waits or is being sent.
    pub oldest: Option<Duration>,
    /// Recipients that get nothing, though others may get theirs.
    pub failing_recipients: u64,
}

impl Metrics {
    /// Numbers that begin at zero.
    pub fn new() -> Self {
        let polls = Family::default();
        let poll_duration = histogram(|| Histogram::new(LATENCIES_S));
        let transitions = Family::default();
        let attempts = Family::default();
        let attempt_duration = histogram(|| Histogram::new(LATENCIES_S));
        let deliveries = Family::default();
        let dwell = histogram(|| Histogram::new(DELIVERY_LATENCIES_S));
        let reload_good = Count::default();
        let reloaded_at = Level::default();
        let (log_dropped, systemd_dropped) = (Counter::default(), Counter::default());
        let measured = Gauges::default();

        let mut registry = Registry::with_prefix("avatar_watch");
        let build: Family<Labels, Count> = Family::default();
        build.get_or_create(&vec![("version", env!("CARGO_PKG_VERSION").to_owned())]).set(1);
        registry.register("build_info", "Which program this is", build);
        registry.register("polls", "Requests for avatars, by how they ended", polls.clone());
        let help = "How long the API took to answer";
        registry.register_with_unit("poll_duration", help, Unit::Seconds, poll_duration.clone());
        let help = "Changes of status that were recorded, first sights left out";
        registry.register("transitions", help, transitions.clone());
        registry.register("attempts", "Tries at deliveries, by how they ended", attempts.clone());
        let help = "How long tries at deliveries took";
        registry.register_with_unit(
            "attempt_duration",
            help,
            Unit::Seconds,
            attempt_duration.clone(),
        );
        let help = "Deliveries that ended, by how: delivered or failed";
        registry.register("deliveries", help, deliveries.clone());
        let help = "From the detection of news to its delivery";
        registry.register_with_unit("delivery_latency", help, Unit::Seconds, dwell.clone());
        let help = "1 when the config was taken that was last read, else 0";
        registry.register("config_last_reload_successful", help, reload_good.clone());
        let help = "When the config in force was taken, in seconds since 1970";
        registry.register_with_unit(
            "config_last_reload_success_timestamp",
            help,
            Unit::Seconds,
            reloaded_at.clone(),
        );
        let help = "Lines of the log that were dropped, since nobody read them";
        registry.register("log_lines_dropped", help, log_dropped.clone());
        let help = "Messages to systemd that gave way to newer ones, or were not taken";
        registry.register("systemd_messages_dropped", help, systemd_dropped.clone());
        measured.register(&mut registry);
        Self(Arc::new(Inner {
            registry,
            polls,
            poll_duration,
            transitions,
            attempts,
            attempt_duration,
            deliveries,
            delivery_latency: dwell,
            reload_succeeded: reload_good,
            reloaded_at,
            log_dropped,
            systemd_dropped,
            snapshot: Mutex::new(measured),
        }))
    }

    /// Counts a request for one avatar.
    pub fn record_poll(&self, account: &AccountName, seen: &Observation, took: Duration) {
        let outcome = match seen {
            Observation::Seen(_) => "seen",
            Observation::Missing { .. } => "missing",
            Observation::Denied { .. } => "denied",
            Observation::Throttled { .. } => "throttled",
            Observation::Failed { .. } => "failed",
        };
        self.record_request(account, outcome, took);
    }

    /// Counts a request for a list of avatars, which was `whole` or failed.
    pub fn record_list(&self, account: &AccountName, whole: bool, took: Duration) {
        self.record_request(account, if whole { "listed" } else { "list_failed" }, took);
    }

    fn record_request(&self, account: &AccountName, outcome: &str, took: Duration) {
        let account = ("account", account.to_string());
        let labels = vec![account.clone(), ("outcome", outcome.to_owned())];
        self.0.polls.get_or_create(&labels).inc();
        self.0.poll_duration.get_or_create(&vec![account]).observe(took.as_secs_f64());
    }

    /// Counts a change of status.
    pub fn record_transition(&self, to: &Status) {
        self.0.transitions.get_or_create(&vec![("status", status_label(to))]).inc();
    }

    /// Counts a try at a delivery.
    pub fn record_attempt(&self, channel: &ChannelName, class: OutcomeClass, took: Duration) {
        let channel = ("channel", channel.to_string());
        let labels = vec![channel.clone(), ("outcome", class.name().to_owned())];
        self.0.attempts.get_or_create(&labels).inc();
        self.0.attempt_duration.get_or_create(&vec![channel]).observe(took.as_secs_f64());
    }

    /// Counts a delivery that ended; `since` is how long ago its news was detected.
    pub fn record_delivery(&self, channel: &ChannelName, state: &DeliveryState, since: Duration) {
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
            self.0.delivery_latency.get_or_create(&vec![channel]).observe(since.as_secs_f64());
        }
    }

    /// Notes that the config was read, and whether it was taken.
    pub fn record_reload(&self, taken: bool, now: Timestamp) {
        self.0.reload_succeeded.set(i64::from(taken));
        if taken {
            self.0.reloaded_at.set(seconds(now));
        }
    }

    /// All of it as text, in the format of `OpenMetrics` 1.0, together with what was measured.
    pub fn text(&self, measured: &MetricsSnapshot) -> String {
        let gauges = self.0.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        gauges.set(measured);
        catch_up(&self.0.log_dropped, measured.dropped.log_lines);
        catch_up(&self.0.systemd_dropped, measured.dropped.systemd_messages);
        let mut text = String::new();
        // Writing to a text does not fail.
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
        let help = "Avatars that are watched, by the status that was last seen";
        registry.register("avatars", help, self.avatars.clone());
        registry.register(
            "avatars_unreachable",
            "Those not seen just now",
            self.unreachable.clone(),
        );
        registry.register("conditions", "Conditions that hold", self.conditions.clone());
        let help = "Deliveries that wait or are being sent";
        registry.register("deliveries_pending", help, self.pending.clone());
        let help = "Dead letters that were not sent again since";
        registry.register("dead_letters", help, self.dead_letters.clone());
        let help = "The age of the oldest delivery that is not delivered; 0 when none waits";
        let (name, unit) = ("oldest_undelivered_age", Unit::Seconds);
        registry.register_with_unit(name, help, unit.clone(), self.oldest_of_all.clone());
        let help = "The same, by channel";
        registry.register_with_unit(
            "channel_oldest_undelivered_age",
            help,
            unit.clone(),
            self.oldest.clone(),
        );
        let help = "1 for the state that a channel is in";
        registry.register("channel_state", help, self.channels.clone());
        let help = "Recipients of a channel that get nothing, though others may get theirs";
        let recipients = self.failing_recipients.clone();
        registry.register("channel_recipients_failing", help, recipients);
        let help = "The time since a key last showed anything; since the start, if it never did";
        let name = "account_last_success_age";
        registry.register_with_unit(name, help, unit.clone(), self.account_age.clone());
        let help = "The time since a loop last turned";
        registry.register_with_unit("loop_age", help, unit, self.loop_age.clone());
        let help = "The size of the database with what is not yet folded into it";
        registry.register_with_unit("database_size", help, Unit::Bytes, self.database_size.clone());
        let help = "1 while the database can be written, as far as is known, else 0";
        registry.register("database_writable", help, self.database_writable.clone());
    }

    fn set(&self, measured: &MetricsSnapshot) {
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let MetricsSnapshot {
            avatars,
            unreachable: troubled,
            conditions,
            channels,
            accounts,
            loops,
            ..
        } = measured;
        self.avatars.clear();
        for (status, number) in avatars {
            let status = status.as_ref().map_or_else(|| "unseen".to_owned(), status_label);
            self.avatars.get_or_create(&vec![("status", status)]).inc_by(count(*number));
        }
        self.unreachable.set(count(*troubled));
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
        self.database_size.set(count(measured.database_size));
        self.database_writable.set(i64::from(measured.database_writable));
    }
}

fn histogram(new: fn() -> Histogram) -> Family<Labels, Histogram, fn() -> Histogram> {
    Family::new_with_constructor(new)
}

/// Brings a counter to what was counted elsewhere.
fn catch_up(counter: &Counter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

/// What the API does not document is one label, so that no answer can make labels without end.
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

/// Bounds for the answers of servers, in seconds.
const LATENCIES_S: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];
/// Bounds for the way of news, in seconds: from at once to three days.
const DELIVERY_LATENCIES_S: [f64; 14] =
    [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 36_000.0, 259_200.0];
