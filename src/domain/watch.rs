//! A watch: our record of one configured avatar, and the one decision about it: what an
//! observation means.
//!
//! What always holds: only [`Observation::Seen`] changes the status; every change of it makes
//! exactly one transition, numbered without a gap, whose previous status is the one before;
//! an observation that changed nothing asks for nothing to be written. A failure is never a
//! status.

use std::time::Duration;

use crate::domain::avatar::{Avatar, AvatarId};
use crate::domain::cadence::Cadence;
use crate::domain::event::{Event, EventId, EventKind, Subject};
use crate::domain::observation::Observation;
use crate::domain::roll::Roll;
use crate::domain::status::Status;
use crate::domain::timestamp::Timestamp;
use crate::domain::transition::{Previous, Transition};

/// What is known of one avatar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Which avatar.
    pub id: AvatarId,
    /// The name the API last showed.
    pub name: Option<String>,
    /// The last sight of it; `None` before the first.
    pub sight: Option<Sight>,
    /// How many transitions it has had.
    pub sequence: u64,
    /// Why it cannot be seen just now, if so.
    pub trouble: Option<Trouble>,
    /// Looks in a row that showed no avatar; not kept over a restart.
    pub failures: u32,
}

/// What was last seen of an avatar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Its status.
    pub status: Status,
    /// When that status was first seen.
    pub since: Timestamp,
    /// When that status was last seen.
    pub last_seen_at: Timestamp,
}

/// Why an avatar cannot be seen, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What kind of trouble.
    pub kind: TroubleKind,
    /// When it began.
    pub since: Timestamp,
    /// What was said when it began, for people.
    pub reason: String,
}

/// The kinds of trouble in seeing an avatar: the observations that are no sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// The API knows no such avatar.
    Missing,
    /// The key is not accepted.
    Denied,
    /// The API asks for fewer requests.
    Throttled,
    /// No usable answer.
    Failed,
}

impl TroubleKind {
    /// The word for it in rows and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::Failed => "failed",
        }
    }

    /// The kind of that word.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Missing, Self::Denied, Self::Throttled, Self::Failed]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// What the config says about one watch.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy<'a> {
    /// The waits between looks.
    pub cadence: &'a Cadence,
    /// Whether an avatar that settled without having been seen in training is news.
    pub infer_unseen_training: bool,
    /// The status at registration, with which the first sight is compared.
    pub assume: Option<&'a Status>,
    /// The name that the user gave the avatar; told instead of the API's own.
    pub label: Option<&'a str>,
}

/// What an observation means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The watch as it is now.
    pub watch: Watch,
    /// The change of status, if there was one.
    pub transition: Option<Transition>,
    /// What is to be told about the transition; a first sight tells nothing.
    pub event: Option<Event>,
    /// Whether there is anything to write to disk.
    pub changed: bool,
    /// How long to wait before the next look; `None` is never.
    pub next_poll_in: Option<Duration>,
}

impl Watch {
    /// A watch of an avatar that was never looked at.
    pub fn new(id: AvatarId) -> Self {
        Self { id, name: None, sight: None, sequence: 0, trouble: None, failures: 0 }
    }

    /// What `seen`, observed at `now`, means under `policy`. `roll` gives the jitter of a
    /// backoff and the id of an event.
    pub fn observe(
        self,
        seen: Observation,
        now: Timestamp,
        policy: &Policy<'_>,
        roll: Roll,
    ) -> Decision {
        match seen {
            Observation::Seen(avatar) => self.sees(*avatar, now, policy, roll),
            Observation::Missing { reason } => {
                let decision = self.fails(TroubleKind::Missing, reason, now, 1);
                let wait = policy.cadence.missing;
                Decision { next_poll_in: Some(wait), ..decision }
            }
            Observation::Denied { reason, .. } => {
                let decision = self.fails(TroubleKind::Denied, reason, now, 1);
                decision.after_backoff(policy.cadence, Duration::ZERO, roll)
            }
            Observation::Throttled { retry_after, reason } => {
                let floor = retry_after.unwrap_or_default();
                let decision = self.fails(TroubleKind::Throttled, reason, now, TROUBLE_AFTER);
                decision.after_backoff(policy.cadence, floor, roll)
            }
            Observation::Failed { reason, .. } => {
                let decision = self.fails(TroubleKind::Failed, reason, now, TROUBLE_AFTER);
                decision.after_backoff(policy.cadence, Duration::ZERO, roll)
            }
        }
    }

    fn sees(mut self, avatar: Avatar, now: Timestamp, policy: &Policy<'_>, roll: Roll) -> Decision {
        let transition = self.transition_to(&avatar, now, policy.assume);
        let renamed = avatar.name.is_some() && avatar.name != self.name;
        let changed = transition.is_some() || renamed || self.trouble.is_some();
        let since = match (&transition, &self.sight) {
            (None, Some(sight)) => sight.since,
            (Some(_), _) | (None, None) => now,
        };
        let sight = Sight { status: avatar.status.clone(), since, last_seen_at: now };
        let next_poll_in = policy.cadence.wait(&sight.status, now.since(since));

        self.sequence += u64::from(transition.is_some());
        self.sight = Some(sight);
        self.trouble = None;
        self.failures = 0;
        if renamed {
            self.name.clone_from(&avatar.name);
        }
        let event = transition.as_ref().and_then(|transition| {
            let kind = EventKind::of(transition, policy.infer_unseen_training)?;
            Some(Event {
                id: EventId::mint(now, roll),
                kind,
                occurred_at: now,
                subject: Subject::Transition {
                    avatar: Box::new(labelled(avatar, policy.label)),
                    transition: Box::new(transition.clone()),
                },
            })
        });
        Decision { watch: self, transition, event, changed, next_poll_in }
    }

    fn transition_to(
        &self,
        avatar: &Avatar,
        now: Timestamp,
        assume: Option<&Status>,
    ) -> Option<Transition> {
        let previous = match &self.sight {
            Some(sight) if sight.status == avatar.status => return None,
            Some(sight) => Previous::Seen { status: sight.status.clone(), at: sight.last_seen_at },
            None => match assume {
                Some(assumed) if *assumed != avatar.status => Previous::Assumed(assumed.clone()),
                Some(_) | None => Previous::Nothing,
            },
        };
        Some(Transition {
            avatar_id: self.id.clone(),
            sequence: self.sequence + 1,
            previous,
            status: avatar.status.clone(),
            detected_at: now,
            upstream_updated_at: avatar.updated_at.clone(),
        })
    }

    /// A look that showed no avatar. Trouble begins with the `begins_after`-th such look in a
    /// row, and again when its kind changes.
    fn fails(
        mut self,
        kind: TroubleKind,
        reason: String,
        now: Timestamp,
        begins_after: u32,
    ) -> Decision {
        self.failures = self.failures.saturating_add(1);
        let same = self.trouble.as_ref().is_some_and(|trouble| trouble.kind == kind);
        let changed = !same && self.failures >= begins_after;
        if changed {
            self.trouble = Some(Trouble { kind, since: now, reason });
        }
        Decision { watch: self, transition: None, event: None, changed, next_poll_in: None }
    }
}

impl Decision {
    fn after_backoff(self, cadence: &Cadence, floor: Duration, roll: Roll) -> Self {
        let wait = cadence.backoff.wait(self.watch.failures, roll).max(floor);
        Self { next_poll_in: Some(wait), ..self }
    }
}

fn labelled(avatar: Avatar, label: Option<&str>) -> Avatar {
    let name = label.map(str::to_owned).or(avatar.name);
    Avatar { name, ..avatar }
}

/// Failed looks in a row after which it is called trouble: single hiccups are not worth a row.
const TROUBLE_AFTER: u32 = 3;

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
