//! The real program: what the config says of the wire gets there, and no secret gets out.

use std::fs;

use avatar_watch::config::environment::Environment;
use avatar_watch::config::file;
use avatar_watch::config::location::ConfigFile;
use avatar_watch::config::settings::ChannelKind;
use avatar_watch::daemon::wiring;
use avatar_watch::domain::delivery::egress_policy::EgressPolicy;

use super::*;
use crate::harness::argil::FakeArgil;
use crate::harness::config::Config;
use crate::harness::daemon::{Bench, files_with, stderr, stdout};
use crate::harness::proxy::{Manner, Proxy};
use crate::harness::tls::TlsServer;

/// A config with one webhook, `ops`, which has these keys too.
fn config(base_url: &str, url: &str, keys: &str) -> Config {
    Config::new(base_url).avatar("a1").webhook("ops", url).with(keys)
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_the_proxy_are_used_and_no_secret_is_shown() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let proxy = Proxy::start(Manner::Pass).await;
    let url = receiver.url().replace("/hook", "/h/C4N4RY-url?sig=C4N4RY-sig");
    let keys = format!(
        "proxy = \"{}\"\nheaders = {{ x-team = \"C4N4RY-team\", authorization = \"Bearer \
         C4N4RY-login\" }}\n",
        proxy.url("user:C4N4RY-proxy@")
    );
    let bench = Bench::new(config(argil.base_url().as_ref(), &url, &keys).text());
    argil.set_status("a1", "TRAINING");
    let echo = format!("no C4N4RY-url, C4N4RY-sig, C4N4RY-team, Bearer C4N4RY-login, {SECRET}");
    receiver.script([
        Answer::status(500).body(echo),
        Answer::redirect(307, "/h/C4N4RY-url"),
        Answer::Reset,
        Answer::Garbage,
    ]);
    let daemon = bench.start_by(bench.command(&["run", "--log-level", "trace"]));
    daemon.wait_for_log("avatar `a1`: baseline");
    argil.set_status("a1", "IDLE");
    let received = receiver.wait_for(5).await;
    let rows = bench.wait_for_deliveries("a delivery", |rows| {
        rows.len() == 1 && rows[0]["state"] == "delivered"
    });
    let id = rows[0]["id"].as_str().unwrap();
    let mut shown = daemon.log();
    assert!(daemon.stop().success());
    for request in &received {
        assert_eq!(request.header("x-team"), "C4N4RY-team");
        assert_eq!(request.header("authorization"), "Bearer C4N4RY-login");
        assert_eq!(request.verify(SECRET), Ok(()));
    }
    assert_eq!((received.len(), proxy.asked().len()), (5, 5), "one request for each attempt");
    assert_eq!(bench.json(&["deliveries", "show", id, "--json"])["attempts"], 5);
    for arguments in [
        &["deliveries", "show", id] as &[&str],
        &["deliveries", "show", id, "--json"],
        &["deliveries", "--json"],
        &["status"],
        &["check", "--diff", "--online"],
        &["test", "ops"],
    ] {
        let output = bench.run(arguments);
        shown += &(stdout(&output) + &stderr(&output));
    }
    assert!(shown.contains("proxy reachable"), "{shown}");
    assert!(shown.contains("answered 307"), "{shown}");
    let key = SECRET.trim_start_matches("whsec_");
    for secret in ["C4N4RY", key, "dXNlcjpDNE40UlktcHJveHk"] {
        assert!(!shown.contains(secret), "`{secret}` is in {shown}");
        let files = files_with(bench.config().parent().unwrap(), secret);
        assert!(files.iter().all(|file| *file == bench.config()), "`{secret}` is in {files:?}");
    }
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
    assert!(shown.contains(problem) && shown.contains("avatar-watch.toml:22: "), "{shown}");
    bench.configure(near.text());
    let settings = file::load(&ConfigFile::named(bench.config()), &Environment::default()).unwrap();
    let mut ops = settings.channels.into_values().next().unwrap();
    for (reach, class) in [
        (EgressPolicy::AllowPrivate, OutcomeClass::Delivered),
        (EgressPolicy::DenyPrivate, OutcomeClass::Misconfigured),
    ] {
        let ChannelKind::Webhook(webhook) = &mut ops.kind else { panic!("a webhook") };
        webhook.egress = reach;
        assert_eq!(wiring::channel(&ops).unwrap().probe().await.class, class);
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
    daemon.wait_for_log("avatar `a1`: baseline");
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
