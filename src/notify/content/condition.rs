//! What a mail says about a condition, and about a trial.

use crate::domain::account::AccountName;
use crate::domain::avatar::status::Status;
use crate::domain::condition::{Condition, ConditionSubject, OutageCause, Phase};
use crate::domain::delivery::channel::ChannelName;
use crate::domain::delivery::dead_letter::DeadLetter;
use crate::domain::delivery::recipient_health::masked;
use crate::domain::event::{Event, EventKind};
use crate::notify::content::{
    BAD, Content, ContentField, GOOD, NAME_CHARS_MAX, NEUTRAL, display_name, format_time,
};
use crate::text::sanitize::sanitize_line;

/// The letter about the beginning or the end of a condition.
pub(in crate::notify) fn condition(event: &Event, condition: &Condition) -> Content {
    let words = words(event.kind, condition);
    let (about, mut facts) = facts(&condition.subject);
    if let Some(reason) = &condition.reason {
        facts.push(ContentField { name: "Reason", value: sanitize_line(reason, REASON_CHARS_MAX) });
    }
    let (since, now) = (format_time(condition.started_at), format_time(event.occurred_at));
    let (window, color) = match condition.phase {
        Phase::Started => (format!("It has been so since {since}, and was told at {now}."), BAD),
        Phase::Resolved => (format!("It was so from {since} to {now}."), GOOD),
    };
    Content {
        subject: format!("{about}: {}", words.word),
        headline: words.headline.to_owned(),
        subject_name: about,
        fields: facts,
        meaning: words.meaning.to_owned(),
        window: vec![window],
        status: String::new(),
        color,
        event: event.id.clone(),
    }
}

/// The letter about a delivery that was given up.
pub(in crate::notify) fn dead_letter(event: &Event, letter: &DeadLetter) -> Content {
    let about = channel_name(&letter.channel);
    let mut facts = vec![
        ContentField { name: "Delivery", value: letter.delivery.to_string() },
        ContentField { name: "What it told", value: sanitize_line(&letter.kind, NAME_CHARS_MAX) },
    ];
    if let Some(id) = &letter.avatar_id {
        facts.push(ContentField { name: "Avatar id", value: sanitize_line(id, NAME_CHARS_MAX) });
    }
    facts.push(ContentField { name: "Tries", value: letter.attempts.to_string() });
    facts.push(ContentField {
        name: "Reason",
        value: sanitize_line(&letter.reason, REASON_CHARS_MAX),
    });
    Content {
        subject: format!("{about}: a message was given up"),
        headline: "Given up: a message did not reach its channel".to_owned(),
        subject_name: about,
        fields: facts,
        meaning: DEAD_LETTER.to_owned(),
        window: vec![format!("It was given up at {}.", format_time(event.occurred_at))],
        status: String::new(),
        color: BAD,
        event: event.id.clone(),
    }
}

/// The letter that tries a channel.
pub(in crate::notify) fn test(event: &Event, channel: &ChannelName) -> Content {
    Content {
        subject: format!("test of `{channel}`"),
        headline: "This channel works".to_owned(),
        subject_name: format!("A test of the channel `{channel}`. No avatar has changed."),
        fields: Vec::new(),
        meaning: "There is nothing to do.".to_owned(),
        window: vec![format!("Written at {}.", format_time(event.occurred_at))],
        status: String::new(),
        color: NEUTRAL,
        event: event.id.clone(),
    }
}

/// Whose it is, and what else is known of that.
fn facts(about: &ConditionSubject) -> (String, Vec<ContentField>) {
    match about {
        ConditionSubject::Avatar { id, name, account, status } => {
            let mut facts = vec![
                ContentField { name: "Avatar id", value: id.to_string() },
                ContentField { name: "Account", value: account.to_string() },
            ];
            let seen = status.as_ref().map(Status::display);
            let seen = seen.map(|status| sanitize_line(&status, NAME_CHARS_MAX));
            let value = seen.unwrap_or_else(|| "never".to_owned());
            facts.push(ContentField { name: "Last seen as", value });
            (display_name(id, name.as_deref()), facts)
        }
        ConditionSubject::Account { name, cause } => {
            let value = cause.name().replace('_', " ");
            (account_name(name), vec![ContentField { name: "Cause", value }])
        }
        ConditionSubject::Config => ("config".to_owned(), Vec::new()),
        ConditionSubject::Channel { name, recipient: None } => (channel_name(name), Vec::new()),
        ConditionSubject::Channel { name, recipient: Some(to) } => {
            let fact = ContentField { name: "Recipient", value: masked(to) };
            (channel_name(name), vec![fact])
        }
    }
}

fn channel_name(name: &ChannelName) -> String {
    format!("channel {name}")
}

fn account_name(name: &AccountName) -> String {
    format!("account {name}")
}

/// How the beginning or the end of a condition is told.
struct ConditionText {
    word: &'static str,
    headline: &'static str,
    meaning: &'static str,
}

const fn words(kind: EventKind, condition: &Condition) -> ConditionText {
    let (word, headline, meaning) = match (kind, condition.phase) {
        (EventKind::AvatarMissing, Phase::Started) => {
            ("missing", "Missing: Argil knows no such avatar", MISSING)
        }
        (EventKind::AvatarMissing, Phase::Resolved) => {
            ("found again", "Found again: Argil knows the avatar", NOTHING)
        }
        (EventKind::AvatarUnreachable, Phase::Started) => {
            ("out of sight", "Out of sight: this avatar cannot be looked at", UNSEEN)
        }
        (EventKind::AvatarUnreachable, Phase::Resolved) => {
            ("in sight again", "In sight again: this avatar can be looked at", NOTHING)
        }
        (EventKind::AvatarTrainingOverdue, Phase::Started) => {
            ("training overdue", "Overdue: the training takes longer than it should", OVERDUE)
        }
        (EventKind::AvatarTrainingOverdue, Phase::Resolved) => {
            ("no longer in training", "Ended: the overdue training is over", OVERDUE_ENDED)
        }
        (EventKind::AvatarStatusUnrecognized, Phase::Started) => (
            "unknown status",
            "Unknown status: Argil shows one that this version does not know",
            UNRECOGNIZED,
        ),
        (EventKind::AvatarStatusUnrecognized, Phase::Resolved) => {
            ("another status", "Over: the avatar has another status now", UNRECOGNIZED_ENDED)
        }
        (EventKind::AccountUnavailable, Phase::Started) => {
            let meaning = match &condition.subject {
                ConditionSubject::Account { cause, .. } => account_unavailable(*cause),
                ConditionSubject::Avatar { .. }
                | ConditionSubject::Config
                | ConditionSubject::Channel { .. } => BLIND,
            };
            ("blind", "Blind: no avatar of this account can be looked at", meaning)
        }
        (EventKind::AccountUnavailable, Phase::Resolved) => (
            "sees again",
            "Sees again: the avatars of this account are looked at",
            ACCOUNT_RESTORED,
        ),
        (EventKind::ConfigRejected, Phase::Started) => {
            ("not taken", "Not taken: the changed config has problems", REJECTED)
        }
        (EventKind::ConfigRejected, Phase::Resolved) => {
            ("taken", "Taken: the config is good again and in force", NOTHING)
        }
        (EventKind::ChannelFailing, Phase::Started) if of_recipient(&condition.subject) => {
            let headline = "Failing: a recipient of this channel gets nothing";
            ("a recipient gets nothing", headline, FAILING_FOR_ONE)
        }
        (EventKind::ChannelFailing, Phase::Resolved) if of_recipient(&condition.subject) => {
            let headline = "Works again: the recipient of this channel gets its messages";
            ("the recipient is reached again", headline, NOTHING)
        }
        (EventKind::ChannelFailing, Phase::Started) => {
            ("failing", "Failing: the channel does not take what it is sent", FAILING)
        }
        (EventKind::ChannelFailing, Phase::Resolved) => {
            ("works again", "Works again: the channel takes what it is sent", NOTHING)
        }
        (EventKind::ChannelDisabled, Phase::Started) => {
            ("disabled", "Disabled: nothing is sent to the channel any more", DISABLED)
        }
        (EventKind::ChannelDisabled, Phase::Resolved) => {
            ("enabled", "Enabled: the channel is told again", ENABLED)
        }
        // No condition is of these kinds; were one, it would be told under its name.
        (
            EventKind::AvatarReady
            | EventKind::AvatarTrainingFailed
            | EventKind::AvatarRefused
            | EventKind::AvatarStatusChanged
            | EventKind::DeliveryExhausted
            | EventKind::TestPing,
            _,
        ) => (kind.name(), kind.name(), NOTHING),
    };
    ConditionText { word, headline, meaning }
}

const fn of_recipient(about: &ConditionSubject) -> bool {
    matches!(about, ConditionSubject::Channel { recipient: Some(_), .. })
}

const fn account_unavailable(cause: OutageCause) -> &'static str {
    match cause {
        OutageCause::KeyRejected => BLIND_KEY,
        OutageCause::Throttled => BLIND_THROTTLED,
        OutageCause::Unreachable => BLIND_UNREACHABLE,
        OutageCause::InvalidResponse => BLIND_UNUSABLE,
        OutageCause::Local => BLIND_LOCAL,
    }
}

const REASON_CHARS_MAX: usize = 400;
const NOTHING: &str = "What to do: nothing.";
const MISSING: &str = "What to do: see in Argil's own application whether the avatar was deleted, \
    and in the config whether its id is right. It is looked for on, from time to time, and you \
    will be told when it is found.";
const UNSEEN: &str = "What to do: read the reason above. Other avatars of the account can be \
    seen, so the key works. Until this one can be seen again, its changes go unnoticed; they \
    will be told then.";
const OVERDUE: &str = "What to do: look at the avatar in Argil's own application; if it hangs, \
    ask Argil's support with the avatar id above. It is watched on, and you will be told when \
    the training ends. The limit is `overdue_after` in the config.";
const UNRECOGNIZED: &str = "What to do: look at the avatar in Argil's own application, and see \
    whether a newer version of avatar-watch knows the status. Nothing is concluded from it: the \
    avatar is polled on, and if a training was seen before, its outcome is told as ever.";
const UNRECOGNIZED_ENDED: &str = "What to do: nothing; the status that it has now stands above.";
const OVERDUE_ENDED: &str = "What to do: nothing; what became of it stands above.";
const BLIND: &str = "What to do: read the reason above. Until it is mended, no change of these \
    avatars is noticed.";
const BLIND_KEY: &str = "What to do: see in Argil's own application whether the key was revoked \
    or the plan has lapsed; put a good key in its place and reload. Until then no change of \
    these avatars is noticed; it will be told afterwards.";
const BLIND_THROTTLED: &str = "What to do: if other programs use the same key, let them ask less; \
    or lower `max_requests_per_second` of the account. Until Argil answers again, no change of \
    these avatars is noticed; it will be told afterwards.";
const BLIND_UNREACHABLE: &str = "What to do: see whether this machine has a network, resolves \
    names, trusts the certificate and has the right time. Until the API can be reached, no change \
    of these avatars is noticed; it will be told afterwards.";
const BLIND_UNUSABLE: &str = "What to do: most likely wait, since the API is in trouble; if it \
    lasts, see whether `base_url` in the config is right. Until then no change of these avatars \
    is noticed; it will be told afterwards.";
const BLIND_LOCAL: &str = "What to do: give the daemon what it lacks, such as more file handles \
    (`LimitNOFILE=` of the unit). Until then no change of these avatars is noticed; it will be \
    told afterwards.";
const FAILING: &str = "What to do: read the reason above, and see whether the receiver is well and \
    the channel's settings are right; `avatar-watch test` with the channel's name tries it. \
    Nothing is lost: what it should have been told waits and is tried again.";
const FAILING_FOR_ONE: &str = "What to do: read the reason above, which is what the other side \
    says. Others of this channel may get theirs. Nothing is lost: what this recipient should have \
    been told waits and is tried again; if it never will be taken, take the recipient out of the \
    config, or run `avatar-watch deliveries cancel` with the ids that wait.";
const DISABLED: &str = "What to do: read the reason above, mend it, and run `avatar-watch channels \
    enable` with the channel's name; a changed address enables it by itself. Nothing is lost: \
    what it should have been told waits until then.";
const ENABLED: &str = "What to do: nothing; what waited is sent now, oldest first.";
const DEAD_LETTER: &str = "What to do: read the reason above and mend it, then run `avatar-watch \
    deliveries retry` with the delivery's id. It is sent again under the same event id.";
const ACCOUNT_RESTORED: &str =
    "What to do: nothing; what changed meanwhile is told with the next looks.";
const REJECTED: &str = "What to do: run `avatar-watch check`, mend what it names, and reload. \
    Until then the config from before stays in force, whole.";
