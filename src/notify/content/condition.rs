//! Texts about conditions, dead letters and tests, for mails and chats.

use crate::domain::avatar::status::Status;
use crate::domain::condition::{Condition, ConditionSubject, Phase};
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::dead_letter::{DeadLetter, DeadLetterGroup};
use crate::domain::delivery::recipient_health::masked;
use crate::domain::event::{Event, EventKind};
use crate::domain::help::HelpTopic;
use crate::domain::time::time_zone::TimeZone;
use crate::notify::content::{
    Content, ContentField, ContentSeverity, NAME_CHARS_MAX, display_name, named_avatar,
};
use crate::text::capitalize::capitalized;
use crate::text::sanitize::sanitize_line;

/// The content of a condition that fires or is resolved.
pub(in crate::notify) fn condition(
    event: &Event,
    condition: &Condition,
    zone: &TimeZone,
) -> Content {
    let is_recipient = of_recipient(&condition.subject);
    let is_group = is_group(&condition.subject);
    let text = condition_text(event.kind, is_recipient);
    let (subject_name, mut fields) = subject_fields(condition);
    if let Some(reason) = &condition.reason {
        let value = sanitize_line(reason, REASON_CHARS_MAX);
        fields.push(ContentField::new("Reason", value));
    }
    let (started_at, now) = (condition.started_at, event.occurred_at);
    let who = match &condition.subject {
        ConditionSubject::Avatar { .. } if is_group => format!("{subject_name}:"),
        ConditionSubject::Avatar { id, name, .. } => named_avatar(id, name.as_deref()),
        ConditionSubject::Config => "The config".to_owned(),
        ConditionSubject::Account { .. } | ConditionSubject::Channel { .. } => {
            capitalized(&subject_name)
        }
    };
    let shared = |short: &str, clause: &str, detail: String| Content {
        subject: format!("{subject_name}: {short}"),
        title: format!("{who} {}", if is_group { short } else { clause }),
        subject_name: subject_name.clone(),
        detail,
        fields,
        advice: String::new(),
        window: Vec::new(),
        severity: ContentSeverity::Bad,
        link: None,
    };
    match condition.phase {
        Phase::Firing | Phase::Reminder => {
            let cause = match &condition.subject {
                ConditionSubject::Account { cause, .. } => Some(*cause),
                ConditionSubject::Avatar { .. }
                | ConditionSubject::Config
                | ConditionSubject::Channel { .. } => None,
            };
            let channel = condition.subject.channel().map_or("", |name| name.as_str());
            let help = HelpTopic::of_condition(event.kind, cause, channel, is_recipient);
            let detail = match cause {
                Some(cause) => format!("{}.", capitalized(cause.sentence())),
                None if is_group => group_detail(event.kind, condition.phase).to_owned(),
                None => text.detail.to_owned(),
            };
            let is_reminder = condition.phase == Phase::Reminder;
            let (since, now) = (zone.show(started_at), zone.show(now));
            let detected = match since == now {
                true => String::new(),
                false if is_reminder => format!("; a reminder of {now}"),
                false => format!("; detected at {now}"),
            };
            // An outage may begin with another cause than the one that it has now.
            let begin = if cause.is_some() { "No poll has succeeded since" } else { "Since" };
            let content = Content {
                advice: help.map(|help| advice(&help.sentence())).unwrap_or_default(),
                window: vec![format!("{begin} {since}{detected}.")],
                ..shared(text.short, text.clause, detail)
            };
            match is_reminder {
                true => Content {
                    subject: format!("{subject_name}: still {}", text.short),
                    title: format!("Reminder: {}", content.title),
                    ..content
                },
                false => content,
            }
        }
        Phase::Resolved => {
            let span = zone.show_span(started_at, now);
            let (past, detail) = match is_group {
                true => ("It lasted", group_detail(event.kind, condition.phase)),
                false => (text.past, text.resolved),
            };
            let after = if is_group { NOTHING } else { text.after };
            Content {
                advice: advice(after),
                window: vec![format!("{past} from {span}.")],
                severity: ContentSeverity::Good,
                ..shared(text.short_resolved, text.clause_resolved, detail.to_owned())
            }
        }
    }
}

/// The content of deliveries that failed for good.
pub(in crate::notify) fn dead_letters(
    event: &Event,
    letters: &DeadLetterGroup,
    zone: &TimeZone,
) -> Content {
    let (letter, count) = (&letters.first, letters.count());
    let channel = letter.channel.as_str();
    let subject_name = channel_name(&letter.channel);
    let (what, detail, help) = match count {
        1 => (
            "message failed for good".to_owned(),
            "It is kept as a dead letter and can be sent again.",
            HelpTopic::DeadLetter(letter.delivery.as_str()),
        ),
        _ => (
            format!("{count} messages failed for good"),
            "They are kept as dead letters and can be sent again.",
            HelpTopic::DeadLetters(channel),
        ),
    };
    let title = match count {
        1 => format!("A message to {subject_name} failed for good"),
        _ => format!("{count} messages to {subject_name} failed for good"),
    };
    let mut fields = match count {
        1 => vec![ContentField::new("Message", message(letter))],
        _ => vec![ContentField::list("Messages", letters.listed().map(message).collect(), count)],
    };
    let name = if count == 1 { "Reason" } else { "First reason" };
    fields.push(ContentField::new(name, sanitize_line(&letter.reason, REASON_CHARS_MAX)));
    if count == 1 {
        fields.push(ContentField::new("Attempts", letter.attempts.to_string()));
        fields.push(ContentField::new("Delivery", letter.delivery.to_string()));
    }
    let first = if count == 1 { "Moved" } else { "The first was moved" };
    let moved_at = zone.show(event.occurred_at);
    Content {
        subject: format!("{subject_name}: {what}"),
        title,
        subject_name,
        detail: detail.to_owned(),
        fields,
        advice: advice(&help.sentence()),
        window: vec![format!("{first} to the dead letters at {moved_at}.")],
        severity: ContentSeverity::Bad,
        link: None,
    }
}

/// What a message is about, in a line.
fn message(letter: &DeadLetter) -> String {
    let kind = sanitize_line(&letter.kind, NAME_CHARS_MAX);
    let Some(id) = &letter.avatar_id else { return kind };
    let id = sanitize_line(id, NAME_CHARS_MAX);
    match &letter.avatar_name {
        Some(name) => format!("{kind}, about {} ({id})", sanitize_line(name, NAME_CHARS_MAX)),
        None => format!("{kind}, about avatar {id}"),
    }
}

/// The content of a test message.
pub(in crate::notify) fn test(event: &Event, channel: &ChannelName, zone: &TimeZone) -> Content {
    Content {
        subject: format!("test of channel {channel}"),
        title: format!("Test: channel {channel} works"),
        subject_name: channel_name(channel),
        detail: "This is a test; no avatar has changed.".to_owned(),
        fields: Vec::new(),
        advice: advice(NOTHING),
        window: vec![format!("Written at {}.", zone.show(event.occurred_at))],
        severity: ContentSeverity::Neutral,
        link: None,
    }
}

fn advice(help: &str) -> String {
    format!("What to do: {help}")
}

/// The name of the subject, and its fields.
fn subject_fields(condition: &Condition) -> (String, Vec<ContentField>) {
    match &condition.subject {
        ConditionSubject::Avatar { account, group, .. } if group.other_count > 0 => {
            let count = group.other_count + 1;
            let listed = condition.listed().map(|(id, name, ..)| match name {
                Some(_) => format!("{} ({id})", display_name(id, name)),
                None => id.to_string(),
            });
            let fields = vec![ContentField::list("Avatars", listed.collect(), count)];
            (format!("{count} avatars of account {account}"), fields)
        }
        ConditionSubject::Avatar { id, name, account, status, .. } => {
            let status = status.as_ref().map(Status::display);
            let status = status.map(|status| sanitize_line(&status, NAME_CHARS_MAX));
            let fields = vec![
                ContentField::new("Avatar id", id.to_string()),
                ContentField::new("Account", account.to_string()),
                ContentField::new("Last status", status.unwrap_or_else(|| "none".to_owned())),
            ];
            (display_name(id, name.as_deref()), fields)
        }
        ConditionSubject::Account { name, .. } => (format!("account {name}"), Vec::new()),
        ConditionSubject::Config => ("config".to_owned(), Vec::new()),
        ConditionSubject::Channel { name, recipient: None } => (channel_name(name), Vec::new()),
        ConditionSubject::Channel { name, recipient: Some(to) } => {
            let field = ContentField::new("Recipient", masked(to));
            (channel_name(name), vec![field])
        }
    }
}

fn channel_name(name: &ChannelName) -> String {
    format!("channel {name}")
}

/// What a condition of several avatars, or its end, means.
const fn group_detail(kind: EventKind, phase: Phase) -> &'static str {
    let is_resolved = matches!(phase, Phase::Resolved);
    match kind {
        EventKind::AvatarMissing if is_resolved => "The API shows the avatars again.",
        EventKind::AvatarMissing => "The API does not know their ids.",
        EventKind::AvatarUnreachable if is_resolved => "Polls of the avatars succeed again.",
        EventKind::AvatarUnreachable => "Polls of the avatars fail.",
        EventKind::AvatarTrainingOverdue if is_resolved => "The overdue trainings ended.",
        EventKind::AvatarTrainingOverdue => "The trainings may hang.",
        EventKind::AvatarStatusUnrecognized if is_resolved => "The avatars have other statuses.",
        EventKind::AvatarStatusUnrecognized => {
            "This version of avatar-watch does not know the statuses."
        }
        EventKind::AvatarReady
        | EventKind::AvatarTrainingFailed
        | EventKind::AvatarRefused
        | EventKind::AvatarStatusChanged
        | EventKind::AccountUnavailable
        | EventKind::ConfigRejected
        | EventKind::ChannelFailing
        | EventKind::ChannelDisabled
        | EventKind::DeliveryExhausted
        | EventKind::TestPing => "",
    }
}

/// The texts of a condition.
struct ConditionText {
    /// What goes on after the name and a colon, in a subject line.
    short: &'static str,
    /// What goes on after the name, in a sentence.
    clause: &'static str,
    /// What it means; for an account, its cause says more.
    detail: &'static str,
    /// As `short`, of the end.
    short_resolved: &'static str,
    /// As `clause`, of the end.
    clause_resolved: &'static str,
    /// What the end means.
    resolved: &'static str,
    /// What to do after the end.
    after: &'static str,
    /// What was the case, before `from … to …`.
    past: &'static str,
}

const fn condition_text(kind: EventKind, is_recipient: bool) -> ConditionText {
    match kind {
        EventKind::AvatarMissing => ConditionText {
            short: "missing",
            clause: "is missing",
            detail: "The API does not know the avatar's id.",
            short_resolved: "found again",
            clause_resolved: "was found again",
            resolved: "The API shows the avatar again.",
            after: NOTHING,
            past: "It was missing",
        },
        EventKind::AvatarUnreachable => ConditionText {
            short: "cannot be checked",
            clause: "cannot be checked",
            detail: "Polls of the avatar fail.",
            short_resolved: "can be checked again",
            clause_resolved: "can be checked again",
            resolved: "Polls of the avatar succeed again.",
            after: NOTHING,
            past: "Polls failed",
        },
        EventKind::AvatarTrainingOverdue => ConditionText {
            short: "training overdue",
            clause: "is in training for longer than expected",
            detail: "The training may hang.",
            short_resolved: "no longer in training",
            clause_resolved: "is no longer in training",
            resolved: "The overdue training ended.",
            after: STATUS_SHOWN,
            past: "It was in training",
        },
        EventKind::AvatarStatusUnrecognized => ConditionText {
            short: "unknown status",
            clause: "has an unknown status",
            detail: "This version of avatar-watch does not know the status.",
            short_resolved: "left the unknown status",
            clause_resolved: "has left the unknown status",
            resolved: "The avatar has another status now.",
            after: STATUS_SHOWN,
            past: "It had the unknown status",
        },
        EventKind::AccountUnavailable => ConditionText {
            short: "cannot be checked",
            clause: "cannot be checked",
            detail: "No avatar of the account can be polled.",
            short_resolved: "can be checked again",
            clause_resolved: "can be checked again",
            resolved: "Its avatars are polled again.",
            after: "nothing. Changes in the meantime are reported with the next polls.",
            past: "Polls failed",
        },
        EventKind::ConfigRejected => ConditionText {
            short: "rejected",
            clause: "was rejected",
            detail: "It has problems. The previous config stays active.",
            short_resolved: "accepted",
            clause_resolved: "was accepted",
            resolved: "The config file is active.",
            after: NOTHING,
            past: "It was rejected",
        },
        EventKind::ChannelFailing if is_recipient => ConditionText {
            short: "a recipient is failing",
            clause: "fails for a recipient",
            detail: "No message to this recipient is accepted.",
            short_resolved: "a recipient works again",
            clause_resolved: "works again for a recipient",
            resolved: "Messages to this recipient are accepted again.",
            after: NOTHING,
            past: "It failed",
        },
        EventKind::ChannelFailing => ConditionText {
            short: "failing",
            clause: "is failing",
            detail: "The receiver accepts no messages.",
            short_resolved: "works again",
            clause_resolved: "works again",
            resolved: "The receiver accepts messages again.",
            after: PENDING_SENT,
            past: "It failed",
        },
        EventKind::ChannelDisabled => ConditionText {
            short: "disabled",
            clause: "is disabled",
            detail: "Its messages are kept and not sent.",
            short_resolved: "enabled",
            clause_resolved: "is enabled",
            resolved: "Its messages are sent again.",
            after: PENDING_SENT,
            past: "It was disabled",
        },
        EventKind::AvatarReady
        | EventKind::AvatarTrainingFailed
        | EventKind::AvatarRefused
        | EventKind::AvatarStatusChanged
        | EventKind::DeliveryExhausted
        | EventKind::TestPing => {
            // No condition has such a kind; if one did, its name would be the text.
            let name = kind.name();
            ConditionText {
                short: name,
                clause: name,
                detail: "",
                short_resolved: name,
                clause_resolved: name,
                resolved: "",
                after: NOTHING,
                past: "It was so",
            }
        }
    }
}

const fn of_recipient(subject: &ConditionSubject) -> bool {
    matches!(subject, ConditionSubject::Channel { recipient: Some(_), .. })
}

fn is_group(subject: &ConditionSubject) -> bool {
    matches!(subject, ConditionSubject::Avatar { group, .. } if group.other_count > 0)
}

const REASON_CHARS_MAX: usize = 400;
const NOTHING: &str = "nothing.";
const STATUS_SHOWN: &str = "nothing. The present status is shown above.";
const PENDING_SENT: &str = "nothing. Pending deliveries are sent now, oldest first.";
