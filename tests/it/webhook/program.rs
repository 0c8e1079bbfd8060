//! The real program: what the config says of the wire gets there, and no secret gets out.

use std::fs;

use avatar_watch::config::config_file_trust::ConfigFile;
use avatar_watch::config::environment::Environment;
use avatar_watch::config::file;
use avatar_watch::config::settings::ChannelKind;
use avatar_watch::daemon::config::wiring;
use avatar_watch::domain::delivery::egress_policy::EgressPolicy;
use avatar_watch::notify::message_context::MessageContext;

use super::*;
use crate::harness::argil::FakeArgil;
use crate::harness::config::Config;
use crate::harness::daemon::{Bench, stderr, stdout};
use crate::harness::tls::TlsServer;

/// A config with one webhook, `ops`, which has these keys too.
fn config(base_url: &str, url: &str, keys: &str) -> Config {
    Config::new(base_url).avatar("a1").webhook("ops", url).with(keys)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_file_is_relative_to_the_config() {
    let argil = FakeArgil::start();
    let identity = Identity::self_signed("127.0.0.1", 4000);
    let server = TlsServer::start(&identity, "HTTP/1.1 204 No Content\r\n\r\n").await;
    let plain = config(argil.base_url().as_ref(), &server.base_url(), "");
    let bench = Bench::new(plain.text());
    let refused = bench.run(&["test", "ops"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stdout(&refused).contains("at `tls`"), "{}", stdout(&refused));
    fs::write(bench.path("ca.pem"), identity.pem()).unwrap();
    bench.configure(plain.with("ca_file = \"ca.pem\"\n").text());
    let good = bench.run(&["test", "ops"]);
    assert_eq!(good.status.code(), Some(0), "{} {}", stdout(&good), stderr(&good));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_address_is_reported_by_check_and_the_channel() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let near = config(argil.base_url().as_ref(), &receiver.url(), "");
    let bench = Bench::new(near.clone().with("deny_private = true\n").text());
    let checked = bench.run(&["check"]);
    let shown = stderr(&checked);
    assert_eq!(checked.status.code(), Some(2), "{shown}");
    let problem = "`channels.ops.url` leads to `127.0.0.1`, which is this machine\n  help: ";
    assert!(shown.contains(problem) && shown.contains("avatar-watch.toml:25: "), "{shown}");
    bench.configure(near.text());
    let settings = file::load(&ConfigFile::named(bench.config()), &Environment::default()).unwrap();
    let mut ops = settings.channels.into_values().next().unwrap();
    for (reach, class) in [
        (EgressPolicy::AllowPrivate, OutcomeClass::Delivered),
        (EgressPolicy::DenyPrivate, OutcomeClass::Misconfigured),
    ] {
        let ChannelKind::Webhook(webhook) = &mut ops.kind else { panic!("a webhook") };
        webhook.egress = reach;
        assert_eq!(
            wiring::channel(&ops, &MessageContext::PLAIN).unwrap().probe().await.class,
            class
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_does_not_fit_is_logged_once_and_shown_with_its_delivery() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    // No sample has this status, so the failure comes with the event.
    let keys = "events = [\"avatar.status_changed\", \"avatar.ready\"]\nformat = \"template\"\n\
                template = { a = \"{% if status[:3] == 'ODD' %}{{ nope }}{% endif %}\
                {{ type }}\" }\n";
    let bench = Bench::new(config(argil.base_url().as_ref(), &receiver.url(), keys).text());
    argil.set_status("a1", "TRAINING");
    let daemon = bench.start();
    daemon.wait_for_log("avatar \"avatar a1\": baseline");
    let said = || daemon.log().matches("`template.a` uses an undefined name").count();
    for (number, (status, times)) in
        (1..).zip([("ODD1", 1), ("ODD2", 1), ("IDLE", 1), ("ODD3", 2), ("ODD1", 2)])
    {
        argil.set_status("a1", status);
        bench.wait_for_deliveries("the next one", |rows| {
            rows.len() == number && rows.iter().all(|row| row["state"] == "delivered")
        });
        assert_eq!(said(), times, "after {status}: {}", daemon.log());
    }
    let rows = bench.deliveries();
    let why = "`template.a` uses an undefined name";
    let fallbacks: Vec<_> = rows.iter().map(|row| row["fallback"].as_str()).collect();
    assert_eq!(fallbacks, [Some(why), Some(why), None, Some(why), Some(why)]);
    let shown =
        |row: usize| stdout(&bench.run(&["deliveries", "show", rows[row]["id"].as_str().unwrap()]));
    assert!(shown(0).contains(&format!("sent in the standard format: {why}")), "{}", shown(0));
    assert!(!shown(2).contains("standard format"), "{}", shown(2));
    let again = bench.run(&["deliveries", "retry", rows[0]["id"].as_str().unwrap()]);
    assert!(again.status.success(), "{}", stderr(&again));
    let rows = bench.wait_for_deliveries("the repeat", |rows| rows.len() == 6);
    assert_eq!(rows[5]["fallback"], why);
    assert!(daemon.stop().success());
}
