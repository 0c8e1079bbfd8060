//! Sample events, one for each shape of the data, with which templates are checked when the config
//! is read. They are never sent.

use crate::domain::account::AccountName;
use crate::domain::avatar::status::Status;
use crate::domain::avatar::training::{Training, TrainingStart};
use crate::domain::avatar::transition::{Previous, Transition};
use crate::domain::avatar::{Avatar, AvatarId};
use crate::domain::condition::{AvatarGroup, Condition, ConditionSubject, OutageCause, Phase};
use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::dead_letter::{DeadLetter, DeadLetterGroup};
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::id::EventId;
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;

/// Events of every kind, with all optional data and with none of it.
pub fn all() -> Vec<Event> {
    let Some(samples) = Samples::new() else { return Vec::new() };
    samples.all()
}

/// Events about an avatar with this name.
#[cfg(test)]
pub(super) fn hostile(name: &str) -> Vec<Event> {
    Samples { name: name.to_owned(), ..Samples::new().unwrap() }.all()
}

/// Names with markup, mentions, control characters and template syntax.
#[cfg(test)]
pub(super) const NAMES: [&str; 10] = [
    "Jané, “English” 👩🏽\u{200d}🚀",
    "<@everyone> @here <!channel> <@U012|x> <https://evil.example|click>",
    "*b* _i_ ~s~ `c` **bb** __u__ ||spoiler|| [link](https://evil.example) # h",
    "]]></script>\"},{\"text\":\"x\"}",
    "a\r\nBcc: x\r\n\r\nb",
    "nul\u{0}bel\u{7}esc\u{1b}[2J",
    "\u{202e}gpj.exe \u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{2066}x",
    "{{ id }} {% raw %} {{DATE(2020-01-01T00:00:00Z,SHORT)}} ${x}",
    "&amp; &lt;b&gt; \\",
    "\u{200b}\u{feff}",
];

struct Samples {
    name: String,
    avatar: AvatarId,
    account: AccountName,
    channel: ChannelName,
    delivery: DeliveryId,
    at: Timestamp,
}

impl Samples {
    // The ids are valid, so there always are samples; a test asserts that.
    fn new() -> Option<Self> {
        let at = Timestamp::from_millis(DETECTED_AT_MS);
        Some(Self {
            name: "Jane, English".to_owned(),
            avatar: AvatarId::parse("3c90c3cc-0d44-4b50-8888-8dd25736052a").ok()?,
            account: AccountName::default(),
            channel: ChannelName::parse("ops").ok()?,
            delivery: DeliveryId::mint(at, RandomBits::new(1)),
            at,
        })
    }

    fn all(&self) -> Vec<Event> {
        let statuses = ["IDLE", "TRAINING_FAILED", "REFUSED", "TRAINING", "NOT_TRAINED", "PAUSED"];
        let mut events = Vec::new();
        for status in statuses {
            events.push(self.transition(status, true));
            events.push(self.transition(status, false));
        }
        for (kind, subject) in self.conditions() {
            for phase in [Phase::Firing, Phase::Reminder, Phase::Resolved] {
                let reason =
                    (phase != Phase::Resolved).then(|| format!("{} answered 500", self.name));
                let condition =
                    Condition { phase, started_at: self.at, subject: subject.clone(), reason };
                events.push(self.event(kind, Subject::Condition(Box::new(condition))));
            }
        }
        for avatar_id in [None, Some(self.avatar.to_string())] {
            let letter = DeadLetter {
                channel: self.channel.clone(),
                delivery: self.delivery.clone(),
                event: self.id(),
                kind: EventKind::AvatarReady.name().to_owned(),
                avatar_name: avatar_id.is_some().then(|| self.name.clone()),
                avatar_id,
                attempts: 10,
                reason: "no attempts left".to_owned(),
            };
            let subject = Subject::DeadLetter(Box::new(DeadLetterGroup::from(letter)));
            events.push(self.event(EventKind::DeliveryExhausted, subject));
        }
        let ping = Subject::Ping { channel: self.channel.clone() };
        events.push(self.event(EventKind::TestPing, ping));
        events
    }

    fn transition(&self, status: &str, known: bool) -> Event {
        let given = |text: &str| known.then(|| text.to_owned());
        let status = Status::from_name(status);
        let kind = match &status {
            Status::Idle => EventKind::AvatarReady,
            Status::TrainingFailed => EventKind::AvatarTrainingFailed,
            Status::Refused => EventKind::AvatarRefused,
            Status::NotTrained | Status::Training | Status::Unrecognized(_) => {
                EventKind::AvatarStatusChanged
            }
        };
        let at = Timestamp::from_millis(LAST_SEEN_AT_MS);
        let observed = Previous::Observed { status: Status::Training, at };
        let transition = Transition {
            avatar_id: self.avatar.clone(),
            sequence: 42,
            previous: if known { observed } else { Previous::Absent },
            earlier: None,
            training: known.then(|| self.training()),
            status: status.clone(),
            detected_at: self.at,
            upstream_updated_at: given("2026-11-23T11:14:58Z"),
        };
        let avatar = Avatar {
            name: known.then(|| self.name.clone()),
            model: given("ARGIL_ATOM"),
            orientation: given("ASPECT_RATIO_9_16"),
            updated_at: given("2026-11-23T11:14:58Z"),
            ..Avatar::new(self.avatar.clone(), status)
        };
        let (avatar, transition) = (Box::new(avatar), Box::new(transition));
        self.event(kind, Subject::Transition { avatar, transition })
    }

    fn training(&self) -> Training {
        Training {
            model: Some("ARGIL_ATOM".to_owned()),
            start: TrainingStart {
                after: Some(Timestamp::from_millis(STARTED_AFTER_MS)),
                before: Timestamp::from_millis(STARTED_BEFORE_MS),
            },
            last_seen_at: Timestamp::from_millis(LAST_SEEN_AT_MS),
            ended_before: self.at,
        }
    }

    fn conditions(&self) -> Vec<(EventKind, ConditionSubject)> {
        let avatar = |status: Option<Status>| ConditionSubject::Avatar {
            id: self.avatar.clone(),
            name: status.is_some().then(|| self.name.clone()),
            account: self.account.clone(),
            status,
            group: AvatarGroup::default(),
        };
        let account = ConditionSubject::Account {
            name: self.account.clone(),
            cause: OutageCause::Unreachable,
        };
        let channel = ConditionSubject::Channel { name: self.channel.clone(), recipient: None };
        let (training, unrecognized) = (Some(Status::Training), Some(Status::from_name("PAUSED")));
        vec![
            (EventKind::AvatarMissing, avatar(training.clone())),
            (EventKind::AvatarMissing, avatar(None)),
            (EventKind::AvatarUnreachable, avatar(training.clone())),
            (EventKind::AvatarUnreachable, avatar(None)),
            (EventKind::AvatarTrainingOverdue, avatar(training.clone())),
            (EventKind::AvatarTrainingOverdue, avatar(None)),
            (EventKind::AvatarStatusUnrecognized, avatar(unrecognized)),
            (EventKind::AvatarStatusUnrecognized, avatar(training)),
            (EventKind::AccountUnavailable, account),
            (EventKind::ConfigRejected, ConditionSubject::Config),
            (EventKind::ChannelFailing, channel.clone()),
            (EventKind::ChannelDisabled, channel),
        ]
    }

    fn event(&self, kind: EventKind, subject: Subject) -> Event {
        Event { id: self.id(), kind, occurred_at: self.at, subject }
    }

    fn id(&self) -> EventId {
        EventId::mint(self.at, RandomBits::new(7))
    }
}

const DETECTED_AT_MS: i64 = 1_795_432_522_123;
const STARTED_AFTER_MS: i64 = 1_795_432_480_500;
const STARTED_BEFORE_MS: i64 = 1_795_432_485_001;
const LAST_SEEN_AT_MS: i64 = 1_795_432_510_001;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_sample_of_every_kind() {
        let samples = all();
        let kinds = [EventKind::SELECTABLE.as_slice(), &EventKind::OPERATIONAL].concat();
        for kind in kinds.into_iter().chain([EventKind::TestPing]) {
            assert!(samples.iter().any(|event| event.kind == kind), "{kind} is not there");
        }
    }
}
