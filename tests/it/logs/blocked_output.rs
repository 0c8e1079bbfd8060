//! Output without a reader: a full pipe, a stopped terminal, a full systemd socket. None of them
//! blocks the program.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, PipeReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::harness::argil::FakeArgil;
use crate::harness::config::{Config, NO_PAGE};
use crate::harness::daemon::{Bench, RUN, Running, wait_until};
use crate::harness::http::get;
use crate::harness::webhook::Receiver;

/// Everything that a daemon does: polls, notifies, serves the status page, reloads its config, and
/// stops with 0.
struct Work {
    argil: FakeArgil,
    receiver: Receiver,
    bench: Bench,
    config: String,
    page: SocketAddr,
}

impl Work {
    async fn new() -> Self {
        let (argil, receiver, page) = (FakeArgil::start(), Receiver::start().await, free_address());
        argil.set_status("a1", "TRAINING");
        argil.set_status("a2", "TRAINING");
        let web = format!("\n[web]\nlisten = \"{page}\"\n");
        let config = Config::new(argil.base_url()).avatar("a1").webhook("ops", &receiver.url());
        let config = config.text().replace(NO_PAGE, &web);
        Self { argil, receiver, bench: Bench::new(&config), config, page }
    }

    fn command(&self) -> Command {
        self.bench.command(&RUN)
    }

    async fn goes_on(&self, daemon: Running) {
        wait_until("polls", || self.argil.count("a1") > 100);
        self.argil.set_status("a1", "IDLE");
        assert_eq!(self.receiver.wait_for(1).await.len(), 1);
        assert_eq!(get(self.page, "/healthz").status, 200);
        self.bench.configure(&format!("{}\n[[avatars]]\nid = \"a2\"\n", self.config));
        daemon.signal(Signal::HUP);
        wait_until("polls of what the reload added", || self.argil.count("a2") > 0);
        assert!(daemon.stop().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_reader_blocks_nothing() {
    let work = Work::new().await;
    let (mut reader, full) = full_pipe();
    let daemon = work.bench.start_into(work.command(), full.into());
    work.goes_on(daemon).await;
    let mut lines = String::new();
    reader.read_to_string(&mut lines).unwrap();
    assert_eq!(lines.trim_matches('\0'), "", "what had no room was not written in part");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_terminal_blocks_nothing() {
    let work = Work::new().await;
    let (_controller, full) = full_terminal();
    let daemon = work.bench.start_into(work.command(), full.into());
    work.goes_on(daemon).await;
}

/// The log is complete and in order if it is read late.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_read_late_is_complete() {
    let work = Work::new().await;
    let (mut reader, full) = full_pipe();
    let daemon = work.bench.start_into(work.command(), full.into());
    wait_until("polls", || work.argil.count("a1") > 100);
    daemon.signal(Signal::TERM);
    let mut lines = String::new();
    reader.read_to_string(&mut lines).unwrap();
    let lines = lines.trim_start_matches('\0');
    let polls = lines.matches("polled avatar \"avatar a1\"").count();
    assert!(polls >= 100 && !lines.contains("dropped"), "{polls} of {lines}");
    assert!(lines.trim_end().ends_with("stopped"), "{lines}");
    assert!(lines.lines().all(|line| line.starts_with("20")), "{lines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_systemd_socket_blocks_nothing_and_gets_ready_later() {
    let work = Work::new().await;
    let path = work.bench.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let filling = UnixDatagram::unbound().unwrap();
    filling.set_nonblocking(true).unwrap();
    while filling.send_to(b"FULL=1", &path).is_ok() {}
    let mut command = work.command();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "30000");
    let daemon = work.bench.start_by(command);
    wait_until("polls", || work.argil.count("a1") > 10);
    let heard = |wanted: &str| while !hears(&socket).contains(wanted) {};
    heard("READY=1\n");
    heard("WATCHDOG=1");
    // Fills it once more.
    while filling.send_to(b"FULL=1", &path).is_ok() {}
    work.goes_on(daemon).await;
}

/// A limit that libsystemd treats as off is off; one that cannot be kept is served as often as
/// possible.
#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_watchdog_limit_causes_no_busy_loop() {
    for (limit, is_on) in [("0", false), ("", false), ("1e3", false), ("-1", false), ("1", true)] {
        let work = Work::new().await;
        let path = work.bench.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut command = work.command();
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", limit);
        let daemon = work.bench.start_by(command);
        while !hears(&socket).contains("READY=1") {}
        if is_on {
            while !hears(&socket).contains("WATCHDOG=1") {}
        }
        let begun = daemon.cpu_ticks();
        let polled = work.argil.count("a1");
        wait_until("polls", || work.argil.count("a1") > polled + 10);
        daemon.signal(Signal::TERM);
        let mut heard = hears(&socket);
        while !heard.contains("STOPPING=1") {
            assert!(is_on || !heard.contains("WATCHDOG=1"), "{limit}: {heard}");
            heard = hears(&socket);
        }
        let busy = daemon.cpu_ticks().saturating_sub(begun);
        assert!(daemon.stop().success(), "{limit}");
        assert!(busy < BUSY_TICKS_MAX, "{limit}: {busy} ticks");
    }
}

#[test]
fn wait_receives_signals_although_the_terminal_is_stopped() {
    let argil = FakeArgil::start();
    argil.set_status("a1", "TRAINING");
    let config = Config::new(argil.base_url());
    for (arguments, signal, expected) in
        [(&["--timeout", "1s"][..], None, 5), (&[], Some(Signal::TERM), 143)]
    {
        let bench = Bench::new(config.text());
        let (_controller, full) = full_terminal();
        let mut command = bench.command(&["wait", "a1"]);
        command.args(arguments).env("TERM", "xterm").stdout(Stdio::null());
        let before = argil.count("a1");
        let mut waiting = bench.start_into(command, full.into());
        wait_until("polls", || argil.count("a1") > before + 10);
        if let Some(signal) = signal {
            waiting.signal(signal);
        }
        assert_eq!(waiting.wait().code(), Some(expected));
    }
}

#[test]
fn the_demo_ends_without_a_reader() {
    let bench = Bench::new("");
    let (_reader, full) = full_pipe();
    let mut command = bench.command(&["demo", "--speed", "100", "--avatars", "3"]);
    command.stdout(full).env("TMPDIR", bench.path(""));
    let mut demo = bench.start_into(command, Stdio::null());
    let is_open = || {
        let mut folders = std::fs::read_dir(bench.path("")).unwrap();
        folders.any(|it| it.unwrap().path().join("avatar-watch.db-shm").exists())
    };
    wait_until("its database", is_open);
    demo.signal(Signal::TERM);
    assert_eq!(demo.wait().code(), Some(0));
}

/// A full pipe.
fn full_pipe() -> (PipeReader, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    fill(&format!("/proc/self/fd/{}", writer.as_raw_fd()));
    (reader, writer.into())
}

/// A full terminal without a reader at its other end.
fn full_terminal() -> (OwnedFd, OwnedFd) {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    let name = name.to_str().unwrap();
    let terminal = OpenOptions::new().read(true).write(true).open(name).unwrap();
    fill(name);
    (controller, terminal.into())
}

/// Fills a stream through a new file description, so that other users of it stay in blocking mode.
fn fill(path: &str) {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let flags = i32::try_from(flags).unwrap();
    let mut end: File = OpenOptions::new().write(true).custom_flags(flags).open(path).unwrap();
    for size in [4096, 1] {
        loop {
            match end.write(&[0; 4096][..size]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{path} cannot be filled: {error}"),
            }
        }
    }
}

fn hears(socket: &UnixDatagram) -> String {
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut bytes = [0; 1024];
    let length = socket.recv(&mut bytes).unwrap();
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

/// A loopback address of this process, so that no other test takes it.
fn free_address() -> SocketAddr {
    let [_, second, third, fourth] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, second.max(1), third, fourth.clamp(1, 254));
    TcpListener::bind((address, 0)).unwrap().local_addr().unwrap()
}

/// Ten polls take at most half a second on an idle machine, and much less CPU time.
const BUSY_TICKS_MAX: u64 = 100;
