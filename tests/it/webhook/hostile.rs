//! The hostile receiver: it refuses, breaks off, drips, floods, stalls, lies and sends elsewhere.
//!
//! Whatever it does, an attempt ends in time, and is one request on one connection.

use std::time::Instant;

use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::harness::argil::Answer as Wire;
use crate::harness::full_listener::full;
use crate::harness::tls::{Identity, TlsServer};

/// The promise of a body that is too long to come.
const PROMISE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";

fn endless(head: &str, piece: &str) -> Answer {
    Answer::Broken(Wire::Endless { head: head.into(), piece: piece.into() })
}

fn cut_body() -> Answer {
    Answer::Broken(Wire::Raw(format!("{PROMISE}so far").into()))
}

fn stalled_body() -> Answer {
    Answer::Broken(Wire::Stall(PROMISE.into()))
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::start().await;
    for status in [301, 302, 303, 307, 308] {
        let outcome = outcome_of(Answer::redirect(status, &elsewhere.url())).await;
        assert_eq!((outcome.class, outcome.code), (OutcomeClass::Retryable, Some(status)));
    }
    let here = outcome_of(Answer::redirect(308, "/hook")).await;
    assert_eq!((here.class, here.code), (OutcomeClass::Retryable, Some(308)));
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_lost_response_is_ambiguous() {
    for answer in [
        Answer::Stall,
        Answer::Reset,
        Answer::CloseBeforeHead,
        Answer::Garbage,
        Answer::Broken(Wire::ResetInHead),
        endless("HTTP/1.1 200 OK\r\n", "x-more: and more\r\n"),
        endless("", "HTTP/1.1 103 Early Hints\r\n\r\n"),
        Answer::Hold,
    ] {
        let outcome = outcome_within(SHORT, answer.clone()).await;
        assert_eq!(outcome.class, OutcomeClass::Ambiguous, "for {answer:?}: {outcome:?}");
        assert_eq!((outcome.phase, outcome.code), ("response", None), "for {answer:?}");
        assert!(outcome.error.unwrap().contains("127.0.0.1"));
    }
}

#[tokio::test]
async fn a_success_counts_without_its_body() {
    let drip = Wire::Drip {
        pieces: [PROMISE].into_iter().chain(["."; 10_000]).map(Into::into).collect(),
        pause: Duration::from_millis(5),
    };
    let flood = endless(PROMISE, &"x".repeat(8192));
    for answer in [stalled_body(), Answer::Broken(drip), flood, cut_body()] {
        let outcome = outcome_within(SHORT, answer.clone()).await;
        assert_eq!(outcome.class, OutcomeClass::Delivered, "for {answer:?}: {outcome:?}");
        let snippet = outcome.snippet.unwrap_or_default();
        assert!(snippet.chars().count() <= 200, "for {answer:?}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_retried() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let channel = channel(&format!("http://127.0.0.1:{port}/"));
    for outcome in [attempt(&channel).await, channel.probe().await] {
        assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "connect"));
    }
}

#[tokio::test]
async fn a_name_without_an_address_fails_to_resolve() {
    let outcome = attempt(&channel("http://no-such-host.invalid/hook")).await;
    assert_eq!(outcome.phase, "resolve", "{outcome:?}");
    assert_ne!(outcome.class, OutcomeClass::Ambiguous);
}

#[tokio::test]
async fn tls_that_breaks_after_the_request_is_ambiguous() {
    let identity = Identity::self_signed("127.0.0.1", 4000);
    let server = TlsServer::start(&identity, "HTTP/1.1 200 OK\r\n\r\n").await;
    server.break_off();
    let outcome = attempt(&build(trusting(&server.base_url(), &identity))).await;
    assert_eq!(server.requests(), 1);
    let found = (outcome.class, outcome.phase);
    assert_eq!(found, (OutcomeClass::Ambiguous, "response"), "{outcome:?}");
    assert!(outcome.error.unwrap().contains("TLS"));
}

#[tokio::test]
async fn a_connection_closed_at_once_is_ambiguous() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let resets = async {
        let mut connections = 0;
        while let Ok(accepted) = timeout(SHORT, listener.accept()).await {
            accepted.unwrap().0.set_zero_linger().unwrap();
            connections += 1;
        }
        connections
    };
    let channel = channel(&url);
    let (outcome, connections) = tokio::join!(attempt(&channel), resets);
    assert!(
        matches!(outcome.class, OutcomeClass::Ambiguous | OutcomeClass::Retryable),
        "{outcome:?}"
    );
    assert_eq!(connections, 1, "not tried twice");
}

#[tokio::test]
async fn a_connection_that_is_never_accepted_times_out() {
    let (address, _full) = full("127.0.0.1:0".parse().unwrap()).await;
    let begun = Instant::now();
    let channel = channel_with(&format!("http://{address}/"), &[SECRET], SHORT);
    let outcome = attempt(&channel).await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "connect"));
    assert!(outcome.error.unwrap().contains("in time"));
    assert!(begun.elapsed() < SHORT * 3);
}
