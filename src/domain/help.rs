//! What to do about a problem: the only source of these sentences, for mails, chats, the page, the
//! API and `status`.
//!
//! A sentence goes on after "What to do: " or "help: ", so it begins in lower case. It names
//! commands with the names that they need, and can contain no other text from outside.

use crate::domain::condition::OutageCause;
use crate::domain::event::EventKind;

/// A problem that an operator can do something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HelpTopic<'a> {
    DaemonStopped,
    DaemonStalled,
    /// It cannot write its database.
    DatabaseUnwritable,
    /// It is not ready for another reason.
    DaemonNotReady,
    AvatarMissing,
    /// Polls of one avatar fail, and others of its account succeed.
    AvatarUnreachable,
    TrainingOverdue,
    StatusUnrecognized,
    /// Polls fail, and no condition is firing yet.
    PollFailing,
    /// The API does not know an avatar, and no condition is firing yet.
    PollMissing,
    /// The API denies a poll, and no condition is firing yet.
    PollDenied,
    AccountUnavailable(OutageCause),
    /// The config file has problems.
    ConfigRejected,
    ConfigUnreadable,
    /// The config file was changed and not reloaded.
    ConfigNotReloaded,
    NoAvatars,
    NoChannels,
    /// Avatars reach no channel.
    AvatarsUnreached,
    ChannelFailing(&'a str),
    /// One recipient of a mail channel fails.
    RecipientFailing,
    ChannelDisabled(&'a str),
    ChannelPaused(&'a str),
    /// A paused channel that resumes at a time.
    ChannelPausedUntil(&'a str),
    /// A channel that is not in the config has messages.
    ChannelRemoved(&'a str),
    /// Messages for a channel wait too long.
    MessagesLate(&'a str),
    /// One dead letter, by the id of its delivery.
    DeadLetter(&'a str),
    /// All dead letters of a channel.
    DeadLetters(&'a str),
}

impl<'a> HelpTopic<'a> {
    /// The topic of a firing condition, with the cause of an outage and the name of the channel;
    /// `None` for a kind that is no condition.
    pub(crate) const fn of_condition(
        kind: EventKind,
        cause: Option<OutageCause>,
        channel: &'a str,
        is_recipient: bool,
    ) -> Option<Self> {
        Some(match kind {
            EventKind::AvatarMissing => Self::AvatarMissing,
            EventKind::AvatarUnreachable => Self::AvatarUnreachable,
            EventKind::AvatarTrainingOverdue => Self::TrainingOverdue,
            EventKind::AvatarStatusUnrecognized => Self::StatusUnrecognized,
            EventKind::AccountUnavailable => match cause {
                Some(cause) => Self::AccountUnavailable(cause),
                None => Self::AccountUnavailable(OutageCause::InvalidResponse),
            },
            EventKind::ConfigRejected => Self::ConfigRejected,
            EventKind::ChannelFailing if is_recipient => Self::RecipientFailing,
            EventKind::ChannelFailing => Self::ChannelFailing(channel),
            EventKind::ChannelDisabled => Self::ChannelDisabled(channel),
            EventKind::AvatarReady
            | EventKind::AvatarTrainingFailed
            | EventKind::AvatarRefused
            | EventKind::AvatarStatusChanged
            | EventKind::DeliveryExhausted
            | EventKind::TestPing => return None,
        })
    }

    /// What to do: one or more sentences, the first in lower case.
    pub(crate) fn sentence(self) -> String {
        match self {
            Self::DaemonStopped => DAEMON_STOPPED.to_owned(),
            Self::DaemonStalled => DAEMON_STALLED.to_owned(),
            Self::DatabaseUnwritable => DATABASE_UNWRITABLE.to_owned(),
            Self::DaemonNotReady => DAEMON_NOT_READY.to_owned(),
            Self::AvatarMissing => format!("{CHECK_ID} {MISSING_FIRING}"),
            Self::AvatarUnreachable => AVATAR_UNREACHABLE.to_owned(),
            Self::TrainingOverdue => TRAINING_OVERDUE.to_owned(),
            Self::StatusUnrecognized => STATUS_UNRECOGNIZED.to_owned(),
            Self::PollFailing => POLL_FAILING.to_owned(),
            Self::PollMissing => format!("{CHECK_ID} {MISSING_NOT_YET_FIRING}"),
            Self::PollDenied => POLL_DENIED.to_owned(),
            Self::AccountUnavailable(cause) => format!("{} {UNNOTICED}", outage(cause)),
            Self::ConfigRejected => CONFIG_REJECTED.to_owned(),
            Self::ConfigUnreadable => CONFIG_UNREADABLE.to_owned(),
            Self::ConfigNotReloaded => CONFIG_NOT_RELOADED.to_owned(),
            Self::NoAvatars => NO_AVATARS.to_owned(),
            Self::NoChannels => NO_CHANNELS.to_owned(),
            Self::AvatarsUnreached => AVATARS_UNREACHED.to_owned(),
            Self::ChannelFailing(name) => format!(
                "read the reason, check the receiver and the settings of the channel, and test it \
                 with `avatar-watch test {name}`. {KEPT}"
            ),
            Self::RecipientFailing => RECIPIENT_FAILING.to_owned(),
            Self::ChannelDisabled(name) => format!(
                "fix the reason, then run `avatar-watch channels enable {name}`. A changed address \
                 in the config enables the channel, too. No message is lost: pending deliveries \
                 are kept until then."
            ),
            Self::ChannelPaused(name) => format!(
                "run `avatar-watch channels resume {name}` to send its messages now. They are kept \
                 until then."
            ),
            Self::ChannelPausedUntil(name) => format!(
                "it ends by itself; run `avatar-watch channels resume {name}` to send its messages \
                 now. They are kept until then."
            ),
            Self::ChannelRemoved(name) => format!(
                "put the channel back into the config and reload, or cancel its messages: \
                 `avatar-watch deliveries --channel {name}` lists them, and `avatar-watch \
                 deliveries cancel` ends one."
            ),
            Self::MessagesLate(name) => format!(
                "see with `avatar-watch deliveries --channel {name}` what the attempts returned, \
                 and check the receiver. {KEPT}"
            ),
            Self::DeadLetter(id) => format!(
                "fix the reason, then run `avatar-watch deliveries retry {id}`. The message is \
                 sent again with the same event id."
            ),
            Self::DeadLetters(name) => format!(
                "`avatar-watch deliveries --state dead --channel {name}` shows the reasons. Fix \
                 them, then send all again with `avatar-watch deliveries retry --dead --channel \
                 {name}`, or discard one with `avatar-watch deliveries cancel` and its id."
            ),
        }
    }
}

const fn outage(cause: OutageCause) -> &'static str {
    match cause {
        OutageCause::KeyRejected => KEY_REJECTED,
        OutageCause::Throttled => THROTTLED,
        OutageCause::Unreachable => API_UNREACHABLE,
        OutageCause::InvalidResponse => INVALID_RESPONSE,
        OutageCause::Local => LOCAL,
    }
}

const DAEMON_STOPPED: &str = "start it, for example with `systemctl start avatar-watch`; its log \
    says why it ended. Until then no avatar is polled and no message is sent.";
const DAEMON_STALLED: &str = "read the log of the daemon, and restart it if this lasts. A restart \
    loses nothing that was recorded.";
const DATABASE_UNWRITABLE: &str = "free space on the disk of the database (`df -h` and `df -i` \
    show it), or fix what the log of the daemon names. Do not restart the daemon: it writes what \
    it has kept as soon as it can.";
const DAEMON_NOT_READY: &str = "read the log of the daemon, and restart it if this lasts.";
const CHECK_ID: &str = "check in Argil's own application whether the avatar was deleted, and \
    whether its id in the config is right.";
const MISSING_FIRING: &str = "Polling continues at a long interval; operator channels are notified \
    when the avatar is found.";
const MISSING_NOT_YET_FIRING: &str = "Polling continues at a long interval, and operator channels \
    are notified if this lasts.";
const AVATAR_UNREACHABLE: &str = "read the reason. The API key works, since other avatars of the \
    account can be polled. A change of this avatar is reported after the next successful poll.";
const TRAINING_OVERDUE: &str = "check the avatar in Argil's own application. If the training \
    hangs, contact Argil's support with the avatar's id. Polling continues, and the end of the \
    training is reported as usual. The limit is `overdue_after` in the config.";
const STATUS_UNRECOGNIZED: &str = "check the avatar in Argil's own application, and whether a \
    newer version of avatar-watch knows this status. Polling continues; if a training was observed \
    before, its outcome is reported as usual.";
const POLL_FAILING: &str = "wait: the poll is repeated, and operator channels are notified if \
    this lasts. A change in the meantime is reported after the next successful poll.";
const POLL_DENIED: &str = "check in Argil's own application whether the API key is valid and may \
    read the avatar. The poll is repeated, and operator channels are notified if this lasts.";
const KEY_REJECTED: &str = "check in Argil's own application whether the API key was revoked or \
    the subscription has ended. Put a valid key where `api_key` of the account points, and reload.";
const THROTTLED: &str = "if other programs use the same API key, reduce their requests, or lower \
    `max_requests_per_second` of the account.";
const API_UNREACHABLE: &str = "check the network, DNS, CA certificates and clock of this machine, \
    and `base_url` in the config.";
const INVALID_RESPONSE: &str = "wait, since the API is most likely failing. If this lasts, check \
    `base_url` in the config.";
const LOCAL: &str = "give the daemon the resource that it lacks, such as more file handles \
    (`LimitNOFILE=` of the unit).";
const UNNOTICED: &str = "Until the account can be polled, changes of its avatars go unnoticed; \
    they are reported afterwards.";
const CONFIG_REJECTED: &str = "run `avatar-watch check`, fix the problems that it prints, and \
    reload. Until then, the previous config stays active as a whole.";
const CONFIG_UNREADABLE: &str = "check that the config file exists and that your user may read \
    it; `avatar-watch check` says what is wrong.";
const CONFIG_NOT_RELOADED: &str = "reload the daemon to apply the change, for example with \
    `systemctl reload avatar-watch`; `avatar-watch check --diff` shows what it changes.";
const NO_AVATARS: &str = "add `[[avatars]]` with an `id` to the config, or enable `[discover]`, \
    and reload.";
const NO_CHANNELS: &str = "add a channel as `[channels.NAME]` to the config, and reload.";
const AVATARS_UNREACHED: &str = "`avatar-watch status` with the id of one says why: compare the \
    `only` of the channels with its name, its model and its tags. `channels = []` marks an avatar \
    that is meant to reach none.";
const KEPT: &str = "No message is lost: pending deliveries are retried.";
const RECIPIENT_FAILING: &str = "read the reason, which comes from the mail server. Other \
    recipients of the channel may still get their messages. No message is lost: pending \
    deliveries are retried. If the address no longer works, remove it from the config, or run \
    `avatar-watch deliveries cancel` with the ids of the pending deliveries.";

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "ops";

    fn all() -> Vec<HelpTopic<'static>> {
        let outages = OutageCause::ALL.map(HelpTopic::AccountUnavailable);
        let mut topics = vec![
            HelpTopic::DaemonStopped,
            HelpTopic::DaemonStalled,
            HelpTopic::DatabaseUnwritable,
            HelpTopic::DaemonNotReady,
            HelpTopic::AvatarMissing,
            HelpTopic::AvatarUnreachable,
            HelpTopic::TrainingOverdue,
            HelpTopic::StatusUnrecognized,
            HelpTopic::PollFailing,
            HelpTopic::PollDenied,
            HelpTopic::PollMissing,
            HelpTopic::ConfigRejected,
            HelpTopic::ConfigUnreadable,
            HelpTopic::ConfigNotReloaded,
            HelpTopic::NoAvatars,
            HelpTopic::NoChannels,
            HelpTopic::ChannelFailing(NAME),
            HelpTopic::RecipientFailing,
            HelpTopic::ChannelDisabled(NAME),
            HelpTopic::ChannelPaused(NAME),
            HelpTopic::ChannelPausedUntil(NAME),
            HelpTopic::ChannelRemoved(NAME),
            HelpTopic::MessagesLate(NAME),
            HelpTopic::DeadLetter("dlv_1"),
            HelpTopic::DeadLetters(NAME),
        ];
        topics.extend(outages);
        topics
    }

    #[test]
    fn every_help_goes_on_in_lower_case_and_ends_as_a_sentence() {
        for topic in all() {
            let text = topic.sentence();
            let first = text.trim_start_matches('`').chars().next().unwrap();
            assert!(first.is_lowercase() && text.ends_with('.'), "{topic:?}: {text}");
            assert!(!text.contains("  ") && !text.contains('\n'), "{topic:?}: {text}");
            assert_eq!(text.matches('`').count() % 2, 0, "{topic:?}: {text}");
        }
    }

    #[test]
    fn every_condition_has_a_help() {
        for kind in EventKind::OPERATIONAL {
            let topic = HelpTopic::of_condition(kind, None, NAME, false);
            assert_eq!(topic.is_none(), kind == EventKind::DeliveryExhausted, "{kind}");
        }
        let disabled = HelpTopic::of_condition(EventKind::ChannelDisabled, None, NAME, false);
        let command = "`avatar-watch channels enable ops`";
        assert!(disabled.unwrap().sentence().contains(command));
    }
}
