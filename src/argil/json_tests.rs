use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::{prop_assert, prop_assert_eq, prop_assert_ne, proptest};
use serde_json::json;

use super::*;

fn read(body: impl AsRef<[u8]>) -> Result<Avatar, DecodeError> {
    read_avatar(body.as_ref(), &AvatarId::parse("a1").unwrap(), &Mask::new(["C4N4RY-K3Y"]))
}

fn check(body: impl AsRef<[u8]>, expected: &str) {
    let body = body.as_ref();
    let shown = String::from_utf8_lossy(body);
    let reason = read(body).map(|avatar| avatar.status).map_err(|error| error.to_string());
    assert_eq!(reason, Err(expected.to_owned()), "for {:.100}", shown);
}

#[test]
fn the_documented_answer_is_read() {
    let avatar = read(
        json!({
            "id": "A1", "name": "Jane", "actorName": "Jane", "createAt": "2023-11-07T05:31:56Z",
            "updatedAt": "2023-11-07T05:31:56Z", "status": "TRAINING", "width": 1080,
            "gestures": [{"label": "wave", "slug": "wave-1", "startFrame": 12.5}],
            "extras": {"customer": "42"}, "orientation": "ASPECT_RATIO_9_16",
            "model": "ARGIL_ATOM", "thumbnailUrl": "https://cdn.example.com/a.png",
        })
        .to_string(),
    );
    let expected = Avatar {
        id: AvatarId::parse("a1").unwrap(),
        status: Status::Training,
        name: Some("Jane".to_owned()),
        model: Some("ARGIL_ATOM".to_owned()),
        orientation: Some("ASPECT_RATIO_9_16".to_owned()),
        thumbnail_url: Some("https://cdn.example.com/a.png".to_owned()),
        extras: [("customer".to_owned(), "42".to_owned())].into(),
        updated_at: Some("2023-11-07T05:31:56Z".to_owned()),
    };
    assert_eq!(avatar, Ok(expected));
    assert!(read("\u{feff} {\"id\":\"a1\",\"status\":\"IDLE\"}").is_ok());
}

#[test]
fn a_field_of_another_type_spoils_nothing() {
    for odd in [json!(null), json!(7), json!(-7), json!(1.5), json!(true), json!([{"a": []}])] {
        let avatar = read(
            json!({"id": "a1", "status": "IDLE", "name": odd, "model": odd, "extras": odd,
                "orientation": {"a": "b"}, "updatedAt": odd, "new": odd})
            .to_string(),
        )
        .unwrap();
        assert_eq!((avatar.name, avatar.model, avatar.orientation), (None, None, None));
        assert_eq!((avatar.updated_at, avatar.extras.len()), (None, 0));
    }
}

#[test]
fn an_unknown_status_is_kept_as_it_came() {
    let avatar = read(r#"{"id":"a1","status":"CONTENT_MODERATED"}"#).unwrap();
    assert_eq!(avatar.status, Status::Unrecognized("CONTENT_MODERATED".to_owned()));
    let longest = "é".repeat(STATUS_LENGTH_MAX);
    let avatar = read(json!({"id": "a1", "status": longest}).to_string()).unwrap();
    assert_eq!(avatar.status.name(), longest);
}

#[test]
fn without_the_id_and_a_status_nothing_was_seen() {
    check("", "the answer is empty");
    check(" \n", "the answer is empty");
    check("<!doctype html><p>Sign in", "the answer is a web page, not JSON");
    check("OK", "the answer cannot be read as JSON, at line 1, column 1");
    check(b"\xff\xfe", "the answer cannot be read as JSON, at line 1, column 1");
    check(
        r#"{"id":"a1","status":"IDLE"} x"#,
        "the answer cannot be read as JSON, at line 1, column 29",
    );
    check(r#"{"id":"a1","sta"#, "the answer is JSON that breaks off");
    check(r#"[{"id":"a1","status":"IDLE"}]"#, "the answer is JSON, but not an avatar");
    check("null", "the answer is JSON, but not an avatar");
    check("{}", "the answer has no `id`");
    check(r#"{"status":"IDLE"}"#, "the answer has no `id`");
    check(r#"{"id":7,"status":"IDLE"}"#, "`id` in the answer is a number, not a text");
    check(r#"{"id":"a2","status":"IDLE"}"#, "the answer is about another avatar");
    check(r#"{"id":"a1"}"#, "the answer has no `status`");
    check(r#"{"id":"a1","status":null}"#, "`status` in the answer is null, not a text");
    check(r#"{"id":"a1","status":3}"#, "`status` in the answer is a number, not a text");
    check(r#"{"id":"a1","status":""}"#, "`status` in the answer is empty, not a text");
    check(r#"{"id":"a1","status":" "}"#, "`status` in the answer is empty, not a text");
    check(
        r#"{"id":"a1","status":{"a":"IDLE"}}"#,
        "`status` in the answer is an object, not a text",
    );
    check(
        json!({"id": "a1", "status": "X".repeat(65)}).to_string(),
        "`status` in the answer is longer than 64 characters",
    );
}

#[test]
fn a_field_that_comes_twice_is_not_believed() {
    check(
        r#"{"id":"a1","status":"IDLE","status":"IDLE"}"#,
        "the answer has the field `status` twice",
    );
    check(r#"{"id":"a1","status":"IDLE","id":"a2"}"#, "the answer has the field `id` twice");
    assert!(read(r#"{"id":"a1","status":"IDLE","new":1,"new":2}"#).is_ok());
}

#[test]
fn depth_and_invalid_text_are_found_in_unknown_fields() {
    let bomb = "[".repeat(100_000);
    check(&bomb, "the answer is JSON, but not an avatar");
    check(
        format!(r#"{{"id":"a1","status":"IDLE","x":{bomb}"#),
        "the answer cannot be read as JSON, at line 1, column 158",
    );
    check(
        b"{\"id\":\"a1\",\"status\":\"IDLE\",\"x\":\"\xff\"}",
        "the answer cannot be read as JSON, at line 1, column 33",
    );
}

#[test]
fn texts_and_pairs_are_bounded() {
    let pairs: serde_json::Map<_, _> =
        (0..100).map(|n| (format!("key{n:03}"), json!(n.to_string()))).collect();
    let avatar = read(
        json!({"id": "a1", "status": "IDLE", "name": "é".repeat(600), "extras": pairs}).to_string(),
    )
    .unwrap();
    assert_eq!(avatar.name, Some("é".repeat(512)));
    assert_eq!(avatar.extras.len(), 64);
    let long = "x".repeat(1025);
    let extras = json!({"a": long, long.as_str(): "b", "n": 1, "c": "d".repeat(1024)});
    let avatar = read(json!({"id": "a1", "status": "IDLE", "extras": extras}).to_string());
    assert_eq!(avatar.unwrap().extras.keys().collect::<Vec<_>>(), ["c"]);
}

#[test]
fn what_is_secret_in_an_avatar_is_masked() {
    let (key, coded) = ("C4N4RY-K3Y", "c4n4ry%2Dk3y");
    let long = format!("{}{key}", "x".repeat(1019));
    let avatar = read(
        json!({"id": "a1", "status": coded, "name": format!("Jane {key}"), "model": coded,
            "orientation": long, "updatedAt": key, "extras": {"a": key, key: "b"},
            "thumbnailUrl": format!("https://cdn.example.com/{coded}.png")})
        .to_string(),
    )
    .unwrap();
    assert_eq!(avatar.status, Status::Unrecognized("***".to_owned()));
    assert_eq!(avatar.name.as_deref(), Some("Jane ***"));
    assert_eq!(avatar.orientation, Some(format!("{}***", "x".repeat(1019))));
    assert_eq!(avatar.thumbnail_url.as_deref(), Some("https://cdn.example.com/***.png"));
    let shown = format!("{avatar:?}").to_lowercase();
    assert!(!shown.contains("c4n4ry") && !shown.contains("k3y"), "{shown}");
}

#[test]
fn each_form_of_an_error_is_understood() {
    let check = |body: &str, expected: &str| assert_eq!(error_text(body.as_bytes()), expected);
    check(r#"{"code":404,"message":"Avatar not found"}"#, "Avatar not found");
    check(
        r#"{"success":false,"error":{"code":"INVALID_INPUT","message":"too many"}}"#,
        "INVALID_INPUT: too many",
    );
    check(r#"{"error":"Unauthorized"}"#, "Unauthorized");
    check(r#"{"error":null,"message":"no"}"#, "no");
    check(r#"{"error":{"code":"GONE"}}"#, "GONE");
    check(r#"{"detail":[1]}"#, r#"{"detail":[1]}"#);
    check("upstream exploded", "upstream exploded");
    check("", "");
    assert_eq!(error_text(b"\xffno"), "\u{fffd}no");
}

/// Bodies that are almost right: the fields of an avatar with any values, damaged or not.
fn almost_right() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        Just(json!("a1")),
        Just(json!("A1")),
        Just(json!("IDLE")),
        Just(json!(null)),
        Just(json!({"a": "b"})),
        any::<i64>().prop_map(|n| json!(n)),
        any::<String>().prop_map(|text| json!(text)),
    ];
    let name = prop_oneof![Just("id"), Just("status"), Just("name"), Just("extras"), Just("x")];
    let damage = prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>()));
    (prop::collection::vec((name, value), 0..6), damage).prop_map(|(fields, damage)| {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let mut body = format!("{{{}}}", fields.join(",")).into_bytes();
        if let Some((place, byte)) = damage {
            let place = place.index(body.len());
            body[place] = byte;
        }
        body
    })
}

proptest! {
    #[test]
    fn only_an_object_with_that_id_and_a_status_is_seen(
        body in prop_oneof![almost_right(), prop::collection::vec(any::<u8>(), 0..200)],
    ) {
        if let Ok(avatar) = read(&body) {
            let value: Value = serde_json::from_slice(&body).unwrap();
            prop_assert!(value["id"].as_str().unwrap().eq_ignore_ascii_case("a1"));
            let status = value["status"].as_str().map(Status::from_answer);
            prop_assert_eq!(status.as_ref(), Some(&avatar.status));
            prop_assert_ne!(avatar.status.name(), "");
        }
    }
}
