//! Each format over the wire: where it is posted, what is in it, and what the answers of its
//! target mean.

use avatar_watch::domain::delivery::channel_name::Accepts;
use avatar_watch::domain::delivery::template_tree::TemplateTree;
use avatar_watch::notify::format::kind::Format;
use avatar_watch::notify::format::template::Template;
use serde_json::json;

use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::harness::webhook::Received;

fn speaking(format: Format, url: &str) -> Channel {
    build(WebhookSpec { format, ..spec_with(url, &[], LONG) })
}

/// One attempt at a receiver with this path and response.
async fn attempt_with(format: Format, path: &str, answer: Answer) -> (Outcome, Received) {
    let receiver = Receiver::start().await;
    receiver.script([answer]);
    let url = receiver.url().replace("/hook", path);
    let outcome = attempt(&speaking(format, &url)).await;
    assert_eq!(receiver.received().len(), 1, "one attempt is one request");
    (outcome, receiver.received().remove(0))
}

/// An answer that is none of HTTP: it came after the post, which is most likely to be seen.
#[tokio::test]
async fn an_unreadable_response_differs_from_none() {
    let check = async |format: Format, head: &str, expected: (&str, &str)| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/services/T/B/X", listener.local_addr().unwrap());
        let answer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 16_384];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(format!("{head}\r\n\r\nok").as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let channel = speaking(format, &url);
        let (outcome, ()) = tokio::join!(attempt(&channel), answer);
        let found = (outcome.class, outcome.phase, outcome.code);
        assert_eq!(found, (OutcomeClass::Ambiguous, expected.0, None), "for {head:?}");
        assert!(outcome.error.as_ref().unwrap().contains(expected.1), "{outcome:?}");
    };
    let is_no_http = "sent a response that is not valid HTTP";
    let many = format!("HTTP/1.1 200 OK{}", "\r\nx: y".repeat(300));
    for head in [
        "ICY 200 OK",
        "HTTP/2 200",
        "HTTP/1.1 200 OK\r\nbad header",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3",
        &many,
    ] {
        check(Format::Slack, head, ("garbled_response", is_no_http)).await;
    }
    // Programs recognize a repeat by its id, so the message is sent again.
    check(Format::Standard, "ICY 200 OK", ("response", is_no_http)).await;
    check(Format::Slack, "", ("garbled_response", is_no_http)).await;
}

#[tokio::test]
async fn a_response_is_decoded_whatever_its_coding() {
    let coded = |status: u16, body: &str| {
        Answer::status(status).header("content-encoding", "X-GZip").body(gzip(body.as_bytes()))
    };
    let path = "/hook";
    let (outcome, request) = attempt_with(Format::Slack, path, coded(200, "ok")).await;
    assert_eq!((outcome.class, outcome.snippet.as_deref()), (OutcomeClass::Delivered, Some("ok")));
    assert!(!request.has_header("accept-encoding"), "no coding is asked for");
    assert!(!request.has_header("webhook-signature"));
    let limited = coded(429, r#"{"retry_after":0.376,"global":false}"#);
    let (outcome, _) = attempt_with(Format::Discord, path, limited).await;
    assert_eq!(outcome.retry_after, Some(Duration::from_millis(376)));
    let gone = coded(404, r#"{"message":"Unknown Webhook","code":10015}"#);
    assert_eq!(attempt_with(Format::Discord, path, gone).await.0.class, OutcomeClass::Gone);
    let quota = coded(429, r#"{"code":42908,"http":429}"#);
    let (outcome, _) = attempt_with(Format::Ntfy, path, quota).await;
    assert_eq!(outcome.retry_after, Some(Duration::from_hours(3)));
    let failed = coded(200, "delivery failed with error: HTTP error 413");
    let (outcome, _) = attempt_with(Format::Teams, path, failed).await;
    assert_eq!((outcome.class, outcome.code), (OutcomeClass::Rejected, Some(200)));
    // What cannot be decoded is named, and not shown as it is.
    for (coding, words) in
        [("dcb", "not known, `dcb`"), ("gzip", "is not the `gzip`"), (CANARY, "not known, `***`")]
    {
        let answer = Answer::status(200).header("content-encoding", coding).body("ok");
        let (outcome, _) = attempt_with(Format::Slack, &format!("{path}/{CANARY}"), answer).await;
        assert_eq!((outcome.class, &outcome.snippet), (OutcomeClass::Ambiguous, &None));
        assert!(outcome.error.as_ref().unwrap().contains(words), "{outcome:?}");
    }
    let answer = Answer::status(200).header("content-encoding", "dcb");
    assert_eq!(attempt_with(Format::Standard, path, answer).await.0.class, OutcomeClass::Delivered);
}

#[tokio::test]
async fn a_page_in_place_of_a_chat_is_no_delivery() {
    for format in [Format::Slack, Format::Discord, Format::Teams, Format::Ntfy] {
        for page in ["<!DOCTYPE html><title>Sign in</title>", "{\"error\":\"no\"}"] {
            let (outcome, _) =
                attempt_with(format.clone(), "/hook", Answer::status(200).body(page)).await;
            assert_eq!(outcome.class, OutcomeClass::Retryable, "for {format:?}: {page}");
            assert!(outcome.help.unwrap().contains("sign-in"), "for {format:?}: {page}");
        }
    }
}

#[tokio::test]
async fn ntfy_gets_the_topic_in_the_body_and_it_is_not_stored() {
    let channel = speaking(Format::Ntfy, "https://ntfy.example/tpc");
    let stored = String::from_utf8(message(&channel).body).unwrap();
    assert!(!stored.contains("tpc"), "the topic is a password: {stored}");
    let answer = Answer::status(429).body(r#"{"code":42908,"topic":"tpc"}"#);
    let (outcome, request) = attempt_with(Format::Ntfy, "/tpc", answer).await;
    assert_eq!(request.path, "/");
    assert_eq!(request.json()["topic"], "tpc");
    let message = r#"{"id":"x","event":"message"}"#;
    let (taken, request) =
        attempt_with(Format::Ntfy, "/ntfy/tpc", Answer::status(200).body(message)).await;
    assert_eq!((taken.class, request.path.as_str()), (OutcomeClass::Delivered, "/ntfy/"));
    assert_eq!(request.json()["topic"], "tpc");
    assert_eq!(outcome.class, OutcomeClass::Throttled);
    assert_eq!(outcome.retry_after, Some(Duration::from_secs(3 * 3600)));
    assert!(!format!("{outcome:?} {channel:?}").contains("tpc"), "{outcome:?}");
}

#[tokio::test]
async fn a_signature_is_over_the_bytes_that_are_sent() {
    let receiver = Receiver::start().await;
    let text = TemplateTree::Text("{{ subject }}: {{ status }}".to_owned());
    let tree = TemplateTree::Object(vec![("text".to_owned(), text)]);
    let template = Template { tree, content_type: "application/x-own+json".to_owned() };
    let formats = [
        Format::Ntfy,
        Format::CloudEvents { source: "urn:x:y".to_owned() },
        Format::Template(template),
    ];
    for format in formats {
        let accepts = Accepts::AnySuccess;
        let channel = build(WebhookSpec { format, accepts, ..spec(&receiver.url()) });
        assert_eq!(attempt(&channel).await.class, OutcomeClass::Delivered);
    }
    let received = receiver.wait_for(3).await;
    for request in &received {
        assert_eq!(request.verify(SECRET), Ok(()));
    }
    assert_eq!(received[1].header("content-type"), "application/cloudevents+json");
    assert_eq!(received[2].header("content-type"), "application/x-own+json");
    assert_eq!(received[2].json(), json!({ "text": "Jane, English: IDLE" }));
}
