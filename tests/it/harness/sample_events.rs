//! Sample events, and the time of their delivery.

use std::time::Duration;
use std::time::SystemTime;

use avatar_watch::domain::account::AccountName;
use avatar_watch::domain::avatar::status::Status;
use avatar_watch::domain::avatar::training::{Training, TrainingStart};
use avatar_watch::domain::avatar::transition::{Previous, Transition};
use avatar_watch::domain::avatar::{Avatar, AvatarId};
use avatar_watch::domain::condition::{AvatarGroup, Condition, ConditionSubject, Phase};
use avatar_watch::domain::delivery::DeliveryId;
use avatar_watch::domain::delivery::channel_name::ChannelName;
use avatar_watch::domain::delivery::dead_letter::{DeadLetter, DeadLetterGroup};
use avatar_watch::domain::event::{Event, EventKind, Subject};
use avatar_watch::domain::id::EventId;
use avatar_watch::domain::random::RandomBits;
use avatar_watch::domain::time::timestamp::Timestamp;
use avatar_watch::notify::channel::Channel;
use avatar_watch::notify::message::{OutboundMessage, RenderedMessage};

/// The avatar that all events are about.
pub(crate) const AVATAR: &str = "3c90c3cc-0d44-4b50-8888-8dd25736052a";
/// 2026-11-23T11:15:22.123Z
pub(crate) const DETECTED_AT: Timestamp = Timestamp::from_millis(1_795_432_522_123);

/// The real time, for verifiers that check the clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
}

/// An avatar of that name went from `TRAINING` to that status, after three hours.
pub(crate) fn settled(name: Option<&str>, status: &str) -> Event {
    let status = Status::from_name(status);
    let id = AvatarId::parse(AVATAR).unwrap();
    let at = Timestamp::from_millis(DETECTED_AT.as_millis() - 12_122);
    let before = Timestamp::from_millis(DETECTED_AT.as_millis() - 3 * 3_600_000);
    let training = Training {
        model: Some("ARGIL_ATOM".to_owned()),
        start: TrainingStart { after: Some(before.minus(Duration::from_mins(1))), before },
        last_seen_at: at,
        ended_before: DETECTED_AT,
    };
    let transition = Transition {
        avatar_id: id.clone(),
        sequence: 42,
        previous: Previous::Observed { status: Status::Training, at },
        earlier: None,
        training: status.is_settled().then_some(training),
        status: status.clone(),
        detected_at: DETECTED_AT,
        upstream_updated_at: Some("2026-11-23T11:14:58Z".to_owned()),
    };
    let avatar = Avatar {
        name: name.map(str::to_owned),
        model: Some("ARGIL_ATOM".to_owned()),
        orientation: Some("ASPECT_RATIO_9_16".to_owned()),
        updated_at: Some("2026-11-23T11:14:58Z".to_owned()),
        ..Avatar::new(id, status)
    };
    Event {
        id: EventId::mint(DETECTED_AT, RandomBits::new(7)),
        kind: EventKind::of(&transition, true).unwrap(),
        occurred_at: DETECTED_AT,
        subject: Subject::Transition { avatar: Box::new(avatar), transition: Box::new(transition) },
    }
}

/// The beginning, or the end, of a condition that began half an hour before.
pub(crate) fn condition(
    kind: EventKind,
    phase: Phase,
    about: ConditionSubject,
    reason: Option<&str>,
) -> Event {
    let since = Timestamp::from_millis(DETECTED_AT.as_millis() - 1_800_000);
    let reason = reason.map(str::to_owned);
    Event {
        id: EventId::mint(DETECTED_AT, RandomBits::new(9)),
        kind,
        occurred_at: DETECTED_AT,
        subject: Subject::Condition(Box::new(Condition {
            phase,
            started_at: since,
            subject: about,
            reason,
        })),
    }
}

/// The avatar of all events, as a condition is about it.
pub(crate) fn about_avatar(name: Option<&str>, status: Option<&str>) -> ConditionSubject {
    ConditionSubject::Avatar {
        id: AvatarId::parse(AVATAR).unwrap(),
        name: name.map(str::to_owned),
        account: AccountName::default(),
        status: status.map(Status::from_name),
        group: AvatarGroup::default(),
    }
}

/// The failed delivery `dlv_0193` of an event about the avatar to the channel `ops`.
pub(crate) fn dead_letter() -> Event {
    let letter = DeadLetter {
        channel: ChannelName::parse("ops").unwrap(),
        delivery: DeliveryId::parse("dlv_0193").unwrap(),
        event: EventId::parse("evt_0193").unwrap(),
        kind: "avatar.ready".to_owned(),
        avatar_id: Some(AVATAR.to_owned()),
        avatar_name: Some("Jane, English".to_owned()),
        attempts: 10,
        reason: "no attempts left: `ops.example.com` answered 500".to_owned(),
    };
    Event {
        id: EventId::mint(DETECTED_AT, RandomBits::new(10)),
        kind: EventKind::DeliveryExhausted,
        occurred_at: DETECTED_AT,
        subject: Subject::DeadLetter(Box::new(DeadLetterGroup::from(letter))),
    }
}

/// A trial of the channel `ops`.
pub(crate) fn ping() -> Event {
    Event {
        id: EventId::mint(DETECTED_AT, RandomBits::new(8)),
        kind: EventKind::TestPing,
        occurred_at: DETECTED_AT,
        subject: Subject::Ping { channel: ChannelName::parse("ops").unwrap() },
    }
}

/// What a channel makes of an event, as it would come out of the outbox.
pub(crate) fn messages(channel: &Channel, event: &Event) -> Vec<OutboundMessage> {
    let drafts = channel.render(event, DETECTED_AT, RandomBits::new(99));
    let message = |draft: RenderedMessage| OutboundMessage {
        delivery_id: draft.id,
        event_id: event.id.clone(),
        recipient: draft.recipient,
        content_type: draft.content_type,
        body: draft.body,
    };
    drafts.into_iter().map(message).collect()
}
