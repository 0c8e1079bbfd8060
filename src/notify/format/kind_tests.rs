use proptest::prelude::*;

use super::*;
use crate::domain::condition::Phase;
use crate::domain::delivery::template_tree::TemplateTree;
use crate::domain::delivery::{OutcomeClass, RETRY_AFTER_MAX};
use crate::domain::event::{EventKind, Subject};
use crate::domain::public_url::PublicUrl;
use crate::domain::time::time_zone::TimeZone;
use crate::notify::format::samples::{self, NAMES};
use crate::notify::format::truncate::LengthUnit;
use crate::notify::webhook::body_meaning::BodyMeaning;

const CHATS: [Format; 4] = [Format::Slack, Format::Discord, Format::Teams, Format::Ntfy];

/// The messages of a format for avatars with hostile names, and for all samples.
fn messages(format: &Format) -> Vec<Value> {
    let long = ["\u{1f469}\u{200d}\u{1f680}*<".repeat(1500), "\u{5e9}".repeat(10_000)];
    let names = NAMES.into_iter().chain(long.iter().map(String::as_str));
    let events = names.flat_map(samples::hostile).chain(samples::all());
    let render = |event| {
        let rendered = format.render(&event, &MessageContext::PLAIN);
        assert_eq!(rendered.content_type, "application/json");
        assert_eq!(
            format.render(&event, &MessageContext::PLAIN),
            rendered,
            "a body is the same each time"
        );
        serde_json::from_slice(&rendered.body).unwrap()
    };
    events.map(render).collect()
}

/// Every text in a message.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter().flat_map(texts).collect(),
        Value::Object(object) => object.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

fn within(text: &Value, max: usize, unit: LengthUnit) {
    let text = text.as_str().unwrap();
    assert!((1..=max).contains(&unit.count(text)), "{max} {unit:?}: {text:?}");
}

/// Each of the marks follows a backslash.
fn all_escaped(text: &str, marks: &str) {
    let mut before = ' ';
    for char in text.chars() {
        assert!(!marks.contains(char) || before == '\\', "`{char}` in {text}");
        before = if before == '\\' { ' ' } else { char };
    }
}

#[test]
fn no_chat_message_has_control_or_bidi_characters() {
    for format in CHATS {
        for message in messages(&format) {
            for text in texts(&message) {
                let lines = text.split('\n');
                let odd = lines
                    .flat_map(str::chars)
                    .find(|char| crate::text::characters::is_unsafe(*char));
                assert_eq!(odd, None, "{format:?}: {text:?}");
            }
        }
    }
}

#[test]
fn slack_messages_have_no_mentions_and_keep_the_limits() {
    for message in messages(&Format::Slack) {
        for text in texts(&message) {
            assert!(!text.contains(['<', '>']), "{text}");
            let entities = ["&amp;", "&lt;", "&gt;"].map(|entity| text.matches(entity).count());
            assert_eq!(text.matches('&').count(), entities.iter().sum::<usize>(), "{text}");
        }
        within(&message["text"], 3000, LengthUnit::Utf16);
        for block in message["blocks"].as_array().unwrap() {
            let max = if block["type"] == "header" { 150 } else { 3000 };
            if !block["text"].is_null() {
                assert_eq!(block["text"]["type"], "plain_text");
                within(&block["text"]["text"], max, LengthUnit::Utf16);
            }
            let fields = block["fields"].as_array();
            assert!(fields.is_none_or(|fields| (1..=10).contains(&fields.len())));
            fields
                .into_iter()
                .flatten()
                .for_each(|it| within(&it["text"], 2000, LengthUnit::Utf16));
        }
    }
}

#[test]
fn discord_messages_have_no_mentions_or_markup_and_keep_the_limits() {
    for message in messages(&Format::Discord) {
        assert_eq!(message["allowed_mentions"], serde_json::json!({ "parse": [] }));
        let embed = &message["embeds"][0];
        within(&embed["title"], 256, LengthUnit::Utf16);
        within(&embed["description"], 4096, LengthUnit::Utf16);
        within(&embed["footer"]["text"], 2048, LengthUnit::Utf16);
        let mut all = 0;
        for field in embed["fields"].as_array().unwrap() {
            within(&field["name"], 256, LengthUnit::Utf16);
            within(&field["value"], 1024, LengthUnit::Utf16);
        }
        for text in texts(embed) {
            all += LengthUnit::Utf16.count(text);
            all_escaped(text, "<@[]`");
        }
        assert!(all <= 6000, "{all}");
    }
}

#[test]
fn teams_cards_have_no_markup_and_keep_the_limits() {
    for message in messages(&Format::Teams) {
        let card = &message["attachments"][0]["content"];
        assert_eq!(card["version"], "1.4");
        assert!(serde_json::to_vec(&message).unwrap().len() < 21_000);
        for text in texts(&card["body"]) {
            all_escaped(text, "*[]`{<");
        }
    }
}

#[test]
fn ntfy_messages_have_no_topic_and_keep_the_limits() {
    for message in messages(&Format::Ntfy) {
        within(&message["message"], 4096, LengthUnit::Bytes);
        within(&message["title"], 250, LengthUnit::Bytes);
        assert!(message["topic"].is_null());
        assert!((1..=5).contains(&message["priority"].as_u64().unwrap()));
    }
}

#[test]
fn cloudevents_carry_the_standard_data() {
    let format = Format::CloudEvents { source: "urn:x:y".to_owned() };
    for event in NAMES.into_iter().flat_map(samples::hostile) {
        let Rendered { content_type, body, .. } = format.render(&event, &MessageContext::PLAIN);
        assert_eq!(content_type, "application/cloudevents+json");
        let body: Value = serde_json::from_slice(&body).unwrap();
        let plain: Value = serde_json::from_slice(&standard::render(&event)).unwrap();
        assert_eq!(body["data"], plain["data"]);
        assert_eq!((&body["type"], &body["time"]), (&plain["type"], &plain["timestamp"]));
        assert_eq!(body["id"], event.id.as_str());
        assert_eq!(body["specversion"], "1.0");
        assert_eq!(body["source"], "urn:x:y");
        let avatar = plain["data"]["avatar"]["id"].as_str();
        let avatar = avatar.or(plain["data"]["avatar_id"].as_str());
        assert_eq!(body.get("subject").map(|it| it.as_str().unwrap()), avatar);
    }
}

#[test]
fn the_standard_body_replaces_a_template_that_fails() {
    let tree = TemplateTree::List(vec![
        TemplateTree::Flag(true),
        TemplateTree::Text("{{ data.nope }}".to_owned()),
    ]);
    let format = Format::Template(Template { tree, content_type: "text/x-own".to_owned() });
    for event in samples::all() {
        let Rendered { content_type, body, fallback } =
            format.render(&event, &MessageContext::PLAIN);
        assert_eq!((content_type.as_str(), body), ("application/json", standard::render(&event)));
        assert_eq!(fallback.unwrap().sentence(), "`template[1]` uses an undefined name");
    }
}

#[test]
fn a_message_is_posted_to_the_url_of_its_format() {
    let check = |format: Format, url: &str, expected: Option<(&str, Option<&str>)>| {
        let found = format.target(&Url::parse(url).unwrap()).ok();
        let found =
            found.as_ref().map(|it| (it.url.as_str(), it.topic.as_ref().map(NtfyTopic::expose)));
        assert_eq!(found, expected, "for {url}");
    };
    let slack = "https://h.example/services/T/B/x";
    check(Format::Slack, slack, Some((slack, None)));
    let waits = "https://h.example/api/webhooks/1/x?wait=true";
    check(Format::Discord, "https://h.example/api/webhooks/1/x", Some((waits, None)));
    check(Format::Discord, waits, Some((waits, None)));
    let thread = "https://h.example/x?thread_id=7";
    check(Format::Discord, thread, Some(("https://h.example/x?thread_id=7&wait=true", None)));
    check(
        Format::Ntfy,
        "https://h.example/T0P_ic-1",
        Some(("https://h.example/", Some("T0P_ic-1"))),
    );
    check(Format::Ntfy, "https://h.example/", None);
    let below = Some(("https://h.example/a/", Some("b")));
    check(Format::Ntfy, "https://h.example/a/b", below);
    check(Format::Ntfy, "https://h.example/a%20b", None);
}

#[test]
fn any_2xx_counts_when_the_operator_accepts_any() {
    for body in ["", "thanks", "<html>", r#"{"ok":false}"#] {
        let response =
            HttpResponse { status: 200, body_prefix: body.into(), ..HttpResponse::default() };
        for format in CHATS {
            let now = Timestamp::from_millis(0);
            let found = format.classify(&response, Accepts::AnySuccess, now);
            assert_eq!(found.class, OutcomeClass::Delivered, "for {body} of {format:?}");
        }
    }
}

/// Random bytes, and bodies that resemble the responses of services.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let key = prop::sample::select(vec![
        "ok",
        "success",
        "result",
        "status",
        "statusCode",
        "error",
        "errors",
        "id",
        "message",
        "retry_after",
        "code",
        "http",
        "data",
    ]);
    let value = prop_oneof![
        Just("true".to_owned()),
        Just("false".to_owned()),
        Just("null".to_owned()),
        Just("{}".to_owned()),
        Just("[0, {\"ok\": false}]".to_owned()),
        Just("{\"status\": \"failed\"}".to_owned()),
        Just("-1e400".to_owned()),
        Just("\"\\ud83d\"".to_owned()),
        (0_i64..1_000_000).prop_map(|it| it.to_string()),
        "\"[ -!#-\\[\\]-~]{0,20}\"",
    ];
    let field = (key, value).prop_map(|(key, value)| format!("\"{key}\":{value}"));
    let object = prop::collection::vec(field, 0..4)
        .prop_map(|fields| format!("{{{}}}", fields.join(",")).into_bytes());
    let word = prop::sample::select(vec![
        "ok",
        "OK",
        "1",
        "",
        "<html>",
        "invalid_payload",
        "delivery failed: 429",
    ]);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "[{}\\[\\],:\"a-z0-9 -]{0,60}".prop_map(String::into_bytes),
        object,
        word.prop_map(|word| word.as_bytes().to_vec()),
    ]
}

proptest! {
    #[test]
    fn only_a_2xx_delivers_and_every_delay_is_capped(
        status in 100_u16..1000,
        body_prefix in body(),
        is_undecoded: bool,
        any_success: bool,
    ) {
        let accepts = if any_success { Accepts::AnySuccess } else { Accepts::Known };
        let decode_error = is_undecoded.then(|| "is coded as `x`".to_owned());
        let response = HttpResponse { status, headers: Vec::new(), body_prefix, decode_error };
        // A body that reports a failure is no success.
        let body = BodyMeaning::of(&response);
        prop_assert!(!(body.is_success() && body.is_failure()), "{:?}", body);
        prop_assert!(body.status().is_none_or(|status| (400..600).contains(&status)));
        for format in CHATS {
            let Classification { class, retry_after, .. } =
                format.classify(&response, accepts, Timestamp::from_millis(1_800_000_000_000));
            let is_success = (200..300).contains(&status);
            prop_assert!(is_success || class != OutcomeClass::Delivered, "{response:?}");
            prop_assert!(retry_after.is_none_or(|it| it <= RETRY_AFTER_MAX), "{retry_after:?}");
            if is_success && is_undecoded && !any_success {
                prop_assert_eq!(class, OutcomeClass::Ambiguous, "{:?}: {:?}", format, response);
            }
        }
    }
}

#[test]
fn a_chat_links_to_the_page_and_shows_times_in_the_zone() {
    let context = MessageContext {
        time_zone: TimeZone::parse("Europe/Berlin").unwrap(),
        public_url: PublicUrl::new("https://watch.example.com", "/argil"),
    };
    let event = samples::all().swap_remove(0);
    let render = |format: Format| -> Value {
        serde_json::from_slice(&format.render(&event, &context).body).unwrap()
    };
    let url = "https://watch.example.com/argil/avatars/3c90c3cc-0d44-4b50-8888-8dd25736052a";
    let slack = render(Format::Slack);
    assert_eq!(slack["blocks"][4]["text"]["text"], format!("<{url}|Show the avatar>"));
    assert_eq!(render(Format::Discord)["embeds"][0]["url"], url);
    let card = render(Format::Teams)["attachments"][0]["content"]["actions"][0].clone();
    assert_eq!((&card["type"], &card["url"]), (&"Action.OpenUrl".into(), &url.into()));
    let ntfy = render(Format::Ntfy);
    assert_eq!(ntfy["click"], url);
    assert!(ntfy["message"].as_str().unwrap().contains("2026-11-23 12:15:22 +01:00"), "{ntfy}");
    let own =
        Template { tree: TemplateTree::Text("{{ url }}".to_owned()), content_type: String::new() };
    assert_eq!(render(Format::Template(own)), url);
    let standard = render(Format::Standard).to_string();
    assert!(standard.contains("2026-11-23T11:15:22.123Z") && !standard.contains(url), "{standard}");
}

/// A condition of many avatars with long names.
fn many_missing() -> Event {
    let long = "a long name; with words ".repeat(20);
    let is_missing = |it: &Event| {
        it.kind == EventKind::AvatarMissing && matches!(it.subject, Subject::Condition(_))
    };
    let one = samples::hostile(&long).into_iter().find(is_missing).unwrap();
    let mut group = one.clone();
    (1..50).for_each(|_| crate::domain::alerts::add(&mut group, &one));
    group
}

#[test]
fn a_list_that_is_too_long_for_a_chat_keeps_its_count() {
    for format in CHATS {
        let body = format.render(&many_missing(), &MessageContext::PLAIN).body;
        let message: Value = serde_json::from_slice(&body).unwrap();
        let is_counted = |text: &str| text.contains("; and ") && text.contains(" more");
        assert!(texts(&message).iter().any(|it| is_counted(it)), "{format:?}: {message}");
    }
}

#[test]
fn the_time_of_an_outage_belongs_to_no_cause_and_times_are_in_the_zone_of_the_config() {
    let context = MessageContext {
        time_zone: TimeZone::parse("Europe/Berlin").unwrap(),
        ..MessageContext::PLAIN
    };
    let texts_of = |kind: EventKind| {
        let all = samples::all().into_iter().filter(|it| it.kind == kind);
        let render = |event: Event| String::from_utf8(Format::Ntfy.render(&event, &context).body);
        all.map(|event| render(event).unwrap()).collect::<Vec<_>>().join("\n")
    };
    let outage = texts_of(EventKind::AccountUnavailable);
    assert!(outage.contains("No poll has succeeded since 2026-"), "{outage}");
    assert!(!outage.contains("Since "), "{outage}");
    let ready = texts_of(EventKind::AvatarReady);
    assert!(ready.contains("Last changed at Argil: 2026-11-23 12:14:58 +01:00"), "{ready}");
}

#[test]
fn many_dead_letters_link_to_their_list_and_no_group_refers_to_a_status_above() {
    let context = MessageContext {
        public_url: PublicUrl::new("https://watch.example.com", "/argil"),
        ..MessageContext::PLAIN
    };
    let mut letters =
        samples::all().into_iter().find(|it| it.kind == EventKind::DeliveryExhausted).unwrap();
    let Subject::DeadLetter(group) = &mut letters.subject else { panic!() };
    group.other_count = 2;
    let body = Format::Ntfy.render(&letters, &context).body;
    let message: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(message["click"], "https://watch.example.com/argil/deliveries?state=dead");
    let mut ended = many_missing();
    ended.kind = EventKind::AvatarTrainingOverdue;
    let Subject::Condition(condition) = &mut ended.subject else { panic!() };
    condition.phase = Phase::Resolved;
    let text = String::from_utf8(Format::Ntfy.render(&ended, &context).body).unwrap();
    assert!(text.contains("What to do: nothing.") && !text.contains("above"), "{text}");
}
