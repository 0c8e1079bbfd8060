//! A webhook against a receiver that behaves and misbehaves: what each end of a try means, what
//! is sent, and what is never sent anywhere.

use std::time::Duration;

use avatar_watch::domain::delivery::{Outcome, OutcomeClass, RETRY_AFTER_MAX};
use avatar_watch::domain::timestamp::Timestamp;
use avatar_watch::notify::channels::{Channel, Parcel};
use avatar_watch::notify::http::{Webhook, WebhookSpec};
use avatar_watch::secret::Secret;
use avatar_watch::signing_secret::SigningSecret;
use tokio::net::TcpListener;

use crate::harness::news;
use crate::harness::smtp::{Mailbox, Security};
use crate::harness::webhook::{Answer, Receiver};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OLD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjU";
const CANARY: &str = "C4N4RYT0KEN";
const SHORT: Duration = Duration::from_secs(1);

fn channel_with(url: &str, secrets: &[&str], timeout: Duration) -> Channel {
    let secrets = secrets.iter().map(|text| SigningSecret::parse(text).unwrap()).collect();
    let spec = WebhookSpec { url: Secret::new(url), secrets, timeout };
    Channel::Webhook(Webhook::new(spec).unwrap())
}

fn channel(url: &str) -> Channel {
    channel_with(url, &[SECRET], Duration::from_secs(8))
}

fn parcel(channel: &Channel) -> Parcel {
    let event = news::settled(Some("Jane, English"), "IDLE");
    news::parcels(channel, &event).remove(0)
}

async fn try_once(channel: &Channel) -> Outcome {
    channel.deliver(&parcel(channel), news::now()).await
}

/// One try at a receiver that answers so.
async fn outcome_of(answer: Answer) -> Outcome {
    let receiver = Receiver::start().await;
    receiver.script([answer]);
    let outcome = try_once(&channel(&receiver.url())).await;
    assert_eq!(receiver.received().len(), 1, "one try is one request");
    outcome
}

/// One try, with a short timeout, at a receiver that does so.
async fn impatient_outcome_of(answer: Answer) -> Outcome {
    let receiver = Receiver::start().await;
    receiver.script([answer]);
    let outcome = try_once(&channel_with(&receiver.url(), &[SECRET], SHORT)).await;
    assert_eq!((receiver.received().len(), receiver.connections()), (1, 1));
    outcome
}

#[tokio::test]
async fn each_answer_means_what_the_table_says() {
    let check = async |answer: Answer, expected: OutcomeClass, wait_s: Option<u64>| {
        let outcome = outcome_of(answer.clone()).await;
        assert_eq!(outcome.class, expected, "for {answer:?}: {outcome:?}");
        assert_eq!(outcome.phase, "response");
        assert_eq!(outcome.retry_after, wait_s.map(Duration::from_secs), "for {answer:?}");
        assert_eq!(outcome.error.is_none(), expected == OutcomeClass::Delivered);
    };
    for status in [200, 201, 202, 204] {
        check(Answer::status(status), OutcomeClass::Delivered, None).await;
    }
    for status in [400, 401, 404, 410, 500, 502, 503, 504] {
        check(Answer::status(status), OutcomeClass::Retryable, None).await;
    }
    for status in [413, 415] {
        check(Answer::status(status), OutcomeClass::Rejected, None).await;
    }
    let wait = |status, value| Answer::status(status).header("retry-after", value);
    check(Answer::status(429), OutcomeClass::Throttled, None).await;
    check(wait(429, "7"), OutcomeClass::Throttled, Some(7)).await;
    check(wait(429, "soon"), OutcomeClass::Throttled, None).await;
    check(wait(503, "7"), OutcomeClass::Throttled, Some(7)).await;
    check(wait(503, "soon"), OutcomeClass::Retryable, None).await;
    check(wait(500, "7"), OutcomeClass::Retryable, Some(7)).await;
    check(wait(200, "7"), OutcomeClass::Delivered, None).await;
    let year = RETRY_AFTER_MAX.as_secs();
    check(wait(429, "31536000"), OutcomeClass::Throttled, Some(year)).await;
    let date = wait(429, "Sun, 06 Nov 1994 08:49:37 GMT");
    let date = date.header("date", "Sun, 06 Nov 1994 08:49:07 GMT");
    check(date, OutcomeClass::Throttled, Some(30)).await;
}

#[tokio::test]
async fn two_tries_have_the_same_id_and_bytes_and_other_timestamps() {
    let receiver = Receiver::start().await;
    receiver.script([Answer::status(500)]);
    let channel = channel_with(&receiver.url(), &[SECRET, OLD_SECRET], Duration::from_secs(8));
    let parcel = parcel(&channel);
    let first = news::now();
    let second = first.plus(Duration::from_secs(61));
    assert_eq!(channel.deliver(&parcel, first).await.class, OutcomeClass::Retryable);
    assert_eq!(channel.deliver(&parcel, second).await.class, OutcomeClass::Delivered);
    let received = receiver.wait_for(2).await;
    for (request, at) in received.iter().zip([first, second]) {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook"));
        assert_eq!(request.body, parcel.body);
        assert_eq!(request.header("webhook-id"), parcel.event_id.as_str());
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
async fn a_channel_without_secrets_sends_no_signature() {
    let receiver = Receiver::start().await;
    try_once(&channel_with(&receiver.url(), &[], Duration::from_secs(8))).await;
    let received = receiver.wait_for(1).await;
    assert!(!received[0].has_header("webhook-signature"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::start().await;
    for status in [301, 302, 303, 307, 308] {
        let outcome = outcome_of(Answer::redirect(status, &elsewhere.url())).await;
        assert_eq!((outcome.class, outcome.code), (OutcomeClass::Retryable, Some(status)));
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn once_the_request_is_out_a_lost_answer_leaves_a_doubt() {
    let check = async |answer: Answer| {
        let outcome = impatient_outcome_of(answer.clone()).await;
        assert_eq!(outcome.class, OutcomeClass::Ambiguous, "for {answer:?}: {outcome:?}");
        assert_eq!((outcome.phase, outcome.code), ("response", None), "for {answer:?}");
        assert!(outcome.error.unwrap().contains("127.0.0.1"));
    };
    check(Answer::Stall).await;
    check(Answer::Reset).await;
    check(Answer::CloseBeforeHead).await;
    check(Answer::Garbage).await;
    check(Answer::Hold).await;
}

#[tokio::test]
async fn a_good_head_counts_whatever_becomes_of_the_body() {
    for answer in [Answer::OkThenStall, Answer::Drip, Answer::Flood] {
        let outcome = impatient_outcome_of(answer.clone()).await;
        assert_eq!(outcome.class, OutcomeClass::Delivered, "for {answer:?}: {outcome:?}");
        let snippet = outcome.snippet.unwrap_or_default();
        assert!(snippet.chars().count() <= 200, "for {answer:?}");
    }
}

#[tokio::test]
async fn a_held_request_ends_when_it_is_let_go() {
    let receiver = Receiver::start().await;
    receiver.script([Answer::Hold]);
    let channel = channel(&receiver.url());
    let (outcome, ()) = tokio::join!(try_once(&channel), async {
        receiver.wait_for(1).await;
        receiver.release();
    });
    assert_eq!(outcome.class, OutcomeClass::Delivered);
}

#[tokio::test]
async fn a_snippet_is_one_harmless_line() {
    let answer = Answer::status(500).body("<h1>down\u{1b}[31m\r\n\u{202e}evil</h1>");
    let outcome = outcome_of(answer).await;
    assert_eq!(outcome.snippet.as_deref(), Some("<h1>down [31m evil</h1>"));
}

#[tokio::test]
async fn who_does_not_take_the_connection_is_tried_again() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let channel = channel(&format!("http://127.0.0.1:{port}/"));
    let refused = try_once(&channel).await;
    assert_eq!((refused.class, refused.phase), (OutcomeClass::Retryable, "connect"));
    let probed = channel.probe().await;
    assert_eq!((probed.class, probed.phase), (OutcomeClass::Retryable, "connect"));
}

#[tokio::test]
async fn a_name_without_an_address_is_a_failure_of_the_look_up() {
    let outcome = try_once(&channel("http://no-such-host.invalid/hook")).await;
    assert_eq!(outcome.phase, "resolve", "{outcome:?}");
    assert_ne!(outcome.class, OutcomeClass::Ambiguous);
}

#[tokio::test]
async fn without_tls_or_trust_nothing_is_sent() {
    let plain = Receiver::start().await;
    let outcome = try_once(&channel(&plain.url().replace("http:", "https:"))).await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "tls"), "{outcome:?}");
    assert!(plain.received().is_empty());
    // Any server with a certificate of its own will do.
    let stranger = Mailbox::start(Security::Implicit, None).await;
    let url = format!("https://localhost:{}/{CANARY}", stranger.port());
    let outcome = try_once(&channel(&url)).await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "tls"), "{outcome:?}");
    assert!(outcome.error.unwrap().contains("certificate"));
}

#[tokio::test]
async fn a_probe_connects_and_sends_nothing() {
    let receiver = Receiver::start().await;
    let outcome = channel(&receiver.url()).probe().await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Delivered, "connect"));
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn the_url_and_the_secret_are_never_seen() {
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
        let outcome = try_once(&channel).await;
        let shown = format!("{outcome:?}");
        assert!(!shown.contains(CANARY) && !shown.contains(key), "{shown}");
    }
    for url in [https.as_str(), "http://no-such-host.invalid/C4N4RYT0KEN"] {
        let channel = channel_with(url, &[SECRET], SHORT);
        let shown =
            format!("{:?} {channel:?} {:?}", try_once(&channel).await, channel.probe().await);
        assert!(!shown.contains(CANARY) && !shown.contains(key), "{shown}");
    }
    let shown = format!("{channel:?} {}", channel.fingerprint());
    assert!(!shown.contains(CANARY) && !shown.contains(key), "{shown}");
}

#[tokio::test]
async fn a_moment_before_the_epoch_is_still_a_number() {
    let receiver = Receiver::start().await;
    let channel = channel(&receiver.url());
    channel.deliver(&parcel(&channel), Timestamp::from_millis(-1)).await;
    assert_eq!(receiver.wait_for(1).await[0].header("webhook-timestamp"), "-1");
}
