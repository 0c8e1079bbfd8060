//! What happened in a simulation: what the outside noted, what the plans were, and what the
//! database holds at the end. Plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use avatar_watch::domain::avatar::AvatarId;
use avatar_watch::domain::avatar::status::Status;
use avatar_watch::domain::avatar::transition::Transition;
use avatar_watch::domain::delivery::{DeliveryId, OutcomeClass};
use avatar_watch::domain::id::EventId;
use avatar_watch::domain::time::monotonic::Monotonic;
use avatar_watch::domain::time::timestamp::Timestamp;
use avatar_watch::store::reader::{AttemptRow, DeliveryRow};

/// Everything that the oracle judges.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    /// In the order in which they began.
    pub(super) polls: Vec<Poll>,
    /// In the order in which they reached their receivers.
    pub(super) calls: Vec<Call>,
    pub(super) plans: Vec<PlanNote>,
    /// Rows that were created or ended manually.
    pub(super) manual: BTreeSet<DeliveryId>,
    /// The channels that were enabled manually, each with the time.
    pub(super) enabled: Vec<(String, Monotonic)>,
    /// What the avatars were at the end.
    pub(super) statuses: BTreeMap<AvatarId, Status>,
    pub(super) transitions: Vec<Transition>,
    pub(super) events: Vec<EventRow>,
    /// The reported conditions, in the order in which they were written.
    pub(super) conditions: Vec<ConditionEvent>,
    /// The conditions that hold at the end, by kind and subject.
    pub(super) holding: BTreeSet<(String, String)>,
    pub(super) deliveries: Vec<Delivery>,
}

/// One poll, as the API saw it.
#[derive(Clone, Debug)]
pub(super) struct Poll {
    pub(super) avatar: AvatarId,
    pub(super) boot: usize,
    pub(super) plan: usize,
    pub(super) begun_at: Monotonic,
    /// The avatars with a poll in flight in the same process when it started.
    pub(super) others: Vec<AvatarId>,
    pub(super) in_flight: bool,
    pub(super) ended_at: Monotonic,
    pub(super) wall: Timestamp,
    /// The response; `None` when the poll was aborted.
    pub(super) shown: Option<Shown>,
    /// Whether another plan was there by then: its sources are others, so that this answer may
    /// have been thrown away.
    pub(super) disowned: bool,
    /// Whether the daemon lived on for long enough to record it.
    pub(super) outlived: bool,
}

/// What an answer showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Status(Status),
    Throttled(Duration),
    Missing,
    Nothing,
}

/// One attempt, as the receiver saw it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) boot: usize,
    pub(super) channel: String,
    pub(super) recipient: String,
    pub(super) delivery_id: DeliveryId,
    pub(super) event_id: EventId,
    pub(super) body: Vec<u8>,
    /// The response to the daemon; `None` when it was gone by then.
    pub(super) answered: Option<OutcomeClass>,
    pub(super) at: Monotonic,
    /// How often the wall had been set by then.
    pub(super) jumps: usize,
    pub(super) retry_after: Option<Duration>,
    /// Whether the daemon lived on for long enough to record the answer.
    pub(super) outlived: bool,
}

/// What a plan said.
#[derive(Clone, Debug)]
pub(super) struct PlanNote {
    pub(super) infer_unseen_training: bool,
    pub(super) max_concurrency: usize,
    pub(super) max_requests_per_second: usize,
    pub(super) avatars: BTreeMap<AvatarId, AvatarNote>,
    pub(super) channels: BTreeMap<String, ChannelNote>,
}

/// The status that an avatar was registered with, its channels, if they are named, and whether it
/// has the tag.
pub(super) type AvatarNote = (Option<Status>, Option<Vec<String>>, bool);

/// What a plan said of a channel.
#[derive(Clone, Debug)]
pub(super) struct ChannelNote {
    pub(super) events: Vec<&'static str>,
    /// Whether it asks for avatars with the tag.
    pub(super) for_tagged: bool,
    pub(super) recipients: Vec<String>,
}

/// A row of `events`.
#[derive(Clone, Debug)]
pub(super) struct EventRow {
    pub(super) id: EventId,
    pub(super) kind: String,
    pub(super) avatar: AvatarId,
    pub(super) sequence: u64,
}

/// A row of `events` about a condition.
#[derive(Clone, Debug)]
pub(super) struct ConditionEvent {
    pub(super) id: EventId,
    pub(super) kind: String,
    /// An avatar's id, or what else it is about.
    pub(super) subject: String,
    /// The status that an avatar was last seen in.
    pub(super) status: Option<String>,
    /// `firing`, `reminder` or `resolved`; empty for a dead letter, which is no state.
    pub(super) state: String,
    /// The delivery that it is about, for a dead letter.
    pub(super) delivery: Option<DeliveryId>,
    /// When it was detected, if known.
    pub(super) at: Option<Timestamp>,
}

/// A row of `deliveries`, with its bytes and its attempts.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) row: DeliveryRow,
    pub(super) body: Vec<u8>,
    pub(super) attempts: Vec<AttemptRow>,
}
