//! The `standard` format: the JSON body of Standard Webhooks, a contract with consumers
//! (`docs/consuming.md`).
//!
//! Text from outside is passed on unchanged, since JSON can carry all of it. An unknown value is
//! `null`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::avatar::status::Status;
use crate::domain::avatar::training::Training;
use crate::domain::condition::{Condition, ConditionSubject, Phase};
use crate::domain::delivery::dead_letter::DeadLetter;
use crate::domain::delivery::recipient_health::masked;
use crate::domain::event::{Event, Subject};

/// The body of the event; the same event gives the same bytes.
pub fn render(event: &Event) -> Vec<u8> {
    let message = Message {
        kind: event.kind.name(),
        timestamp: event.occurred_at.to_string(),
        data: data(event),
    };
    // Serializing cannot fail: all map keys are strings, and the writer is memory. An empty body
    // would not be sent.
    serde_json::to_vec(&message).unwrap_or_default()
}

pub(super) fn data(event: &Event) -> Data<'_> {
    match &event.subject {
        Subject::Transition { avatar, transition } => Data::Transition {
            sequence: transition.sequence,
            avatar: AvatarData {
                id: transition.avatar_id.as_str(),
                name: avatar.name.as_deref(),
                model: avatar.model.as_deref(),
                orientation: avatar.orientation.as_deref(),
                extras: &avatar.extras,
            },
            previous_status: transition.previous.status().map(|status| status.name()),
            status: transition.status.name(),
            training_observed: transition.training_observed(),
            training: transition.training.as_ref().map(TrainingData::new),
            last_seen_previous_at: transition.last_seen_previous_at().map(|at| at.to_string()),
            detected_at: transition.detected_at.to_string(),
            upstream_updated_at: transition.upstream_updated_at.as_deref(),
        },
        Subject::Condition(condition) => Data::Condition {
            state: condition.phase.name(),
            reminder: condition.phase == Phase::Reminder,
            started_at: condition.started_at.to_string(),
            subject: subject_data(condition),
            reason: condition.reason.as_deref(),
        },
        Subject::DeadLetter(letters) => Data::DeadLetter {
            channel: letters.first.channel.as_str(),
            first: letter_data(&letters.first),
            count: letters.count(),
            deliveries: letters.listed().map(letter_data).collect(),
        },
        Subject::Ping { channel } => Data::Ping { channel: channel.as_str(), message: PING },
    }
}

fn letter_data(letter: &DeadLetter) -> LetterData<'_> {
    LetterData {
        delivery_id: letter.delivery.as_str(),
        event_id: letter.event.as_str(),
        event_type: &letter.kind,
        avatar_id: letter.avatar_id.as_deref(),
        avatar_name: letter.avatar_name.as_deref(),
        attempts: letter.attempts,
        reason: &letter.reason,
    }
}

fn subject_data(condition: &Condition) -> SubjectData<'_> {
    match &condition.subject {
        ConditionSubject::Avatar { id, name, account, status, group } => {
            let listed = condition.listed().map(|(id, name, status, started_at)| AffectedData {
                id: id.as_str(),
                name,
                status: status.map(Status::name),
                started_at: started_at.to_string(),
            });
            SubjectData::Avatar {
                avatar: NamedData { id: id.as_str(), name: name.as_deref() },
                account: account.as_str(),
                status: status.as_ref().map(Status::name),
                count: group.other_count.saturating_add(1),
                avatars: listed.collect(),
            }
        }
        ConditionSubject::Account { name, cause } => {
            SubjectData::Account { account: name.as_str(), cause: cause.name() }
        }
        ConditionSubject::Channel { name, recipient } => SubjectData::Channel {
            channel: name.as_str(),
            recipient: recipient.as_deref().map(masked),
        },
        ConditionSubject::Config => SubjectData::Config {},
    }
}

impl TrainingData {
    fn new(training: &Training) -> Self {
        Self {
            seconds_min: training.seconds_min(),
            seconds_max: training.seconds_max(),
            started_after: training.start.after.map(|at| at.to_string()),
            started_before: training.start.before.to_string(),
        }
    }
}

/// The media type of the body.
pub const CONTENT_TYPE: &str = "application/json";

#[derive(Serialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Data<'a> {
    Transition {
        sequence: u64,
        avatar: AvatarData<'a>,
        previous_status: Option<&'a str>,
        status: &'a str,
        training_observed: bool,
        training: Option<TrainingData>,
        last_seen_previous_at: Option<String>,
        detected_at: String,
        upstream_updated_at: Option<&'a str>,
    },
    Condition {
        state: &'static str,
        reminder: bool,
        started_at: String,
        #[serde(flatten)]
        subject: SubjectData<'a>,
        reason: Option<&'a str>,
    },
    DeadLetter {
        channel: &'a str,
        #[serde(flatten)]
        first: LetterData<'a>,
        count: usize,
        deliveries: Vec<LetterData<'a>>,
    },
    Ping {
        channel: &'a str,
        message: &'static str,
    },
}

#[derive(Serialize)]
pub(super) struct AvatarData<'a> {
    id: &'a str,
    name: Option<&'a str>,
    model: Option<&'a str>,
    orientation: Option<&'a str>,
    extras: &'a BTreeMap<String, String>,
}

/// The observed training that ended; seconds are whole, rounded outwards.
#[derive(Serialize)]
pub(super) struct TrainingData {
    seconds_min: u64,
    seconds_max: Option<u64>,
    started_after: Option<String>,
    started_before: String,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum SubjectData<'a> {
    Avatar {
        avatar: NamedData<'a>,
        account: &'a str,
        status: Option<&'a str>,
        count: usize,
        avatars: Vec<AffectedData<'a>>,
    },
    Account {
        account: &'a str,
        cause: &'static str,
    },
    Channel {
        channel: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        recipient: Option<String>,
    },
    Config {},
}

#[derive(Serialize)]
pub(super) struct NamedData<'a> {
    id: &'a str,
    name: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct AffectedData<'a> {
    id: &'a str,
    name: Option<&'a str>,
    status: Option<&'a str>,
    started_at: String,
}

#[derive(Serialize)]
pub(super) struct LetterData<'a> {
    delivery_id: &'a str,
    event_id: &'a str,
    event_type: &'a str,
    avatar_id: Option<&'a str>,
    avatar_name: Option<&'a str>,
    attempts: u32,
    reason: &'a str,
}

const PING: &str = "a test from avatar-watch: this channel works, no avatar has changed";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::account::AccountName;
    use crate::domain::avatar::AvatarId;
    use crate::domain::avatar::transition::Previous;
    use crate::domain::condition::{AvatarGroup, OutageCause};
    use crate::domain::event::EventKind;
    use crate::domain::time::timestamp::Timestamp;
    use crate::notify::format::samples;

    const AT: &str = "2026-11-23T11:15:22.123Z";

    fn check(event: &Event, expected: &str) {
        let expected = format!(r#"{{"type":"{}","timestamp":"{AT}",{expected}}}"#, event.kind);
        assert_eq!(String::from_utf8(render(event)).unwrap(), expected);
    }

    #[test]
    fn the_body_is_what_consumers_were_promised() {
        let [mut known, mut unknown] = [0, 1].map(|at| samples::all().swap_remove(at));
        let Subject::Transition { avatar, .. } = &mut known.subject else { unreachable!() };
        avatar.extras.insert("batch".to_owned(), "b-7".to_owned());
        let expected = [
            r#""data":{"sequence":42,"avatar":{"id":"3c90c3cc-0d44-4b50-8888-8dd25736052a","#,
            r#""name":"Jane, English","model":"ARGIL_ATOM","#,
            r#""orientation":"ASPECT_RATIO_9_16","extras":{"batch":"b-7"}},"#,
            r#""previous_status":"TRAINING","status":"IDLE","training_observed":true,"#,
            r#""training":{"seconds_min":25,"seconds_max":42,"#,
            r#""started_after":"2026-11-23T11:14:40.500Z","#,
            r#""started_before":"2026-11-23T11:14:45.001Z"},"#,
            r#""last_seen_previous_at":"2026-11-23T11:15:10.001Z","#,
            r#""detected_at":"2026-11-23T11:15:22.123Z","#,
            r#""upstream_updated_at":"2026-11-23T11:14:58Z"}"#,
        ];
        check(&known, &expected.concat());
        // An unknown value is null.
        let Subject::Transition { transition, .. } = &mut unknown.subject else { unreachable!() };
        transition.previous = Previous::Assumed(Status::Training);
        assert_eq!(transition.training, None);
        let expected = [
            r#""data":{"sequence":42,"avatar":{"id":"3c90c3cc-0d44-4b50-8888-8dd25736052a","#,
            r#""name":null,"model":null,"orientation":null,"extras":{}},"#,
            r#""previous_status":"TRAINING","status":"IDLE","training_observed":false,"#,
            r#""training":null,"#,
            r#""last_seen_previous_at":null,"detected_at":"2026-11-23T11:15:22.123Z","#,
            r#""upstream_updated_at":null}"#,
        ];
        check(&unknown, &expected.concat());
    }

    #[test]
    fn a_hostile_name_is_passed_on_unchanged() {
        let name = "\"},{\r\n</script>\u{202e}👩\u{200d}🚀\u{0}";
        let body = |at: usize| render(&samples::hostile(name)[at]);
        let read = |at| serde_json::from_slice::<serde_json::Value>(&body(at)).unwrap();
        assert_eq!(read(0)["data"]["avatar"]["name"], name);
        assert!(read(1)["data"]["previous_status"].is_null());
    }

    #[test]
    fn a_condition_has_a_state_and_a_subject() {
        let check_of = |kind, phase, subject, reason: Option<&str>, expected: &str| {
            let started_at = Timestamp::from_millis(1_795_432_510_001);
            let reason = reason.map(str::to_owned);
            let condition = Box::new(Condition { phase, started_at, subject, reason });
            let ping = samples::all().pop().unwrap();
            let event = Event { kind, subject: Subject::Condition(condition), ..ping };
            let state = format!(r#""data":{{"state":"{}","reminder":false,"#, phase.name());
            let state = format!(r#"{state}"started_at":"{started_at}","#);
            check(&event, &[&state, expected].concat());
        };
        let about = |name: Option<&str>, status: Option<&str>| ConditionSubject::Avatar {
            id: AvatarId::parse("a1").unwrap(),
            name: name.map(str::to_owned),
            account: AccountName::default(),
            status: status.map(Status::from_name),
            group: AvatarGroup::default(),
        };
        check_of(
            EventKind::AvatarMissing,
            Phase::Firing,
            about(Some("J"), Some("IDLE")),
            Some("404"),
            &[
                r#""avatar":{"id":"a1","name":"J"},"account":"argil","status":"IDLE","#,
                r#""count":1,"avatars":[{"id":"a1","name":"J","status":"IDLE","#,
                r#""started_at":"2026-11-23T11:15:10.001Z"}],"reason":"404"}"#,
            ]
            .concat(),
        );
        check_of(
            EventKind::AvatarTrainingOverdue,
            Phase::Resolved,
            about(None, None),
            None,
            &[
                r#""avatar":{"id":"a1","name":null},"account":"argil","status":null,"#,
                r#""count":1,"avatars":[{"id":"a1","name":null,"status":null,"#,
                r#""started_at":"2026-11-23T11:15:10.001Z"}],"reason":null}"#,
            ]
            .concat(),
        );
        let account = AccountName::parse("studio").unwrap();
        check_of(
            EventKind::AccountUnavailable,
            Phase::Firing,
            ConditionSubject::Account { name: account, cause: OutageCause::KeyRejected },
            Some("401"),
            r#""account":"studio","cause":"key_rejected","reason":"401"}"#,
        );
        check_of(
            EventKind::ConfigRejected,
            Phase::Firing,
            ConditionSubject::Config,
            Some("a.toml:3"),
            r#""reason":"a.toml:3"}"#,
        );
    }

    #[test]
    fn a_ping_names_its_channel() {
        let data = format!(r#""data":{{"channel":"ops","message":"{PING}"}}"#);
        check(&samples::all().pop().unwrap(), &data);
    }
}
