//! The API client against a server that does what servers do on bad days: one test for each
//! fault of a poll.

mod responses;
mod lists;
mod moved;
mod environment;

use std::time::Duration;

use avatar_watch::argil::client::{ApiClientSpec, Client};
use avatar_watch::argil::error::ArgilError;
use avatar_watch::domain::avatar::AvatarId;
use avatar_watch::domain::avatar::status::Status;
use avatar_watch::domain::polling::observation::{Denial, Observation};
use avatar_watch::domain::time::timestamp::Timestamp;
use avatar_watch::secret::Secret;

use crate::harness::argil::{Answer, FakeArgil};

const KEY: &str = "canary-5f1d-must-not-be-seen";
const AVATAR: &str = r#"{"id":"a1","status":"IDLE"}"#;
/// `Sun, 06 Nov 1994 08:49:37 GMT`
const NOW: Timestamp = Timestamp::from_millis(784_111_777_000);

fn client_at(base_url: &str, timeout: Duration) -> Client {
    Client::new(ApiClientSpec {
        base_url: base_url.parse().unwrap(),
        api_key: Secret::new(KEY),
        timeout,
    })
    .unwrap()
}

fn client(api: &FakeArgil) -> Client {
    client_at(api.base_url().as_str(), Duration::from_secs(8))
}

/// Polls `id`; the result never contains the key.
async fn poll(client: &Client, id: &str) -> Observation {
    let seen = client.get_avatar(&AvatarId::parse(id).unwrap(), NOW).await;
    assert!(!format!("{seen:?}").contains(KEY), "the key is in {seen:?}");
    seen
}

fn reason(seen: &Observation) -> &str {
    match seen {
        Observation::Seen(_) => "seen",
        Observation::Missing { reason }
        | Observation::Denied { reason, .. }
        | Observation::Throttled { reason, .. }
        | Observation::Failed { reason, .. } => reason,
    }
}

#[track_caller]
fn check_failed(seen: &Observation, expected: &str) {
    assert!(matches!(seen, Observation::Failed { .. }), "{seen:?}");
    assert!(reason(seen).contains(expected), "`{}` does not say `{expected}`", reason(seen));
    assert!(!reason(seen).contains("/avatars"), "a URL is in `{}`", reason(seen));
}

#[track_caller]
fn check_idle(seen: &Observation) {
    match seen {
        Observation::Seen(avatar) => assert_eq!(avatar.status, Status::Idle),
        other => panic!("not seen: {other:?}"),
    }
}

/// What one special answer is taken for.
async fn observe(answer: Answer) -> Observation {
    observe_within(answer, Duration::from_secs(8)).await
}

async fn observe_within(answer: Answer, timeout: Duration) -> Observation {
    let api = FakeArgil::start();
    api.answer_next("a1", answer);
    let seen = poll(&client_at(api.base_url().as_str(), timeout), "a1").await;
    assert_eq!(api.requests().len(), 1, "one poll, one request");
    seen
}

fn raw(text: &str) -> Answer {
    Answer::Raw(text.as_bytes().to_vec())
}

/// A head that promises `length` bytes, and a body that need not keep the promise.
fn with_length(length: usize, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")
}

#[tokio::test]
async fn a_poll_shows_the_status_on_one_connection() {
    let api = FakeArgil::start();
    api.require_key(KEY);
    let client = client(&api);
    for (status, expected) in [
        ("NOT_TRAINED", Status::NotTrained),
        ("TRAINING", Status::Training),
        ("IDLE", Status::Idle),
        ("CONTENT_MODERATED", Status::Unrecognized("CONTENT_MODERATED".to_owned())),
    ] {
        api.set_status("a1", status);
        match poll(&client, "a1").await {
            Observation::Seen(avatar) => {
                assert_eq!(avatar.status, expected);
                assert_eq!(avatar.name.as_deref(), Some("avatar a1"));
            }
            other => panic!("not seen: {other:?}"),
        }
    }
    api.remove("a1");
    let gone = poll(&client, "a1").await;
    assert!(matches!(gone, Observation::Missing { .. }), "{gone:?}");
    assert_eq!(reason(&gone), "the API answered 404: `Avatar not found`");
    assert_eq!((api.count("a1"), api.connections()), (5, 1));
}

#[tokio::test]
async fn a_request_carries_what_it_must_and_nothing_else() {
    let api = FakeArgil::start();
    poll(&client(&api), "a1").await;
    let requests = api.requests();
    let names: Vec<_> = requests[0].headers.iter().map(|(name, _)| name.as_str()).collect();
    for name in &names {
        let known = ["x-api-key", "accept", "user-agent", "accept-encoding", "host"];
        assert!(known.contains(name), "`{name}` is sent");
    }
    assert_eq!(requests[0].header("x-api-key"), Some(KEY));
    assert_eq!(requests[0].header("accept"), Some("application/json"));
    assert_eq!(requests[0].header("accept-encoding"), Some("gzip"));
    let agent = format!("avatar-watch/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(requests[0].header("user-agent"), Some(agent.as_str()));
}

#[tokio::test]
async fn an_id_stays_one_segment_of_the_path() {
    let api = FakeArgil::start();
    let base = api.base_url().to_string();
    for base in [base.clone(), format!("{base}/")] {
        let client = client_at(&base, Duration::from_secs(8));
        for id in
            ["a1", "a/b", "../x", "a?b", "a#b", "%2e%2e", "a%2fb", "a\\b", "a;b&c=d", "{\"|^`}"]
        {
            api.set_status(id, "IDLE");
            check_idle(&poll(&client, id).await);
            let path = api.requests().pop().unwrap().path.clone();
            assert!(path.starts_with("/v1/avatars/"), "`{path}`");
            assert_eq!(path.matches('/').count(), 3, "`{path}`");
            assert!(!path.contains(['?', '#', '\\']), "`{path}`");
        }
    }
}

#[tokio::test]
async fn a_client_needs_a_usable_url_and_key() {
    let check = |url: &str, key: &str, expected: &str| {
        let spec = ApiClientSpec {
            base_url: url.parse().unwrap(),
            api_key: Secret::new(key),
            timeout: Duration::from_secs(1),
        };
        assert!(!format!("{spec:?}").contains(KEY));
        let error: ArgilError = Client::new(spec).err().unwrap();
        assert_eq!(error.to_string(), expected, "for `{url}`");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    };
    check(
        "ftp://127.0.0.1",
        KEY,
        "the base URL of the API must begin with `https://` or `http://`",
    );
    check(
        "http://canary:x@127.0.0.1",
        KEY,
        "the base URL of the API must not contain a user name or a password",
    );
    check("http://127.0.0.1/v1?a=b", KEY, "the base URL of the API must not contain `?` or `#`");
    check("http://127.0.0.1", "", "the API key is empty");
    check("http://127.0.0.1", "canary\n", "the API key has characters that no header can carry");
}

#[tokio::test]
async fn a_connection_that_dies_on_first_use_is_a_failure() {
    let closed = observe(Answer::CloseBeforeHead).await;
    check_failed(&closed, "closed the connection without an answer");
    check_failed(&observe(Answer::Reset).await, "broke: connection reset");
}

#[tokio::test]
async fn a_poll_never_sends_more_than_two_requests() {
    let api = FakeArgil::start();
    api.set_status("a1", "IDLE");
    let client = client(&api);
    check_idle(&poll(&client, "a1").await);
    api.answer_with(|_| Some(Answer::CloseBeforeHead));
    check_failed(&poll(&client, "a1").await, "closed the connection without an answer");
    assert_eq!(api.count("a1"), 3);
}

#[tokio::test]
async fn only_a_closed_connection_is_tried_again() {
    let garbage = [raw("SSH-2.0-OpenSSH_9.2\r\n"), raw(&with_length(99, AVATAR))];
    for answer in garbage.into_iter().chain([Answer::status(500, ""), Answer::Stall(Vec::new())]) {
        let api = FakeArgil::start();
        api.set_status("a1", "IDLE");
        let client = client_at(api.base_url().as_str(), Duration::from_millis(500));
        check_idle(&poll(&client, "a1").await);
        api.answer_next("a1", answer);
        check_failed(&poll(&client, "a1").await, "");
        assert_eq!(api.count("a1"), 2);
    }
}

#[tokio::test]
async fn a_stalled_body_does_not_hide_what_the_code_said() {
    let head = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 50\r\n\r\nbad key".to_vec();
    let seen = observe_within(Answer::Stall(head), Duration::from_millis(300)).await;
    assert_eq!(
        seen,
        Observation::Denied {
            denial: Denial::Key,
            reason: "the API answered 401: `bad key`".to_owned()
        }
    );
}
