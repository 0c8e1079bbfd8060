//! What systemd is told: ready, reloading, stopping, alive, and a line about what we are at. The
//! one home of `sd-notify`. Without systemd nobody is told, and nothing is different.
//!
//! What always holds: nobody waits for systemd. One thread sends, and may block on a socket that
//! is full; what is not sent yet gives way to what is newer. That we are ready, reloading or
//! stopping is sent until it is taken; the rest is dropped where it is not, and counted.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::{info, warn};

/// Starts telling systemd, if there is anybody to tell.
///
/// # Errors
/// When the system cannot start a thread.
pub fn start() -> io::Result<()> {
    let address = std::env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty());
    if let (Some(address), None) = (address, MANAGER.get()) {
        drop(MANAGER.set(Manager::start(address)?));
    }
    Ok(())
}

/// We are ready; `status` says what we are at.
pub fn ready(status: &str) {
    tell(|news| {
        news.ready = true;
        // What was begun is done.
        news.grace = None;
        news.say(status);
    });
}

/// The config is read again.
pub fn reloading() {
    let at = match NotifyState::monotonic_usec_now() {
        Ok(NotifyState::MonotonicUsec(at)) => at.into(),
        Ok(_) | Err(_) => None,
    };
    tell(|news| {
        // That is said at the end of the reload.
        news.ready = false;
        news.reloading = Some(at);
    });
}

/// We are stopping.
pub fn stopping() {
    tell(|news| news.stopping = true);
}

/// We are still starting, and say so again within `grace`; `status` says what is being done.
pub fn still_starting(status: &str, grace: Duration) {
    extend(status, grace);
}

/// We are still stopping, and say so again within `grace`; `status` says what is left.
pub fn still_stopping(status: &str, grace: Duration) {
    extend(status, grace);
}

fn extend(status: &str, grace: Duration) {
    tell(|news| {
        news.dropped += u64::from(news.grace.replace(grace).is_some());
        news.say(status);
    });
}

/// What we are at.
pub fn status(status: &str) {
    tell(|news| news.say(status));
}

/// How often at least it must be told that we live, if at all (`WatchdogSec=`).
pub fn watchdog_limit() -> Option<Duration> {
    MANAGER.get().and_then(|_| sd_notify::watchdog_enabled()).filter(|limit| !limit.is_zero())
}

/// We live.
pub fn alive() {
    tell(|news| {
        news.dropped += u64::from(news.alive);
        news.alive = true;
    });
}

/// How many messages gave way to newer ones, or were not taken.
pub fn dropped() -> u64 {
    MANAGER.get().map_or(0, |manager| manager.pending().dropped)
}

fn tell(change: impl FnOnce(&mut Pending)) {
    if let Some(manager) = MANAGER.get() {
        manager.tell(change);
    }
}

/// Whoever started us and wants to know how it goes; clones are the same.
#[derive(Clone, Debug)]
struct Manager(Arc<ManagerShared>);

#[derive(Debug)]
struct ManagerShared {
    address: OsString,
    // A std mutex: it is held for a few instructions, and never while something is sent.
    pending: Mutex<Pending>,
    wakeup: Condvar,
}

/// What is not sent yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pending {
    /// Since when, in microseconds of the monotonic clock, where that can be had.
    reloading: Option<Option<i128>>,
    ready: bool,
    stopping: bool,
    grace: Option<Duration>,
    status: Option<String>,
    alive: bool,
    /// What was not sent, so far.
    dropped: u64,
}

impl Manager {
    fn start(address: OsString) -> io::Result<Self> {
        let (news, told) = (Mutex::default(), Condvar::new());
        let manager = Self(Arc::new(ManagerShared { address, pending: news, wakeup: told }));
        let ours = manager.clone();
        // It is never joined: it may never come back from a socket that is full.
        thread::Builder::new().name("systemd".to_owned()).spawn(move || ours.serve())?;
        Ok(manager)
    }

    fn tell(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.pending());
        self.0.wakeup.notify_all();
    }

    fn serve(&self) {
        let mut taken = true;
        let mut pause = PAUSE;
        loop {
            let news = {
                let news = self.0.wakeup.wait_while(self.pending(), |news| !news.is_any());
                let mut news = news.unwrap_or_else(PoisonError::into_inner);
                let kept = Pending { dropped: news.dropped, ..Pending::default() };
                std::mem::replace(&mut *news, kept)
            };
            let mut failure = None;
            for message in news.messages() {
                if let Err(error) = send(&self.0.address, &message) {
                    failure = Some(error);
                    break;
                }
            }
            match failure {
                None => {
                    if !taken {
                        let dropped = self.pending().dropped;
                        info!(dropped, "systemd takes our messages again; {dropped} were dropped");
                    }
                    (taken, pause) = (true, PAUSE);
                }
                Some(error) => {
                    if taken {
                        warn!("systemd does not take our messages: {error}");
                    }
                    taken = false;
                    self.pending().take_back(news);
                    thread::sleep(pause);
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn is_any(&self) -> bool {
        let Self { reloading, ready, stopping, grace, status, alive, dropped: _ } = self;
        reloading.is_some() || *ready || *stopping || grace.is_some() || status.is_some() || *alive
    }

    fn say(&mut self, status: &str) {
        self.dropped += u64::from(self.status.replace(status.to_owned()).is_some());
    }

    /// One message for each turn that systemd has to see, in their order.
    fn messages(&self) -> Vec<String> {
        let text = |states: &[NotifyState<'_>]| {
            states.iter().map(|state| format!("{state}\n")).collect::<String>()
        };
        let mut messages = Vec::new();
        if let Some(at) = self.reloading {
            let at = at.map(NotifyState::MonotonicUsec);
            messages.push(text(&[NotifyState::Reloading]) + &text(at.as_slice()));
        }
        let mut states = Vec::new();
        if self.ready {
            states.push(NotifyState::Ready);
        }
        if self.stopping {
            states.push(NotifyState::Stopping);
        }
        if let Some(grace) = self.grace {
            let grace_us = u32::try_from(grace.as_micros()).unwrap_or(u32::MAX);
            states.push(NotifyState::ExtendTimeoutUsec(grace_us));
        }
        if let Some(status) = &self.status {
            states.push(NotifyState::Status(status));
        }
        if self.alive {
            states.push(NotifyState::Watchdog);
        }
        if !states.is_empty() {
            messages.push(text(&states));
        }
        messages
    }

    /// What could not be sent: what has to be is kept, unless something newer came meanwhile.
    fn take_back(&mut self, old: Self) {
        if self.reloading.is_none() {
            self.reloading = old.reloading;
            self.ready |= old.ready;
        }
        self.stopping |= old.stopping;
        let dropped = [old.grace.is_some(), old.status.is_some(), old.alive];
        self.dropped += dropped.into_iter().map(u64::from).sum::<u64>();
    }
}

/// Sends one datagram, as `sd_notify(3)` says; blocks while the socket is full.
fn send(address: &OsStr, message: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    match address.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(address)?,
    }
    socket.send(message.as_bytes()).map(drop)
}

/// One process has one service manager, and any part of it may have something to tell.
static MANAGER: OnceLock<Manager> = OnceLock::new();

/// The pause before a message that was not taken is sent again; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    /// More than any socket holds.
    const MANY: u64 = 10_000;

    fn read(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// Everything that was sent, up to a message that has this in it.
    fn read_to(socket: &UnixDatagram, last: &str) -> Vec<String> {
        let mut messages = vec![read(socket)];
        while !messages.last().unwrap().contains(last) {
            messages.push(read(socket));
        }
        messages
    }

    #[test]
    fn a_socket_that_is_full_holds_nobody_up_and_hears_what_counts_when_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        let manager = Manager::start(path.into()).unwrap();
        (0..MANY).for_each(|it| manager.tell(|news| news.say(&format!("busy {it}"))));
        manager.tell(|news| {
            news.ready = true;
            news.alive = true;
            news.say("last");
        });
        let messages = read_to(&socket, "STATUS=last");
        assert_eq!(messages.last().unwrap(), "READY=1\nSTATUS=last\nWATCHDOG=1\n");
        let dropped = manager.pending().dropped;
        assert!(dropped > 0);
        assert_eq!(messages.len() as u64 + dropped, MANY + 1, "what was not sent is counted");
    }

    #[test]
    fn that_we_are_ready_is_said_until_it_is_taken_and_a_reload_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let manager = Manager::start(path.clone().into()).unwrap();
        manager.tell(|news| news.ready = true);
        while manager.pending().is_any() {
            thread::yield_now();
        }
        let socket = UnixDatagram::bind(&path).unwrap();
        assert_eq!(read(&socket), "READY=1\n");
        let news = Pending {
            ready: true,
            reloading: Some(Some(7)),
            status: Some("well".to_owned()),
            ..Pending::default()
        };
        assert_eq!(news.messages(), ["RELOADING=1\nMONOTONIC_USEC=7\n", "READY=1\nSTATUS=well\n"]);
        let mut newer = Pending { reloading: Some(Some(9)), ..Pending::default() };
        newer.take_back(news);
        assert_eq!(newer, Pending { reloading: Some(Some(9)), dropped: 1, ..Pending::default() });
    }

    #[test]
    fn an_abstract_socket_is_found() {
        let name = format!("avatar-watch-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        send(OsStr::new(&format!("@{name}")), "READY=1\n").unwrap();
        assert_eq!(read(&socket), "READY=1\n");
    }
}
