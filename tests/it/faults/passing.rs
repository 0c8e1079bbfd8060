//! Transient errors: missing files and exhausted resources. None of them is final, and what can

use std::fs;
use std::process::Command;

use rustix::process::Signal;

use crate::harness::argil::FakeArgil;
use crate::harness::config::{Config, SECRET};
use crate::harness::daemon::{Bench, PROGRAM, RUN, stderr};
use crate::harness::tls::{Identity, TlsServer};
use crate::harness::webhook::Receiver;

/// A command without CA certificates until `ca.pem` exists.
fn without_certificates(bench: &Bench, arguments: &[&str]) -> Command {
    let mut command = bench.command(arguments);
    command.env("SSL_CERT_FILE", bench.path("ca.pem"));
    command
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_lacks_certificates_here_is_polled_as_soon_as_they_are_there() {
    let good = Identity::self_signed("127.0.0.1", 4000);
    let server = TlsServer::start(&good, ok(r#"{"id":"a1","status":"TRAINING"}"#)).await;
    let bench = Bench::new(Config::new(server.base_url()).avatar("a1").text());
    let checked = without_certificates(&bench, &["check"]).output().unwrap();
    assert!(checked.status.success(), "it is no fault of the config");
    let waited = without_certificates(&bench, &["wait", "a1"]).output().unwrap();
    assert_eq!(waited.status.code(), Some(74), "{}", stderr(&waited));
    let daemon = bench.start_by(without_certificates(&bench, &RUN));
    daemon.wait_for_log("polling avatar `a1` failed");
    for said in [daemon.log(), stderr(&checked), stderr(&waited)] {
        let words = said.contains("`ca-certificates`") && said.contains("`SSL_CERT_FILE`");
        assert!(words && !said.contains("panic"), "{said}");
    }
    fs::write(bench.path("ca.pem"), good.pem()).unwrap();
    daemon.wait_for_log(": baseline TRAINING");
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_lacks_certificates_here_waits_and_holds_up_no_other() {
    let (argil, plain) = (FakeArgil::start(), Receiver::start().await);
    let good = Identity::self_signed("127.0.0.1", 4000);
    let secure = TlsServer::start(&good, ok("")).await;
    argil.set_status("a1", "TRAINING");
    let config = Config::new(argil.base_url())
        .avatar("a1")
        .webhook("plain", &plain.url())
        .webhook("secure", &secure.base_url());
    let bench = Bench::new(config.text());
    let daemon = bench.start_by(without_certificates(&bench, &RUN));
    daemon.wait_for_log("channel `secure` cannot be notified yet");
    daemon.wait_for_log(": baseline TRAINING");
    argil.set_status("a1", "IDLE");
    assert_eq!(plain.wait_for(1).await.len(), 1);
    daemon.wait_for_log("TLS cannot be set up on this machine");
    assert_eq!(secure.requests(), 0);
    fs::write(bench.path("ca.pem"), good.pem()).unwrap();
    bench.wait_for_deliveries("all of them", |rows| {
        rows.len() == 2 && rows.iter().all(|row| row["state"] == "delivered")
    });
    assert!(daemon.stop().success());
}

#[test]
fn only_errors_that_need_an_edit_are_final_at_the_start() {
    let config = Config::new("http://127.0.0.1:9/v1").avatar("a1");
    let channel = "\n[channels.ops]\ntype = \"webhook\"\nurl = \"https://127.0.0.1:9/\"\n";
    let starts = |more: &str, expected: i32| {
        let bench = Bench::new(config.clone().with(channel).with(more).text());
        fs::write(bench.path("begun"), "\n").unwrap();
        for format in ["human", "json"] {
            let output = bench.run(&["run", "--log-format", format]);
            assert_eq!(output.status.code(), Some(expected), "{more}: {}", stderr(&output));
        }
    };
    starts("secret = { file = \"later\" }\n", 75);
    starts("secret = { file = \"begun\" }\n", 75);
    starts("secret = { env = \"LATER\" }\n", 75);
    starts("secret = { credential = \"later\" }\n", 75);
    starts(&format!("secret = \"{SECRET}\"\nca_file = \"later.pem\"\n"), 75);
    starts("secret = { file = \"later\" }\nsecrat = 1\n", 78);
    starts("secret = \"nonsense\"\n", 78);
}

#[test]
fn a_reload_that_lacks_a_file_is_done_when_the_file_is_there() {
    let argil = FakeArgil::start();
    let good = Config::new(argil.base_url()).avatar("a1");
    let bench = Bench::new(good.text());
    let daemon = bench.start_training(&argil);
    let channel = "\n[channels.ops]\ntype = \"webhook\"\nurl = \"http://127.0.0.1:9/\"\n\
                   secret = { file = \"later\" }\n";
    bench.configure(good.clone().with(channel).text());
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("this may be transient; the config is retried until it can be applied");
    fs::write(bench.path("later"), SECRET).unwrap();
    daemon.wait_for_log("config reloaded: channel `ops` added");
    let log = daemon.log();
    assert_eq!(log.matches("config rejected;").count(), 1, "said once: {log}");
    assert!(daemon.stop().success());
}

#[test]
fn a_daemon_without_file_handles_says_so_and_is_started_again() {
    let bench = Bench::new(Config::new("http://127.0.0.1:9/v1").avatar("a1").text());
    for count in [4, 6, 9, 13, 20, 30] {
        let mut limited = Command::new("sh");
        limited
            .args(["-c", &format!("ulimit -n {count}; exec \"$0\" run"), PROGRAM])
            .env_clear()
            .env("AVATAR_WATCH_CONFIG", bench.config())
            .current_dir(bench.path(""));
        let output = limited.output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(75), "{count}: {said}");
        assert!(said.contains("`LimitNOFILE=`") && !said.contains("panic"), "{count}: {said}");
    }
}
