//! Which addresses a webhook connects to, and which the SSRF guard blocks.

use avatar_watch::domain::delivery::egress_policy::EgressPolicy;

use super::*;
use crate::harness::proxy::{Manner, Proxy};

fn reaching(url: &str, reach: EgressPolicy) -> Channel {
    build(WebhookSpec { egress: reach, ..spec(url) })
}

/// An attempt and a probe both fail with the expected error.
async fn check_refused(channel: &Channel, expected: &str) {
    for outcome in [attempt(channel).await, channel.probe().await] {
        assert_eq!(outcome.class, OutcomeClass::Misconfigured, "{outcome:?}");
        assert_eq!((outcome.phase, outcome.error.as_deref()), ("connect", Some(expected)));
    }
}

#[tokio::test]
async fn cloud_metadata_addresses_are_blocked() {
    for url in [
        "http://169.254.169.254/latest/C4N4RYT0KEN",
        "http://2852039166/C4N4RYT0KEN",
        "https://0xa9.0376.43518/C4N4RYT0KEN",
    ] {
        for reach in [EgressPolicy::AllowPrivate, EgressPolicy::DenyPrivate] {
            let expected = "`169.254.169.254` was not connected to: its address is link-local, as \
                            the metadata services of clouds are";
            check_refused(&reaching(url, reach), expected).await;
        }
    }
    let expected = "`[64:ff9b::6464:64c8]` was not connected to: its address is the metadata \
                    service of a cloud";
    let url = "http://[64:ff9b::100.100.100.200]/";
    check_refused(&reaching(url, EgressPolicy::AllowPrivate), expected).await;
}

#[tokio::test]
async fn private_addresses_are_allowed_unless_denied() {
    let receiver = Receiver::start().await;
    let by_address = receiver.url();
    let by_name = by_address.replace("127.0.0.1", "localhost");
    let mapped = by_address.replace("127.0.0.1", "[::ffff:127.0.0.1]");
    for (url, host) in
        [(&by_address, "127.0.0.1"), (&by_name, "localhost"), (&mapped, "[::ffff:7f00:1]")]
    {
        let outcome = attempt(&reaching(url, EgressPolicy::AllowPrivate)).await;
        assert_eq!(outcome.class, OutcomeClass::Delivered, "{outcome:?}");
        let connections = receiver.connections();
        let expected = format!(
            "`{host}` was not connected to: its address is this machine, which \
             `deny_private` forbids"
        );
        check_refused(&reaching(url, EgressPolicy::DenyPrivate), &expected).await;
        assert_eq!(receiver.connections(), connections, "`{host}` was connected to");
    }
}

#[tokio::test]
async fn deny_private_does_not_apply_to_the_proxy() {
    let (receiver, proxy) = (Receiver::start().await, Proxy::start(Manner::Pass).await);
    let through = |url: &str, proxy: &str, egress| {
        build(WebhookSpec { proxy: Some(Secret::new(proxy)), egress, ..spec(url) })
    };
    let expected = "`127.0.0.1` was not connected to: its address is this machine, which \
                    `deny_private` forbids";
    let channel = through(&receiver.url(), &proxy.url(""), EgressPolicy::DenyPrivate);
    check_refused(&channel, expected).await;
    assert_eq!(proxy.asked().len(), 0);
    // The proxy resolves the name, so the request gets there.
    let by_name = receiver.url().replace("127.0.0.1", "localhost");
    let proxy_by_name = proxy.url("").replace("127.0.0.1", "localhost");
    for (count, proxy_url) in (1..).zip([proxy.url(""), proxy_by_name]) {
        let channel = through(&by_name, &proxy_url, EgressPolicy::DenyPrivate);
        assert_eq!(channel.probe().await.class, OutcomeClass::Delivered);
        attempt(&channel).await;
        assert_eq!(proxy.asked().len(), count);
    }
    let expected = "`169.254.169.254` was not connected to: its address is link-local, as the \
                    metadata services of clouds are";
    let channel =
        through(&receiver.url(), "http://user:pass@169.254.169.254:80", EgressPolicy::AllowPrivate);
    check_refused(&channel, expected).await;
}
