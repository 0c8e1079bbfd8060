//! Texts about conditions, dead letters and tests, for mails and chats.

use crate::domain::account::AccountName;
use crate::domain::avatar::status::Status;
use crate::domain::condition::{Condition, ConditionSubject, OutageCause, Phase};
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::dead_letter::DeadLetter;
use crate::domain::delivery::recipient_health::masked;
use crate::domain::event::{Event, EventKind};
use crate::notify::content::{
    Content, ContentField, ContentSeverity, NAME_CHARS_MAX, display_name, format_time,
};
use crate::text::sanitize::sanitize_line;

/// The content of a condition that fires or is resolved.
pub(in crate::notify) fn condition(event: &Event, condition: &Condition) -> Content {
    let (short, title, advice) = condition_text(event.kind, condition);
    let (subject_name, mut fields) = subject_fields(&condition.subject);
    if let Some(reason) = &condition.reason {
        let value = sanitize_line(reason, REASON_CHARS_MAX);
        fields.push(ContentField { name: "Reason", value });
    }
    let (since, now) = (format_time(condition.started_at), format_time(event.occurred_at));
    let (window, severity) = match condition.phase {
        Phase::Firing => (format!("Since {since}; detected at {now}."), ContentSeverity::Bad),
        Phase::Resolved => (format!("Lasted from {since} to {now}."), ContentSeverity::Good),
    };
    Content {
        subject: format!("{subject_name}: {short}"),
        title: title.to_owned(),
        subject_name,
        fields,
        advice,
        window: vec![window],
        severity,
    }
}

/// The content of a delivery that failed for good.
pub(in crate::notify) fn dead_letter(event: &Event, letter: &DeadLetter) -> Content {
    let subject_name = channel_name(&letter.channel);
    let mut fields = vec![
        ContentField { name: "Delivery", value: letter.delivery.to_string() },
        ContentField { name: "Event", value: sanitize_line(&letter.kind, NAME_CHARS_MAX) },
    ];
    if let Some(id) = &letter.avatar_id {
        fields.push(ContentField { name: "Avatar id", value: sanitize_line(id, NAME_CHARS_MAX) });
    }
    fields.push(ContentField { name: "Attempts", value: letter.attempts.to_string() });
    fields.push(ContentField {
        name: "Reason",
        value: sanitize_line(&letter.reason, REASON_CHARS_MAX),
    });
    Content {
        subject: format!("{subject_name}: delivery failed for good"),
        title: "Delivery failed for good".to_owned(),
        subject_name,
        fields,
        advice: DEAD_LETTER,
        window: vec![format!("Moved to the dead letters at {}.", format_time(event.occurred_at))],
        severity: ContentSeverity::Bad,
    }
}

/// The content of a test message.
pub(in crate::notify) fn test(event: &Event, channel: &ChannelName) -> Content {
    Content {
        subject: format!("test of channel `{channel}`"),
        title: "Test: this channel works".to_owned(),
        subject_name: format!("Test of channel `{channel}`. No avatar has changed."),
        fields: Vec::new(),
        advice: NOTHING,
        window: vec![format!("Written at {}.", format_time(event.occurred_at))],
        severity: ContentSeverity::Neutral,
    }
}

/// The name of the subject, and its fields.
fn subject_fields(subject: &ConditionSubject) -> (String, Vec<ContentField>) {
    match subject {
        ConditionSubject::Avatar { id, name, account, status } => {
            let status = status.as_ref().map(Status::display);
            let status = status.map(|status| sanitize_line(&status, NAME_CHARS_MAX));
            let fields = vec![
                ContentField { name: "Avatar id", value: id.to_string() },
                ContentField { name: "Account", value: account.to_string() },
                ContentField {
                    name: "Last status",
                    value: status.unwrap_or_else(|| "none".to_owned()),
                },
            ];
            (display_name(id, name.as_deref()), fields)
        }
        ConditionSubject::Account { name, cause } => {
            let value = cause.name().replace('_', " ");
            (account_name(name), vec![ContentField { name: "Cause", value }])
        }
        ConditionSubject::Config => ("config".to_owned(), Vec::new()),
        ConditionSubject::Channel { name, recipient: None } => (channel_name(name), Vec::new()),
        ConditionSubject::Channel { name, recipient: Some(to) } => {
            let field = ContentField { name: "Recipient", value: masked(to) };
            (channel_name(name), vec![field])
        }
    }
}

fn channel_name(name: &ChannelName) -> String {
    format!("channel {name}")
}

fn account_name(name: &AccountName) -> String {
    format!("account {name}")
}

/// What goes on after the name of the subject, the title and the advice.
type ConditionText = (&'static str, &'static str, &'static str);

const fn condition_text(kind: EventKind, condition: &Condition) -> ConditionText {
    match condition.phase {
        Phase::Firing => firing_text(kind, &condition.subject),
        Phase::Resolved => resolved_text(kind, &condition.subject),
    }
}

const fn firing_text(kind: EventKind, subject: &ConditionSubject) -> ConditionText {
    match kind {
        EventKind::AvatarMissing => {
            ("missing", "Avatar missing: the API does not know its id", MISSING)
        }
        EventKind::AvatarUnreachable => {
            ("unreachable", "Avatar unreachable: polling it fails", UNREACHABLE)
        }
        EventKind::AvatarTrainingOverdue => {
            ("training overdue", "Training overdue: it takes longer than expected", OVERDUE)
        }
        EventKind::AvatarStatusUnrecognized => {
            ("unknown status", "Unknown status: this version does not know it", UNRECOGNIZED)
        }
        EventKind::AccountUnavailable => {
            let title = "Account unavailable: its avatars cannot be polled";
            ("unavailable", title, outage_advice(subject))
        }
        EventKind::ConfigRejected => ("rejected", "Config rejected: it has problems", REJECTED),
        EventKind::ChannelFailing if of_recipient(subject) => {
            let title = "Recipient failing: it accepts no messages";
            ("a recipient is failing", title, RECIPIENT_FAILING)
        }
        EventKind::ChannelFailing => {
            ("failing", "Channel failing: it accepts no messages", FAILING)
        }
        EventKind::ChannelDisabled => {
            ("disabled", "Channel disabled: its messages are on hold", DISABLED)
        }
        EventKind::AvatarReady
        | EventKind::AvatarTrainingFailed
        | EventKind::AvatarRefused
        | EventKind::AvatarStatusChanged
        | EventKind::DeliveryExhausted
        | EventKind::TestPing => no_condition_text(kind),
    }
}

const fn resolved_text(kind: EventKind, subject: &ConditionSubject) -> ConditionText {
    match kind {
        EventKind::AvatarMissing => ("found again", "Avatar found again", NOTHING),
        EventKind::AvatarUnreachable => ("reachable again", "Avatar reachable again", NOTHING),
        EventKind::AvatarTrainingOverdue => {
            ("no longer in training", "Overdue training ended", STATUS_SHOWN)
        }
        EventKind::AvatarStatusUnrecognized => {
            let title = "Unknown status left: the avatar has another status";
            ("no longer in an unknown status", title, STATUS_SHOWN)
        }
        EventKind::AccountUnavailable => {
            ("available again", "Account available again", ACCOUNT_RESTORED)
        }
        EventKind::ConfigRejected => ("accepted", "Config accepted: it is active", NOTHING),
        EventKind::ChannelFailing if of_recipient(subject) => {
            let title = "Recipient recovered: it accepts messages again";
            ("a recipient recovered", title, NOTHING)
        }
        EventKind::ChannelFailing => {
            ("recovered", "Channel recovered: it accepts messages again", NOTHING)
        }
        EventKind::ChannelDisabled => {
            ("enabled", "Channel enabled: its messages are sent again", ENABLED)
        }
        EventKind::AvatarReady
        | EventKind::AvatarTrainingFailed
        | EventKind::AvatarRefused
        | EventKind::AvatarStatusChanged
        | EventKind::DeliveryExhausted
        | EventKind::TestPing => no_condition_text(kind),
    }
}

/// No condition has such a kind; if one did, its name would be the text.
const fn no_condition_text(kind: EventKind) -> ConditionText {
    (kind.name(), kind.name(), NOTHING)
}

const fn outage_advice(subject: &ConditionSubject) -> &'static str {
    match subject {
        ConditionSubject::Account { cause, .. } => match cause {
            OutageCause::KeyRejected => KEY_REJECTED,
            OutageCause::Throttled => THROTTLED,
            OutageCause::Unreachable => API_UNREACHABLE,
            OutageCause::InvalidResponse => INVALID_RESPONSE,
            OutageCause::Local => LOCAL,
        },
        // Only an account is unavailable.
        ConditionSubject::Avatar { .. }
        | ConditionSubject::Config
        | ConditionSubject::Channel { .. } => NOTHING,
    }
}

const fn of_recipient(subject: &ConditionSubject) -> bool {
    matches!(subject, ConditionSubject::Channel { recipient: Some(_), .. })
}

const REASON_CHARS_MAX: usize = 400;
const NOTHING: &str = "What to do: nothing.";
const MISSING: &str = "What to do: check in Argil's own application whether the avatar was \
    deleted, and whether its id in the config is right. Polling continues at a long interval; \
    you are notified when the avatar is found.";
const UNREACHABLE: &str = "What to do: read the reason above. The API key works, since other \
    avatars of the account can be polled. A change of this avatar is reported after the next \
    successful poll.";
const OVERDUE: &str = "What to do: check the avatar in Argil's own application. If the training \
    hangs, contact Argil's support with the avatar id above. Polling continues, and you are \
    notified when the training ends. The limit is `overdue_after` in the config.";
const UNRECOGNIZED: &str = "What to do: check the avatar in Argil's own application, and whether \
    a newer version of avatar-watch knows this status. Polling continues; if a training was \
    observed before, its outcome is reported as usual.";
const STATUS_SHOWN: &str = "What to do: nothing. The present status is shown above.";
const KEY_REJECTED: &str = "What to do: check in Argil's own application whether the API key was \
    revoked or the subscription has ended. Put a valid key into the config and reload. Until \
    then, changes of these avatars go unnoticed; they are reported afterwards.";
const THROTTLED: &str = "What to do: if other programs use the same API key, reduce their \
    requests, or lower `max_requests_per_second` of the account. Until the API answers again, \
    changes of these avatars go unnoticed; they are reported afterwards.";
const API_UNREACHABLE: &str = "What to do: check the network, DNS, CA certificates and clock of \
    this machine. Until the API can be reached, changes of these avatars go unnoticed; they are \
    reported afterwards.";
const INVALID_RESPONSE: &str = "What to do: wait, since the API is most likely failing. If this \
    lasts, check `base_url` in the config. Until then, changes of these avatars go unnoticed; \
    they are reported afterwards.";
const LOCAL: &str = "What to do: give the daemon the resource that it lacks, such as more file \
    handles (`LimitNOFILE=` of the unit). Until then, changes of these avatars go unnoticed; \
    they are reported afterwards.";
const FAILING: &str = "What to do: read the reason above, check the receiver and the settings of \
    the channel, and test it with `avatar-watch test` and the channel's name. No message is \
    lost: pending deliveries are retried.";
const RECIPIENT_FAILING: &str = "What to do: read the reason above, which comes from the mail \
    server. Other recipients of the channel may still get their messages. No message is lost: \
    pending deliveries are retried. If the address no longer works, remove it from the config, \
    or run `avatar-watch deliveries cancel` with the ids of the pending deliveries.";
const DISABLED: &str = "What to do: read the reason above, fix it, and run `avatar-watch channels \
    enable` with the channel's name. A changed address in the config enables the channel, too. \
    No message is lost: pending deliveries are kept until then.";
const ENABLED: &str = "What to do: nothing. Pending deliveries are sent now, oldest first.";
const DEAD_LETTER: &str = "What to do: read the reason above and fix it, then run `avatar-watch \
    deliveries retry` with the delivery's id. The message is sent again with the same event id.";
const ACCOUNT_RESTORED: &str =
    "What to do: nothing. Changes in the meantime are reported with the next polls.";
const REJECTED: &str = "What to do: run `avatar-watch check`, fix the problems that it prints, \
    and reload. Until then, the previous config stays active as a whole.";
