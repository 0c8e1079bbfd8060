//! Webhooks through a proxy: requests, classification of failures, masked secrets.

use tokio::net::TcpListener;

use super::*;
use crate::harness::proxy::{Manner, Proxy};
use crate::harness::tls::TlsServer;

const LOGIN: &str = "user:C4N4RYT0KEN@";
/// The beginning of what a proxy repeats of a request.
const HIDDEN: &str = "refused: proxy-authorization: basic ***";

fn through(url: &str, proxy: &str, timeout: Duration) -> Channel {
    let proxy = Some(Secret::new(proxy));
    let spec = WebhookSpec { proxy, ..spec_with(url, &[SECRET], timeout) };
    assert!(!format!("{spec:?}").contains(CANARY));
    build(spec)
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

fn check(outcome: &Outcome, class: OutcomeClass, phase: &str, error: &str) {
    assert_eq!((outcome.class, outcome.phase), (class, phase), "{outcome:?}");
    assert_eq!(outcome.error.as_deref(), Some(error));
    assert!(!format!("{outcome:?}").contains(CANARY), "{outcome:?}");
}

#[tokio::test]
async fn a_message_passes_through_the_proxy_with_its_login() {
    let (receiver, proxy) = (Receiver::start().await, Proxy::start(Manner::Pass).await);
    let channel = through(&receiver.url(), &proxy.url(LOGIN), LONG);
    let outcome = attempt(&channel).await;
    assert_eq!(outcome.class, OutcomeClass::Delivered, "{outcome:?}");
    let received = receiver.wait_for(1).await;
    assert_eq!(received[0].verify(SECRET), Ok(()));
    let asked = proxy.asked();
    assert_eq!(asked[0].what, format!("POST {}", receiver.url()));
    let login = "proxy-authorization: Basic dXNlcjpDNE40UllUMEtFTg==";
    assert!(asked[0].head.to_lowercase().contains(&login.to_lowercase()), "{}", asked[0].head);
    assert_eq!((asked.len(), receiver.connections()), (1, 1));
}

#[tokio::test]
async fn tls_goes_through_a_tunnel_and_the_proxy_sees_nothing() {
    let identity = Identity::self_signed("127.0.0.1", 4000);
    let server = TlsServer::start(&identity, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let proxy = Proxy::start(Manner::Pass).await;
    // The receiver's certificate is not trusted, so the failure is the receiver's.
    let outcome = attempt(&through(&server.base_url(), &proxy.url(LOGIN), LONG)).await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "tls"), "{outcome:?}");
    let trusting = trusting(&server.base_url(), &identity);
    let through = Some(Secret::new(proxy.url(LOGIN)));
    let outcome = attempt(&build(WebhookSpec { proxy: through, ..trusting })).await;
    assert_eq!(outcome.class, OutcomeClass::Delivered, "{outcome:?}");
    assert_eq!(server.requests(), 1);
    let asked = proxy.asked();
    let authority = server.base_url().replace("https://", "").replace("/v1", "");
    assert_eq!(asked.len(), 2);
    for asked in asked {
        assert_eq!(asked.what, format!("CONNECT {authority}"));
        assert!(!asked.head.contains("webhook-") && !asked.head.contains("/v1"), "{}", asked.head);
    }
}

#[tokio::test]
async fn a_proxy_that_is_down_is_a_local_failure() {
    let receiver = Receiver::start().await;
    let refused = "the proxy `127.0.0.1` refused the connection";
    let nowhere = format!("http://{LOGIN}127.0.0.1:{}", free_port().await);
    for url in [receiver.url(), receiver.url().replace("http:", "https:")] {
        let channel = through(&url, &nowhere, LONG);
        check(&attempt(&channel).await, OutcomeClass::Local, "connect", refused);
        check(&channel.probe().await, OutcomeClass::Local, "connect", refused);
        let lost = format!("http://{LOGIN}no-such-proxy.invalid:3128");
        let channel = through(&url, &lost, LONG);
        for outcome in [attempt(&channel).await, channel.probe().await] {
            assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Local, "resolve"));
            assert!(outcome.error.unwrap().starts_with("the proxy `no-such-proxy.invalid` "));
        }
    }
    assert_eq!(receiver.connections(), 0, "no connection bypasses the proxy");
}

#[tokio::test]
async fn a_refused_tunnel_is_no_failure_of_the_receiver() {
    let check = async |manner: Manner, class: OutcomeClass, code: Option<u16>, error: &str| {
        let proxy = Proxy::start(manner).await;
        let channel = through("https://hooks.example/C4N4RYT0KEN", &proxy.url(LOGIN), SHORT);
        for outcome in [attempt(&channel).await, channel.probe().await] {
            self::check(&outcome, class, "proxy", error);
            assert_eq!(outcome.code, code, "for {manner:?}");
            assert!(outcome.help.is_some(), "for {manner:?}");
            if let Manner::Refuse(_) = manner {
                // The proxy repeats the request, with our credentials.
                let shown = outcome.snippet.as_ref().unwrap().to_lowercase();
                assert!(shown.starts_with(HIDDEN), "{shown}");
                assert!(!format!("{outcome:?}").contains("dXNlcjpDNE40UllUMEtFTg"), "{outcome:?}");
            }
        }
        assert!(proxy.asked().iter().all(|asked| asked.what == "CONNECT hooks.example:443"));
    };
    for status in [401, 403, 404, 405] {
        let error =
            format!("the proxy `127.0.0.1` answered {status}: it denies access to `hooks.example`");
        check(Manner::Refuse(status), OutcomeClass::Misconfigured, Some(status), &error).await;
    }
    for status in [429, 502, 503, 504] {
        let error = format!(
            "the proxy `127.0.0.1` answered {status}, and did not connect to `hooks.example`"
        );
        check(Manner::Refuse(status), OutcomeClass::Local, Some(status), &error).await;
    }
    let error = "the proxy `127.0.0.1` refuses our login, or requires one";
    check(Manner::Refuse(407), OutcomeClass::Misconfigured, Some(407), error).await;
    let page = "HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n<html>sign in";
    let error = "the proxy `127.0.0.1` answered 200 to CONNECT with a page of its own, and opened \
                 no tunnel to `hooks.example`";
    check(Manner::Say(page.as_bytes()), OutcomeClass::Local, Some(200), error).await;
    let error = "the proxy `127.0.0.1` is not an HTTP proxy";
    for garbage in ["SSH-2.0-OpenSSH_9.2\r\n", "220 mail ESMTP\r\n", "\u{5}\u{ff}"] {
        check(Manner::Say(garbage.as_bytes()), OutcomeClass::Misconfigured, None, error).await;
    }
}

#[tokio::test]
async fn a_proxy_that_requires_another_scheme_is_explained() {
    let challenges = "HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: \
                      NTLM\r\nconnection: close\r\n\r\n";
    let of_ours = "HTTP/1.1 407 No\r\nProxy-Authenticate: C4N4RYT0KEN\r\n\r\n";
    for (url, challenges, schemes) in [
        ("https://hooks.example/C4N4RYT0KEN", challenges, "negotiate or ntlm"),
        ("http://hooks.example/C4N4RYT0KEN", challenges, "negotiate or ntlm"),
        // A scheme that equals our password.
        ("https://hooks.example/x", of_ours, "***"),
    ] {
        let proxy = Proxy::start(Manner::Say(challenges.as_bytes())).await;
        let outcome = attempt(&through(url, &proxy.url(LOGIN), SHORT)).await;
        let error = format!("the proxy `127.0.0.1` requires a login by {schemes}, not by basic");
        check(&outcome, OutcomeClass::Misconfigured, "proxy", &error);
        assert!(outcome.help.unwrap().contains("only basic"), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_refusal_of_a_proxy_is_decoded() {
    let gzip = gzip(b"blocked by policy");
    let head = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 No\r\nContent-Encoding: GZIP\r\n";
    let plain = [format!("{head}\r\n").as_bytes(), &gzip].concat();
    let size = gzip.len();
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n");
    let chunked = [chunked.as_bytes(), &gzip, b"\r\n0\r\n\r\n"].concat();
    for answer in [plain, chunked] {
        let proxy = Proxy::start(Manner::Say(answer.leak())).await;
        let outcome = attempt(&through("https://hooks.example/x", &proxy.url(LOGIN), SHORT)).await;
        assert_eq!((outcome.class, outcome.code), (OutcomeClass::Misconfigured, Some(403)));
        assert_eq!(outcome.snippet.as_deref(), Some("blocked by policy"));
    }
}

#[tokio::test]
async fn a_proxy_that_breaks_or_stalls_differs_from_one_that_refuses() {
    let url = "https://hooks.example/C4N4RYT0KEN";
    let reset = Proxy::start(Manner::Reset).await;
    let error = "the proxy `127.0.0.1` reset the connection";
    let channel = through(url, &reset.url(LOGIN), SHORT);
    check(&attempt(&channel).await, OutcomeClass::Local, "connect", error);
    // Either the proxy stalls, or the receiver behind it.
    let stalling = Proxy::start(Manner::Stall).await;
    let channel = through(url, &stalling.url(LOGIN), SHORT);
    let error = "`hooks.example` was not connected to in time, through the proxy `127.0.0.1`";
    check(&attempt(&channel).await, OutcomeClass::Retryable, "connect", error);
    let error = "the proxy `127.0.0.1` did not accept the connection in time";
    check(&channel.probe().await, OutcomeClass::Local, "connect", error);
}

#[tokio::test]
async fn once_the_tunnel_is_open_a_failure_is_the_receivers() {
    let (receiver, proxy) = (Receiver::start().await, Proxy::start(Manner::Pass).await);
    let url = receiver.url().replace("http:", "https:");
    let outcome = attempt(&through(&url, &proxy.url(LOGIN), SHORT)).await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "tls"), "{outcome:?}");
    assert!(receiver.received().is_empty());
    let breaking = Proxy::start(Manner::OpenAndBreak).await;
    let outcome = attempt(&through(&url, &breaking.url(LOGIN), SHORT)).await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "connect"));
    assert!(outcome.error.unwrap().starts_with("`127.0.0.1` "));
}

#[tokio::test]
async fn a_response_of_a_forwarding_proxy_is_classified() {
    let check = async |manner: Manner, class: OutcomeClass, phase: &str| {
        let (receiver, proxy) = (Receiver::start().await, Proxy::start(manner).await);
        let outcome = attempt(&through(&receiver.url(), &proxy.url(LOGIN), SHORT)).await;
        assert_eq!((outcome.class, outcome.phase), (class, phase), "for {manner:?}: {outcome:?}");
        let snippet = outcome.snippet.as_deref().unwrap_or(HIDDEN);
        assert!(snippet.to_lowercase().starts_with(HIDDEN), "{snippet}");
        let shown = format!("{outcome:?}");
        assert!(!shown.contains(CANARY) && !shown.contains("dXNlcjpDNE40UllUMEtFTg"), "{shown}");
        assert_eq!((proxy.asked().len(), receiver.connections()), (1, 0));
    };
    check(Manner::Refuse(407), OutcomeClass::Misconfigured, "proxy").await;
    check(Manner::Refuse(502), OutcomeClass::Retryable, "response").await;
    check(Manner::Reset, OutcomeClass::Ambiguous, "response").await;
    check(Manner::Stall, OutcomeClass::Ambiguous, "response").await;
}

#[tokio::test]
async fn a_response_with_headers_of_a_proxy_is_the_proxys() {
    let check = async |answer: &'static str, class: OutcomeClass, phase: &str| {
        let (receiver, proxy) =
            (Receiver::start().await, Proxy::start(Manner::Say(answer.as_bytes())).await);
        let outcome = attempt(&through(&receiver.url(), &proxy.url(LOGIN), SHORT)).await;
        assert_eq!((outcome.class, outcome.phase), (class, phase), "{answer}: {outcome:?}");
    };
    let denied = "HTTP/1.1 403 Forbidden\r\nX-Squid-Error: ERR_ACCESS_DENIED 0\r\n\r\n<html>";
    check(denied, OutcomeClass::Misconfigured, "proxy").await;
    let status = "HTTP/1.1 502 Bad Gateway\r\nProxy-Status: p; error=dns_error\r\n\r\n";
    check(status, OutcomeClass::Local, "proxy").await;
    check("HTTP/1.1 403 Forbidden\r\n\r\n", OutcomeClass::Retryable, "response").await;
}

#[tokio::test]
async fn a_probe_ends_at_a_forwarding_proxy() {
    let proxy = Proxy::start(Manner::Pass).await;
    let outcome = through("http://hooks.example/x", &proxy.url(""), SHORT).probe().await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Delivered, "proxy"));
    assert!(proxy.asked().is_empty(), "nothing is asked for");
}
