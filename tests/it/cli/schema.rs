//! Every body that the program can send is what its published schema says, and no other is.

use std::collections::BTreeSet;

use avatar_watch::domain::account::AccountName;
use avatar_watch::domain::avatar::status::Status;
use avatar_watch::domain::avatar::transition::{Earlier, Previous};
use avatar_watch::domain::condition::{ConditionSubject, OutageCause, Phase};
use avatar_watch::domain::delivery::channel_name::ChannelName;
use avatar_watch::domain::event::{Event, EventKind, Subject};
use avatar_watch::notify::format::{schema, standard};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::harness::config::Config;
use crate::harness::daemon::{Bench, stderr, stdout};
use crate::harness::sample_events;

const HOSTILE: &str = "\"},{\r\n</script>\u{202e}👩\u{200d}🚀\u{0}\u{7f}";
const STATUSES: [&str; 7] =
    ["NOT_TRAINED", "TRAINING", "TRAINING_FAILED", "IDLE", "REFUSED", "SOMETHING_NEW", HOSTILE];

fn validator(schema: &str) -> Validator {
    let schema: Value = serde_json::from_str(schema).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

fn body(event: &Event) -> Value {
    serde_json::from_slice(&standard::render(event)).unwrap()
}

/// News of every change, with what is known and what is not.
fn transitions() -> Vec<Event> {
    let mut events = Vec::new();
    for to in STATUSES {
        for from in STATUSES.into_iter().filter(|from| *from != to) {
            let seen = Previous::Observed {
                status: Status::from_name(from),
                at: sample_events::DETECTED_AT,
            };
            for previous in [seen, Previous::Assumed(Status::from_name(from)), Previous::Absent] {
                for (infer, bare) in [(true, false), (false, true)] {
                    events.push(transition(previous.clone(), to, infer, bare));
                }
            }
        }
    }
    // An observed training, followed by unknown statuses.
    let odd = || Previous::Observed {
        status: Status::from_name(HOSTILE),
        at: sample_events::DETECTED_AT,
    };
    for to in ["IDLE", "TRAINING_FAILED", "REFUSED"] {
        for earlier in [Earlier::Observed, Earlier::Assumed] {
            let mut event = transition(odd(), to, true, false);
            let Subject::Transition { transition, .. } = &mut event.subject else { unreachable!() };
            transition.earlier = Some(earlier);
            events.push(event);
        }
    }
    events
}

fn transition(previous: Previous, to: &str, infer: bool, bare: bool) -> Event {
    let mut event = sample_events::settled(Some(HOSTILE), to);
    let Subject::Transition { avatar, transition, .. } = &mut event.subject else { unreachable!() };
    transition.previous = previous;
    if bare {
        (avatar.name, avatar.model, avatar.orientation) = (None, None, None);
        transition.upstream_updated_at = None;
        transition.sequence = 1;
    } else {
        avatar.model = Some(HOSTILE.to_owned());
        avatar.extras.insert(HOSTILE.to_owned(), HOSTILE.to_owned());
        transition.upstream_updated_at = Some("yesterday".to_owned());
    }
    event.kind = EventKind::of(transition, infer).unwrap();
    event
}

fn conditions() -> Vec<Event> {
    let account = |cause| ConditionSubject::Account { name: AccountName::default(), cause };
    let channel = || ConditionSubject::Channel {
        name: ChannelName::parse(&"Z-_9".repeat(16)).unwrap(),
        recipient: None,
    };
    let mut events = Vec::new();
    for phase in [Phase::Firing, Phase::Resolved] {
        for reason in [None, Some(HOSTILE)] {
            let mut push =
                |kind, about| events.push(sample_events::condition(kind, phase, about, reason));
            for kind in [
                EventKind::AvatarMissing,
                EventKind::AvatarUnreachable,
                EventKind::AvatarTrainingOverdue,
                EventKind::AvatarStatusUnrecognized,
            ] {
                push(kind, sample_events::about_avatar(None, None));
                push(kind, sample_events::about_avatar(Some(HOSTILE), Some(HOSTILE)));
            }
            for cause in OutageCause::ALL {
                push(EventKind::AccountUnavailable, account(cause));
            }
            push(EventKind::ConfigRejected, ConditionSubject::Config);
            push(EventKind::ChannelFailing, channel());
            let recipient = Some(HOSTILE.to_owned());
            let name = ChannelName::parse("mail").unwrap();
            push(EventKind::ChannelFailing, ConditionSubject::Channel { name, recipient });
            push(EventKind::ChannelDisabled, channel());
        }
    }
    events
}

/// Everything that can be sent.
fn events() -> Vec<Event> {
    let mut about_none = sample_events::dead_letter();
    let Subject::DeadLetter(letter) = &mut about_none.subject else { unreachable!() };
    (letter.first.avatar_id, letter.first.avatar_name) = (None, None);
    letter.first.attempts = 0;
    HOSTILE.clone_into(&mut letter.first.reason);
    let others = [sample_events::dead_letter(), about_none, sample_events::ping()];
    transitions().into_iter().chain(conditions()).chain(others).collect()
}

/// The pointers of all fields below a value, as JSON pointers; the free texts in `extras` are none.
fn fields(value: &Value, at: &str, found: &mut Vec<String>) {
    for (name, below) in value.as_object().into_iter().flatten() {
        let pointer = format!("{at}/{name}");
        if name != "extras" {
            fields(below, &pointer, found);
        }
        found.push(pointer);
    }
}

/// The JSON type of each field.
fn shape(body: &Value) -> String {
    let mut pointers = Vec::new();
    fields(body, "", &mut pointers);
    let type_of = |pointer: &String| match body.pointer(pointer).unwrap() {
        Value::Null => "null",
        Value::Bool(true) => "true",
        Value::Bool(false) => "false",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    pointers.iter().map(|pointer| format!("{pointer} {} ", type_of(pointer))).collect()
}

/// A body of each kind and shape, with its event.
fn distinct_bodies() -> impl Iterator<Item = (Event, Value)> {
    let mut shapes = BTreeSet::new();
    let bodies = events().into_iter().map(|event| (body(&event), event));
    bodies
        .map(|(body, event)| (event, body))
        .filter(move |(event, body)| shapes.insert((event.kind, shape(body))))
}

fn without(body: &Value, pointer: &str) -> Value {
    let mut body = body.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
    body
}

fn with(body: &Value, pointer: &str, value: Value) -> Value {
    let mut body = body.clone();
    *body.pointer_mut(pointer).unwrap() = value;
    body
}

#[test]
fn every_body_matches_its_schema_and_no_other() {
    let all = validator(&schema::of_all());
    let each: Vec<(EventKind, Validator)> =
        schema::kinds().map(|kind| (kind, validator(schema::of(kind)))).collect();
    for event in events() {
        let body = body(&event);
        for (kind, schema) in &each {
            let problems: Vec<String> = schema
                .iter_errors(&body)
                .map(|it| format!("{}: {it}", it.instance_path()))
                .collect();
            assert_eq!(problems.is_empty(), *kind == event.kind, "{kind}, {body}: {problems:?}");
        }
        assert!(all.is_valid(&body), "{body}");
    }
    for kind in schema::kinds() {
        assert!(events().iter().any(|event| event.kind == kind), "no body of {kind} was tried");
    }
}

#[test]
fn a_missing_field_or_another_type_is_invalid() {
    let all = validator(&schema::of_all());
    for (event, body) in distinct_bodies() {
        let schema = validator(schema::of(event.kind));
        let mut pointers = Vec::new();
        fields(&body, "", &mut pointers);
        assert!(pointers.len() >= 5, "{body}");
        for pointer in pointers {
            let mut wrong = Vec::new();
            if pointer != OPTIONAL {
                wrong.push(without(&body, &pointer));
            }
            wrong.extend([json!([]), json!(-1), json!(1.5)].map(|it| with(&body, &pointer, it)));
            if !body.pointer(&pointer).unwrap().is_boolean() {
                wrong.push(with(&body, &pointer, json!(true)));
            }
            if !body.pointer(&pointer).unwrap().is_object() {
                wrong.push(with(&body, &pointer, json!({})));
            }
            for wrong in wrong {
                assert!(!schema.is_valid(&wrong), "{pointer}: {wrong}");
                assert!(!all.is_valid(&wrong), "{pointer}: {wrong}");
            }
        }
    }
}

#[test]
fn wrong_values_of_the_right_type_are_invalid() {
    let check = |event: &Event, pointer: &str, wrong: Value| {
        let body = body(event);
        let schema = validator(schema::of(event.kind));
        assert!(schema.is_valid(&body));
        assert!(!schema.is_valid(&with(&body, pointer, wrong.clone())), "{pointer}: {wrong}");
    };
    let ready = sample_events::settled(None, "IDLE");
    check(&ready, "/type", json!("avatar.gone"));
    for at in ["/timestamp", "/data/detected_at", "/data/last_seen_previous_at"] {
        for wrong in ["", "yesterday", "2026-11-23T11:15:22Z", "2026-13-23T11:15:22.123Z"] {
            check(&ready, at, json!(wrong));
        }
    }
    for wrong in ["", ".", "..", "a b", "é", &"x".repeat(129)] {
        check(&ready, "/data/avatar/id", json!(wrong));
    }
    check(&ready, "/data/sequence", json!(0));
    check(&ready, "/data/avatar/extras", json!({ "batch": 7 }));
    check(&ready, "/data/status", json!("TRAINING_FAILED"));
    // An observed training has a previous status and its time.
    check(&ready, "/data/previous_status", json!("IDLE"));
    check(&ready, "/data/last_seen_previous_at", json!(null));
    check(&sample_events::settled(None, "REFUSED"), "/data/status", json!("IDLE"));
    let about =
        ConditionSubject::Account { name: AccountName::default(), cause: OutageCause::Local };
    let unavailable =
        sample_events::condition(EventKind::AccountUnavailable, Phase::Firing, about, None);
    check(&unavailable, "/data/cause", json!("tired"));
    check(&unavailable, "/data/state", json!("going on"));
    check(&unavailable, "/data/account", json!("a b"));
    for pointer in ["delivery_id", "event_id", "event_type", "channel", "avatar_id"] {
        check(&sample_events::dead_letter(), &format!("/data/{pointer}"), json!("no name"));
    }
    check(&sample_events::ping(), "/data/channel", json!(""));
}

#[test]
fn additional_fields_are_valid() {
    for (event, mut body) in distinct_bodies() {
        let mut pointers = vec![String::new()];
        fields(&body, "", &mut pointers);
        for pointer in pointers {
            if let Some(object) = body.pointer_mut(&pointer).and_then(Value::as_object_mut) {
                object.insert("added_later".to_owned(), json!("text"));
            }
        }
        assert!(validator(schema::of(event.kind)).is_valid(&body), "{body}");
    }
}

#[test]
fn the_examples_are_real_bodies() {
    for kind in schema::kinds() {
        let schema: Value = serde_json::from_str(schema::of(kind)).unwrap();
        let example = &schema["examples"][0];
        assert!(validator(schema::of(kind)).is_valid(example), "{kind}");
        let pointers = |body: &Value| {
            let mut pointers = Vec::new();
            fields(body, "", &mut pointers);
            pointers
        };
        let sent = events().into_iter().find(|event| event.kind == kind).unwrap();
        assert_eq!(pointers(example), pointers(&body(&sent)), "{kind}");
    }
}

#[test]
fn the_command_prints_schemas_and_suggests_similar_types() {
    let bench = Bench::new(Config::new("http://127.0.0.1:9/v1").text());
    let run = |arguments: &[&str]| {
        let output = bench.run(&[&["schema", "event"], arguments].concat());
        (output.status.code(), stdout(&output), stderr(&output))
    };
    let list: Vec<String> = schema::kinds().map(|kind| format!("{kind}\n")).collect();
    assert_eq!(run(&["--list"]), (Some(0), list.concat(), String::new()));
    assert_eq!(run(&[]), (Some(0), schema::of_all(), String::new()));
    for kind in schema::kinds() {
        assert_eq!(run(&[kind.name()]), (Some(0), schema::of(kind).to_owned(), String::new()));
    }
    let (code, out, complaint) = run(&["avatar.redy"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(complaint.contains("`avatar.redy`") && complaint.contains("mean `avatar.ready`?"));
    let (code, _, complaint) = run(&["invoice.paid"]);
    assert_eq!(code, Some(2));
    assert!(complaint.contains("--list"), "{complaint}");
    assert_eq!(run(&["avatar.ready", "--list"]).0, Some(2));
}

#[test]
fn the_schema_of_the_config_is_printed() {
    let bench = Bench::new("");
    let printed = bench.run(&["schema", "config"]);
    assert!(printed.status.success(), "{}", stderr(&printed));
    let config = validator(&stdout(&printed));
    let text = std::fs::read_to_string("config.example.toml").unwrap();
    let mut example: Value = toml::from_str(&text).unwrap();
    assert!(config.is_valid(&example));
    example["poll"]["nonsense"] = 1.into();
    assert!(!config.is_valid(&example));
}

/// The one field that stands in some messages of a kind only.
const OPTIONAL: &str = "/data/recipient";
