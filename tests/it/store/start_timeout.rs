//! The notifications to systemd during a long start.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rusqlite::Connection;

use super::{check_has, watching};
use crate::harness::daemon::RUN;

#[test]
fn the_start_timeout_is_extended_while_the_database_is_being_opened() {
    let (_argil, bench, daemon) = watching(|config| config);
    daemon.kill();
    let systemd = UnixDatagram::bind(bench.path("notify")).unwrap();
    systemd.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let hear = || {
        let mut text = [0; 4096];
        loop {
            match systemd.recv(&mut text) {
                // By the exit of a child process of another test.
                Err(failure) if failure.kind() == std::io::ErrorKind::Interrupted => {}
                length => return String::from_utf8_lossy(&text[..length.unwrap()]).into_owned(),
            }
        }
    };
    // Opening waits for the lock of another process.
    let held = Connection::open(bench.database()).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut command = bench.command(&RUN);
    command.env("NOTIFY_SOCKET", bench.path("notify"));
    let daemon = bench.start_by(command);
    for _ in 0..2 {
        let heard = hear();
        check_has(&heard, "EXTEND_TIMEOUT_USEC=10000000");
        check_has(&heard, "STATUS=opening the database");
    }
    held.execute_batch("ROLLBACK").unwrap();
    let mut heard = hear();
    while heard.contains("EXTEND_TIMEOUT_USEC") {
        heard = hear();
    }
    check_has(&heard, "READY=1");
    assert!(daemon.stop().success());
}
