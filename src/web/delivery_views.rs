//! Views of deliveries: the data types of the API, of `--json` on the command line and of the page.
//! `openapi.json` is their schema.

use serde::Serialize;

use crate::domain::avatar::AvatarId;
use crate::domain::delivery::next_attempt::NextAttempt;
use crate::domain::time::timestamp::Timestamp;
use crate::store::reader::{AttemptRow, ChannelRow, DeliveryRow};
use crate::web::views::text;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct DeliveryView {
    pub(crate) id: String,
    /// The id of the event, the same in every attempt and retry.
    pub(crate) event_id: String,
    pub(crate) event_type: String,
    /// What the event says, in one line.
    pub(crate) title: String,
    /// The subject: the id of an avatar, or a text such as `account argil`.
    pub(crate) subject: String,
    pub(crate) avatar_id: Option<String>,
    /// Its name: that in the config, else that in the API.
    pub(crate) avatar_name: Option<String>,
    pub(crate) channel: String,
    /// The recipient, for a channel with more than one.
    pub(crate) recipient: Option<String>,
    /// The number of manual retries before this delivery.
    pub(crate) replay: u32,
    /// `pending`, `sending`, `delivered`, `dead`, `resent` or `cancelled`.
    pub(crate) state: String,
    /// The number of started attempts.
    pub(crate) attempts: u32,
    pub(crate) next_attempt_at: Option<String>,
    /// When it is attempted, as far as its channel permits it.
    #[serde(skip)]
    pub(crate) next_attempt: Option<NextAttempt>,
    /// The reason, if it is dead or was cancelled.
    pub(crate) final_reason: Option<String>,
    /// The delivery that sends it again, if it was sent again.
    pub(crate) resent_as: Option<String>,
    /// The state of that delivery.
    pub(crate) resent_state: Option<String>,
    /// The error of its last attempt.
    pub(crate) last_error: Option<String>,
    /// Why the message has the standard format instead of the template of the channel.
    pub(crate) fallback: Option<String>,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct DeliveryWithAttempts {
    #[serde(flatten)]
    pub(crate) delivery: DeliveryView,
    /// The attempts, oldest first.
    pub(crate) attempt_log: Vec<AttemptView>,
    /// The message; only in the output of the command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct AttemptView {
    /// The number, from 1.
    pub(crate) number: u32,
    /// `scheduled` or `manual`.
    pub(crate) trigger: String,
    pub(crate) started_at: String,
    /// When it finished; `None` while it is in progress.
    pub(crate) finished_at: Option<String>,
    pub(crate) outcome: Option<String>,
    /// The last phase that was reached.
    pub(crate) phase: Option<String>,
    pub(crate) code: Option<u16>,
    pub(crate) latency_ms: Option<i64>,
    pub(crate) error: Option<String>,
    /// The beginning of the response.
    pub(crate) response: Option<String>,
}

impl DeliveryView {
    pub(crate) fn new(
        row: &DeliveryRow,
        name: Option<&str>,
        channels: &[ChannelRow],
        now: Timestamp,
    ) -> Self {
        let channel = channels.iter().find(|channel| channel.name == row.channel);
        let next = row.next_attempt_at.zip(channel);
        let non_empty = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self {
            id: row.id.to_string(),
            event_id: row.event_id.to_string(),
            event_type: row.event_type.clone(),
            title: row.title.clone(),
            subject: row.ordering_key.to_string(),
            avatar_id: row.ordering_key.avatar_id().map(AvatarId::to_string),
            avatar_name: name.map(str::to_owned),
            channel: row.channel.to_string(),
            recipient: non_empty(&row.recipient),
            replay: row.replay,
            state: row.state.clone(),
            attempts: row.attempts,
            next_attempt_at: text(row.next_attempt_at),
            next_attempt: next
                .map(|(due, it)| NextAttempt::of(due, it.configured, &it.health, now)),
            final_reason: row.final_reason.clone(),
            resent_as: row.resent_as.as_ref().map(|(id, _)| id.to_string()),
            resent_state: row.resent_as.as_ref().map(|(_, state)| state.clone()),
            last_error: row.last_error.clone(),
            fallback: row.fallback.clone(),
            created_at: row.created_at.to_string(),
            updated_at: row.updated_at.to_string(),
        }
    }
}

impl From<&AttemptRow> for AttemptView {
    fn from(row: &AttemptRow) -> Self {
        Self {
            number: row.number,
            trigger: row.trigger.clone(),
            started_at: row.started_at.to_string(),
            finished_at: text(row.finished_at),
            outcome: row.outcome.clone(),
            phase: row.phase.clone(),
            code: row.code,
            latency_ms: row.latency_ms,
            error: row.error.clone(),
            response: row.snippet.clone(),
        }
    }
}
