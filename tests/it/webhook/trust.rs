//! TLS with a receiver that has a bad certificate, in each way: the error and the fix, for attempts
//! and probes alike. Nothing is sent.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa};

use super::*;
use crate::harness::proxy::{Manner, Proxy};
use crate::harness::tls::TlsServer;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// An attempt and a probe at a server with this identity; `trusted` is the client's `ca_file`.
async fn check(identity: &Identity, trusted: Option<&Identity>, said: &str, help: &str) {
    let server = TlsServer::start(identity, OK).await;
    let channel = match trusted {
        Some(trusted) => build(trusting(&server.base_url(), trusted)),
        None => channel(&server.base_url()),
    };
    for outcome in [attempt(&channel).await, channel.probe().await] {
        let found = (outcome.class, outcome.phase);
        assert_eq!(found, (OutcomeClass::Retryable, "tls"), "{outcome:?}");
        let error = outcome.error.unwrap();
        assert!(error.starts_with("TLS with `127.0.0.1` failed: "), "{error}");
        assert!(error.contains(said), "{error}");
        assert!(outcome.help.unwrap().contains(help), "{:?} for {error}", outcome.help);
        for raw in ["Other", "DnsName", "Context", "(\"", "IpAddress"] {
            assert!(!error.contains(raw), "{error}");
        }
    }
    assert_eq!(server.requests(), 0, "nothing is sent: {said}");
}

fn with(make: impl FnOnce(&mut CertificateParams)) -> Identity {
    Identity::made("127.0.0.1", make)
}

#[tokio::test]
async fn every_bad_certificate_is_explained_with_a_fix() {
    let authority = with(|it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    check(&authority, Some(&authority), "(`CA:TRUE`), used as the server's own", "CA:FALSE").await;
    let nameless = with(|it| it.subject_alt_names.clear());
    check(&nameless, Some(&nameless), "contains no host name", "subjectAltName").await;
    let other = Identity::made("other.example", |_| ());
    let text = "another host: for `other.example`";
    check(&other, Some(&other), text, "host name of the certificate").await;
    let old = with(|it| it.not_after = rcgen::date_time_ymd(2001, 1, 1));
    check(&old, Some(&old), "expired at 2001-01-01", "renew the certificate").await;
    let early = with(|it| it.not_before = rcgen::date_time_ymd(3000, 1, 1));
    check(&early, Some(&early), "not valid before 3000-01-01", "clock").await;
    let client = with(|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    check(&client, Some(&client), "not meant for servers", "serverAuth").await;
    check(&with(|_| ()), None, "issued by an untrusted authority", "ca_file").await;
    let chained = Identity::chained("127.0.0.1").incomplete();
    check(&chained, Some(&chained), "sends no intermediate certificate", "whole chain").await;
}

#[tokio::test]
async fn a_good_certificate_is_trusted_by_attempts_and_probes() {
    for identity in [with(|_| ()), Identity::chained("127.0.0.1")] {
        let server = TlsServer::start(&identity, OK).await;
        let mut spec = trusting(&server.base_url(), &identity);
        let probed = build(spec.clone()).probe().await;
        assert_eq!((probed.class, probed.phase), (OutcomeClass::Delivered, "tls"), "{probed:?}");
        assert_eq!(server.requests(), 0, "a probe sends nothing");
        assert_eq!(attempt(&build(spec.clone())).await.class, OutcomeClass::Delivered);
        let proxy = Proxy::start(Manner::Pass).await;
        spec.proxy = Some(Secret::new(proxy.url("user:C4N4RYT0KEN@")));
        let probed = build(spec).probe().await;
        assert_eq!((probed.class, probed.phase), (OutcomeClass::Delivered, "tls"), "{probed:?}");
        assert_eq!(server.requests(), 1);
        let login = "Proxy-Authorization: Basic dXNlcjpDNE40UllUMEtFTg==";
        assert!(proxy.asked()[0].head.contains(login), "{}", proxy.asked()[0].head);
        assert!(server.offers().iter().all(|offer| offer == &["http/1.1"]));
        // The config refuses such a file; here it adds no trust.
        let none = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----".to_vec();
        let spec = WebhookSpec { ca_pem: Some(none), ..super::spec(&server.base_url()) };
        let outcome = attempt(&build(spec)).await;
        assert_eq!((outcome.class, server.requests()), (OutcomeClass::Local, 1), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_port_without_tls_is_reported_and_nothing_is_sent() {
    let plain = Receiver::start().await;
    let channel = channel(&plain.url().replace("http:", "https:"));
    for outcome in [attempt(&channel).await, channel.probe().await] {
        let found = (outcome.class, outcome.phase);
        assert_eq!(found, (OutcomeClass::Retryable, "tls"), "{outcome:?}");
        assert!(outcome.error.unwrap().contains("does not speak TLS"));
        assert!(outcome.help.unwrap().contains("port"));
    }
    assert!(plain.received().is_empty());
}

#[tokio::test]
async fn a_certificate_for_a_name_that_is_our_secret_does_not_show_it() {
    let identity = Identity::self_signed("C4N4RYT0KEN.example", 4000);
    let server = TlsServer::start(&identity, OK).await;
    let channel = build(trusting(&format!("{}/C4N4RYT0KEN", server.base_url()), &identity));
    for outcome in [attempt(&channel).await, channel.probe().await] {
        let said = outcome.error.unwrap();
        assert!(said.contains("its certificate is for another host: for `***.example`"), "{said}");
    }
}
