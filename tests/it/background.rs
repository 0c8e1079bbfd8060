//! The background tasks of the real daemon: heartbeat and retention.

use rusqlite::Connection;
use rustix::process::Signal;

use crate::harness::argil::FakeArgil;
use crate::harness::config::Config;
use crate::harness::config::with_receiver;
use crate::harness::daemon::{Bench, files_with, wait_until};
use crate::harness::webhook::{Answer, Receiver};

/// With a heartbeat every second.
fn beating(url: &str, config: &Config) -> Bench {
    let beat = format!("heartbeat_url = \"{url}\"\nheartbeat_every = \"1s\"\n");
    Bench::new(&format!("{beat}{}", config.text()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_heartbeat_reports_healthy_and_unhealthy() {
    let (argil, service) = (FakeArgil::start(), Receiver::start().await);
    argil.set_status("a1", "IDLE");
    let url = service.url().replace("/hook", "/ping/CANARY-beat?rid=1");
    // A redirect is a response like any other, and not followed.
    let elsewhere = Receiver::start().await;
    service.script([Answer::status(200), Answer::redirect(302, &elsewhere.url())]);
    let bench = beating(&url, &Config::new(argil.base_url()).avatar("a1"));
    let daemon = bench.start();
    let heard = service.wait_for(3).await;
    assert!(
        heard
            .iter()
            .all(|it| (it.method.as_str(), it.path.as_str()) == ("GET", "/ping/CANARY-beat?rid=1"))
    );
    assert_eq!(elsewhere.connections(), 0);
    daemon.wait_for_log("sending the heartbeat failed: `127.0.0.1` answered 302");
    daemon.wait_for_log("sending the heartbeat recovered");

    // Another connection holds the write lock, which the next write notices.
    let locked = Connection::open(bench.database()).unwrap();
    locked.execute_batch("BEGIN IMMEDIATE").unwrap();
    argil.set_status("a1", "TRAINING");
    wait_until("bad news", || {
        service.received().iter().any(|it| it.path == "/ping/CANARY-beat/fail?rid=1")
    });
    locked.execute_batch("ROLLBACK").unwrap();
    daemon.wait_for_log("reporting healthy to the heartbeat service again");
    daemon.kill();
    assert!(
        files_with(bench.path(".").as_path(), "CANARY-beat")
            .iter()
            .all(|it| { it.ends_with("avatar-watch.toml") })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_heartbeat_service_delays_nothing() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    let service = Receiver::start().await;
    service.script((0..100).map(|_| Answer::Stall));
    argil.set_status("a1", "TRAINING");
    let config = Config::new(argil.base_url()).avatar("a1").webhook("ops", &receiver.url());
    let bench = beating(&service.url(), &config);
    let daemon = bench.start();
    service.wait_for(1).await;
    daemon.wait_for_log("baseline TRAINING");
    argil.set_status("a1", "IDLE");
    receiver.wait_for(1).await;
    // The first heartbeat is still waiting.
    assert_eq!(service.received().len(), 1);
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_removes_expired_rows_and_keeps_the_rest() {
    let (argil, _receiver, config) = with_receiver().await;
    let bench = Bench::new(config.text());
    let daemon = bench.start_training(&argil);
    for status in ["IDLE", "TRAINING", "REFUSED"] {
        argil.set_status("a1", status);
        daemon.wait_for_log(&format!("-> {status}"));
    }
    bench.wait_for_deliveries("two deliveries", |rows| {
        rows.len() == 2 && rows.iter().all(|row| row["state"] == "delivered")
    });
    // Makes the first of them old.
    let aged = Connection::open(bench.database()).unwrap();
    aged.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    let day = 86_400_000;
    aged.execute_batch(&format!(
        "BEGIN IMMEDIATE;
         UPDATE deliveries SET updated_at = updated_at - 9 * {day} WHERE seq = 1;
         UPDATE events SET occurred_at = occurred_at - 9 * {day} WHERE seq = 1;
         COMMIT"
    ))
    .unwrap();
    drop(aged);
    bench.configure(config.with("\n[store]\nkeep_deliveries = \"7d\"\n").text());
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("removed expired rows: 1 events, 1 deliveries");
    assert_eq!(bench.deliveries().len(), 1);
    assert!(daemon.stop().success());
    bench.prints(&["db", "verify"], 0, &[]);
    assert_eq!(bench.json(&["history", "--json"]).as_array().unwrap().len(), 4);
}
