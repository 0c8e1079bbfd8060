//! Faults of this machine, under the real program: its clock, its names, its file handles, its
//! config.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};

use crate::harness::argil::{Answer, FakeArgil};
use crate::harness::config::Config;
use crate::harness::daemon::{Bench, RUN, Running};
use crate::harness::full_listener::full;
use crate::harness::tls::{Identity, TlsServer};
use crate::harness::webhook::Receiver;

/// The API was trusted once and said what time it is: years after what this machine believes.
/// Then its certificate is not good any more, as it polls to a clock that is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn p04_a_certificate_that_fails_by_the_local_clock_blames_that_clock() {
    let avatar = r#"{"id":"a1","status":"TRAINING"}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\ndate: Fri, 01 Jan 2100 00:00:00 GMT\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{avatar}",
        avatar.len()
    );
    let good = Identity::self_signed("127.0.0.1", 4000);
    let server = TlsServer::start(&good, answer).await;
    let receiver = Receiver::start().await;
    let config = Config::new(server.base_url())
        .avatar("a1")
        .webhook("ops", &receiver.url())
        .with("operator = true\n");
    let bench = Bench::new(config.text());
    fs::write(bench.path("ca.pem"), good.pem()).unwrap();
    let mut command = bench.command(&RUN);
    command.env("SSL_CERT_FILE", bench.path("ca.pem"));
    let daemon = bench.start_by(command);
    daemon.wait_for_log(": baseline TRAINING");
    server.become_another(&Identity::self_signed("127.0.0.1", 2001));

    let notified = receiver.wait_for(1).await;
    let body = notified[0].json();
    assert_eq!(
        (&body["type"], &body["data"]["state"]),
        (&"account.unavailable".into(), &"firing".into())
    );
    let reason = body["data"]["reason"].as_str().unwrap();
    for part in [
        "TLS failed: its certificate expired at 2001-01-01T00:00:00.000Z",
        "the last answer was dated 2100-01-01T00:00:00.000Z, and it is 20",
        "this machine's clock is wrong",
    ] {
        assert!(reason.contains(part), "`{reason}` does not say `{part}`");
    }
    let status = bench.json(&["status", "--json"]);
    assert_eq!(status["avatars"][0]["status"], "TRAINING");
    assert!(daemon.stop().success());
}

#[test]
fn p10_an_unknown_id_is_reported_with_its_line_of_the_config() {
    let argil = FakeArgil::start();
    let bench = Bench::new(Config::new(argil.base_url()).avatar("typo").text());
    let config = fs::read_to_string(bench.config()).unwrap();
    let line = 1 + config.lines().position(|line| line == "[[avatars]]").unwrap();
    let daemon = bench.start();
    daemon.wait_for_log("avatar.missing firing");
    let place = format!("avatar-watch.toml:{line}`");
    let log = daemon.log();
    assert!(log.contains("the avatar was never observed: check the id in `"), "{log}");
    assert!(log.contains(&place), "no `{place}` in {log}");
    assert!(daemon.stop().success());
}

/// Every poll and every delivery needs a new connection; for a while there is no file handle for
/// any.
#[tokio::test(flavor = "multi_thread")]
async fn p35_a_daemon_without_file_handles_logs_it_and_loses_nothing() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let config = Config::new(argil.base_url()).avatar("a1").avatar("a2");
    let bench = Bench::new(config.webhook("ops", &receiver.url()).text());
    serve_unkept(&argil, "TRAINING");
    let daemon = bench.start();
    daemon.wait_for_log("avatar `a1`: baseline TRAINING");
    daemon.wait_for_log("avatar `a2`: baseline TRAINING");

    let before = handles_max(&daemon, 0);
    daemon.wait_for_log("` failed: too many open files on our side");
    let both = "polling avatars of account `argil` fails (2 so far): too many open files";
    daemon.wait_for_log(both);
    serve_unkept(&argil, "IDLE");
    let starved = argil.requests().len();
    let status = bench.json(&["status", "--json"]);
    assert_eq!(status["daemon"]["running"], true);
    for avatar in status["avatars"].as_array().unwrap() {
        assert_eq!(avatar["status"], "TRAINING");
        assert_eq!(avatar["failure"]["reason"], "too many open files on our side");
    }
    assert_eq!(argil.requests().len(), starved);

    handles_max(&daemon, before);
    let mut notified = receiver.wait_for(2).await;
    notified.sort_by_key(|request| request.body.clone());
    let settled = bench.wait_for_deliveries("both deliveries", |rows| {
        rows.len() == 2 && rows.iter().all(|row| row["state"] == "delivered")
    });
    assert_eq!(settled.len(), 2);
    let history = bench.json(&["history", "--json"]);
    assert_eq!(history.as_array().unwrap().len(), 4, "{history}");
    assert!(daemon.stop().success());
    assert_eq!(receiver.received().len(), 2, "each once");
}

/// The news is seen before the handles are gone, and can be notified only after.
#[tokio::test(flavor = "multi_thread")]
async fn p35_a_transition_without_file_handles_is_written_and_notified_later() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let bench = Bench::new(
        Config::new(argil.base_url()).avatar("a1").webhook("ops", &receiver.url()).text(),
    );
    let daemon = bench.start_training(&argil);
    // The connection to the API is kept, so that polls go on.
    let before = handles_max(&daemon, 0);
    argil.set_status("a1", "IDLE");
    daemon.wait_for_log(": TRAINING -> IDLE");
    daemon.wait_for_log("no free file handles");
    assert_eq!(receiver.connections(), 0);
    handles_max(&daemon, before);
    assert_eq!(receiver.wait_for(1).await.len(), 1);
    let rows = bench.wait_for_deliveries("the delivery", |rows| rows[0]["state"] == "delivered");
    assert_eq!(rows.len(), 1);
    assert!(daemon.stop().success());
}

/// The addresses of a name are resolved for every connection, and never cached.
#[test]
fn p01_a_changed_address_is_followed() {
    let argil = FakeArgil::start();
    let port = argil.address().port();
    let config = Config::new(format!("http://{NAME}:{port}/v1")).avatar("a1");
    let bench = Bench::new(config.text());
    let Some(command) = lend_hosts(&bench, &[Ipv4Addr::new(127, 0, 0, 2).into()]) else { return };
    serve_unkept(&argil, "TRAINING");
    let daemon = bench.start_by(command);
    daemon.wait_for_log(&format!("no connection to `{NAME}:{port}`: connection refused"));
    daemon.wait_for_log("polling avatar `a1` failed");
    move_name(&bench, Ipv4Addr::LOCALHOST.into());
    daemon.wait_for_log(": baseline TRAINING");
    assert!(daemon.stop().success());
}

/// The IPv6 address is not served: first connections are refused, then they are not accepted.
#[tokio::test(flavor = "multi_thread")]
async fn p36_a_server_that_only_ipv4_reaches_is_polled_by_a_name_with_both() {
    let argil = FakeArgil::start();
    let port = argil.address().port();
    let both = [Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
    let bench = Bench::new(Config::new(format!("http://{NAME}:{port}/v1")).avatar("a1").text());
    let command = lend_hosts(&bench, &both).unwrap_or_else(|| bench.command(&RUN));
    serve_unkept(&argil, "TRAINING");
    let daemon = bench.start_by(command);
    daemon.wait_for_log(": baseline TRAINING");
    let address = (Ipv6Addr::LOCALHOST, port);
    // Without IPv6 on this machine there is nothing more to break.
    if TcpListener::bind(address).is_ok() {
        // Connections before the queue is full are accepted, and get no response.
        daemon.signal(Signal::STOP);
        let (_, _full) = full(address.into()).await;
        daemon.signal(Signal::CONT);
        serve_unkept(&argil, "IDLE");
        daemon.wait_for_log(": TRAINING -> IDLE");
    }
    let log = daemon.log();
    assert!(!log.contains("poll of avatar"), "{log}");
    assert!(daemon.stop().success());
}

/// A command that starts the daemon where [`NAME`] has these addresses: in a mount namespace
/// with a file of hosts of its own. `None` where the system does not allow that.
fn lend_hosts(bench: &Bench, addresses: &[IpAddr]) -> Option<Command> {
    let lines: String = addresses.iter().map(|address| format!("{address} {NAME}\n")).collect();
    let hosts = bench.path("hosts");
    fs::write(&hosts, lines).unwrap();
    let within = |script: &str| {
        let mut command = Command::new("unshare");
        let script = format!("mount --bind \"$0\" /etc/hosts && {script}");
        command.args(["-r", "-m", "sh", "-c", &script]).arg(&hosts);
        command
    };
    // What the system makes of the file is what counts.
    let found = within(&format!("getent ahosts {NAME}")).output().ok()?;
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    if !addresses.iter().all(|address| found.contains(&address.to_string())) {
        println!("no addresses can be lent here: `{found}`");
        return None;
    }
    let mut command = within("exec \"$@\"");
    let daemon = bench.command(&RUN);
    command.arg(daemon.get_program()).args(daemon.get_args());
    command.env("AVATAR_WATCH_CONFIG", bench.config()).current_dir(bench.path(""));
    Some(command)
}

/// Changes the address of [`NAME`] to one with the same length: the file is never empty, so that no
/// other resolver is queried.
fn move_name(bench: &Bench, address: IpAddr) {
    let mut hosts = File::options().write(true).open(bench.path("hosts")).unwrap();
    hosts.write_all(format!("{address} {NAME}\n").as_bytes()).unwrap();
}

/// From now on both avatars are in that status, and no connection is kept.
fn serve_unkept(argil: &FakeArgil, status: &'static str) {
    argil.answer_with(move |request| {
        let body = serde_json::json!({"id": request.avatar, "status": status}).to_string();
        Some(Answer::status(200, body).with("connection", "close"))
    });
}

/// Sets how many file handles the daemon may have from now on; how many it could have before.
fn handles_max(daemon: &Running, count: u64) -> u64 {
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: Some(count), maximum };
    prlimit(pid, Resource::Nofile, limit).unwrap().current.unwrap()
}

/// The one name that may be asked without TLS.
const NAME: &str = "localhost";
