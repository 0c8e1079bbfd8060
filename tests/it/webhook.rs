//! A webhook against a receiver: what its answers mean, what is sent, and what is never seen.

use std::io::Write as _;
use std::time::Duration;

use avatar_watch::domain::delivery::custom_header::CustomHeaderName;
use avatar_watch::domain::delivery::{Outcome, OutcomeClass};
use avatar_watch::domain::time::timestamp::Timestamp;
use avatar_watch::notify::channel::Channel;
use avatar_watch::notify::message::OutboundMessage;
use avatar_watch::notify::webhook::sender::{Webhook, WebhookSpec};
use avatar_watch::secret::Secret;
use avatar_watch::signing_secret::SigningSecret;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::harness::rerun::check_ignores_proxies;
use crate::harness::sample_events;
use crate::harness::tls::Identity;
use crate::harness::webhook::{Answer, Receiver};

mod formats;
mod hostile;
mod program;
mod proxy;
mod trust;
mod egress;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OLD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjU";
const CANARY: &str = "C4N4RYT0KEN";
const SHORT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(8);

fn spec_with(url: &str, secrets: &[&str], timeout: Duration) -> WebhookSpec {
    let secrets = secrets.iter().map(|text| SigningSecret::parse(text).unwrap()).collect();
    WebhookSpec::new(Secret::new(url), secrets, timeout)
}

fn spec(url: &str) -> WebhookSpec {
    spec_with(url, &[SECRET], LONG)
}

/// A webhook that trusts the certificate of its receiver.
fn trusting(url: &str, identity: &Identity) -> WebhookSpec {
    WebhookSpec { ca_pem: Some(identity.pem().into_bytes()), ..spec(url) }
}

fn build(spec: WebhookSpec) -> Channel {
    Channel::Webhook(Webhook::new(spec).unwrap())
}

fn channel_with(url: &str, secrets: &[&str], timeout: Duration) -> Channel {
    build(spec_with(url, secrets, timeout))
}

fn channel(url: &str) -> Channel {
    build(spec(url))
}

fn message(channel: &Channel) -> OutboundMessage {
    let event = sample_events::settled(Some("Jane, English"), "IDLE");
    sample_events::messages(channel, &event).remove(0)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn attempt(channel: &Channel) -> Outcome {
    channel.deliver(&message(channel), sample_events::now()).await
}

/// One attempt at a receiver with this response.
async fn outcome_of(answer: Answer) -> Outcome {
    outcome_within(LONG, answer).await
}

async fn outcome_within(timeout: Duration, answer: Answer) -> Outcome {
    let receiver = Receiver::start().await;
    receiver.script([answer]);
    let outcome = attempt(&channel_with(&receiver.url(), &[SECRET], timeout)).await;
    let made = (receiver.received().len(), receiver.connections());
    assert_eq!(made, (1, 1), "one attempt is one request");
    outcome
}

/// One of each kind; `response_tests.rs` has the whole table.
#[tokio::test]
async fn each_response_has_the_class_of_the_table() {
    let check = async |answer: Answer, expected: OutcomeClass, wait_s: Option<u64>| {
        let outcome = outcome_of(answer.clone()).await;
        assert_eq!(outcome.class, expected, "for {answer:?}: {outcome:?}");
        assert_eq!(outcome.phase, "response");
        assert_eq!(outcome.retry_after, wait_s.map(Duration::from_secs), "for {answer:?}");
        assert_eq!(outcome.error.is_none(), expected == OutcomeClass::Delivered);
    };
    let with = |status, name, value| Answer::status(status).header(name, value);
    check(Answer::status(204), OutcomeClass::Delivered, None).await;
    check(Answer::status(404), OutcomeClass::Retryable, None).await;
    check(Answer::status(410), OutcomeClass::Gone, None).await;
    check(Answer::status(413), OutcomeClass::Rejected, None).await;
    check(with(401, "www-authenticate", "Basic realm=\"x\""), OutcomeClass::Retryable, None).await;
    check(with(408, "connection", "keep-alive"), OutcomeClass::Retryable, None).await;
    check(with(503, "retry-after", "7"), OutcomeClass::Throttled, Some(7)).await;
    let date = with(429, "retry-after", "Sun, 06 Nov 1994 08:49:37 GMT");
    let date = date.header("date", "Sun, 06 Nov 1994 08:49:07 GMT");
    check(date, OutcomeClass::Throttled, Some(30)).await;
    let body = Answer::status(429).body(r#"{"retry_after":9.0}"#);
    check(body, OutcomeClass::Throttled, Some(9)).await;
    let spent = with(200, "X-RateLimit-Remaining", "0").header("X-RateLimit-Reset-After", "3");
    check(spent, OutcomeClass::Delivered, Some(3)).await;
    check(with(200, "Webhook-Delivery", "disable"), OutcomeClass::Gone, None).await;
}

#[tokio::test]
async fn a_classified_response_is_explained() {
    let check = async |answer: Answer, expected: &str| {
        let outcome = outcome_of(answer).await;
        assert_eq!(outcome.error.as_deref(), Some(expected));
    };
    check(Answer::status(410), "`127.0.0.1` answered 410 (Gone)").await;
    check(
        Answer::status(500).header("webhook-delivery", "disable"),
        "`127.0.0.1` answered 500 (Internal Server Error); it asks for no more messages",
    )
    .await;
    check(
        Answer::status(500).header("webhook-delivery", "abort-message"),
        "`127.0.0.1` answered 500 (Internal Server Error); it does not want this message again",
    )
    .await;
    check(
        Answer::redirect(302, "http://elsewhere.example"),
        "`127.0.0.1` answered 302 (Found); redirects are not followed",
    )
    .await;
}

#[tokio::test]
async fn custom_headers_are_sent_and_masked() {
    let receiver = Receiver::start().await;
    let mut spec = spec(&receiver.url());
    let name = |text| CustomHeaderName::parse(text).unwrap();
    let login = "Basic dXNlcjpDNE40UllUMEtFTg==";
    spec.headers = vec![
        (name("X-Team"), Secret::new("studio 7")),
        (name("authorization"), Secret::new(login)),
    ];
    assert!(!format!("{spec:?}").contains("studio"));
    let echo = format!("who is studio 7? {login} says user:{CANARY}, and {CANARY}");
    receiver.script([Answer::status(401).body(echo)]);
    let channel = build(spec);
    let outcome = attempt(&channel).await;
    assert_eq!(outcome.snippet.as_deref(), Some("who is ***? Basic *** says ***, and ***"));
    let received = receiver.wait_for(1).await;
    assert_eq!(received[0].header("x-team"), "studio 7");
    assert_eq!(received[0].header("authorization"), login);
    assert_eq!(received[0].verify(SECRET), Ok(()));
    assert!(!format!("{channel:?}").contains("studio"));
}

#[tokio::test]
async fn two_attempts_have_the_same_id_and_bytes_and_new_timestamps() {
    let receiver = Receiver::start().await;
    receiver.script([Answer::status(500)]);
    let channel = channel_with(&receiver.url(), &[SECRET, OLD_SECRET], LONG);
    let message = message(&channel);
    let first = sample_events::now();
    let second = first.plus(Duration::from_secs(61));
    assert_eq!(channel.deliver(&message, first).await.class, OutcomeClass::Retryable);
    assert_eq!(channel.deliver(&message, second).await.class, OutcomeClass::Delivered);
    let received = receiver.wait_for(2).await;
    for (request, at) in received.iter().zip([first, second]) {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook"));
        assert_eq!(request.body, message.body);
        assert_eq!(request.header("webhook-id"), message.event_id.as_str());
        assert_eq!(request.header("webhook-timestamp"), at.as_seconds().to_string());
        assert_eq!(request.header("content-type"), "application/json");
        assert!(request.header("user-agent").starts_with("avatar-watch/"));
        assert!(!request.has_header("referer"));
        let signature = request.header("webhook-signature");
        assert_eq!((signature.matches(' ').count(), signature.matches(',').count()), (1, 2));
        for secret in [SECRET, OLD_SECRET] {
            assert_eq!(request.verify(secret), Ok(()));
            assert!(request.is_signed_with(secret));
        }
        assert!(!request.is_signed_with("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
    }
    assert_eq!(receiver.connections(), 2, "a connection is used once");
}

#[tokio::test]
async fn a_probe_connects_and_sends_nothing() {
    let receiver = Receiver::start().await;
    let outcome = channel(&receiver.url()).probe().await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Delivered, "connect"));
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn the_url_and_the_secret_are_never_shown() {
    let receiver = Receiver::start().await;
    let echo = format!("Cannot POST /h/{CANARY}?sig={CANARY}%2F for {CANARY}/ and {SECRET}");
    let origin = receiver.url().replace("/hook", "");
    let url = format!("{origin}/h/{CANARY}?sig={CANARY}%2F");
    let https = url.replace("http:", "https:");
    let key = SECRET.trim_start_matches("whsec_");
    receiver.script([
        Answer::status(404).body(echo),
        Answer::redirect(307, &format!("/h/{CANARY}")).body(CANARY),
        Answer::Reset,
        Answer::Garbage,
        Answer::Stall,
        Answer::Reset,
    ]);
    let channel = channel_with(&url, &[SECRET], SHORT);
    for _ in 0..5 {
        let outcome = attempt(&channel).await;
        let shown = format!("{outcome:?}");
        assert!(!shown.contains(CANARY) && !shown.contains(key), "{shown}");
    }
    for url in [https.as_str(), "http://no-such-host.invalid/C4N4RYT0KEN"] {
        let channel = channel_with(url, &[SECRET], SHORT);
        let shown =
            format!("{:?} {channel:?} {:?}", attempt(&channel).await, channel.probe().await);
        assert!(!shown.contains(CANARY) && !shown.contains(key), "{shown}");
    }
    let shown = format!("{channel:?} {}", channel.fingerprint());
    assert!(!shown.contains(CANARY) && !shown.contains(key), "{shown}");
}

#[tokio::test]
async fn a_time_before_the_epoch_is_still_a_number() {
    let receiver = Receiver::start().await;
    let channel = channel(&receiver.url());
    channel.deliver(&message(&channel), Timestamp::from_millis(-1)).await;
    assert_eq!(receiver.wait_for(1).await[0].header("webhook-timestamp"), "-1");
}

#[test]
fn proxy_variables_are_ignored() {
    check_ignores_proxies("webhook::proxy_variables_are_ignored", async {
        let receiver = Receiver::start().await;
        let outcome = attempt(&channel(&receiver.url())).await;
        assert_eq!(outcome.class, OutcomeClass::Delivered, "{outcome:?}");
    });
}
