//! Notifications to systemd: ready, reloading, stopping, watchdog, status line. The only file that
//! uses `sd-notify`. Without systemd all functions do nothing.
//!
//! No caller blocks. One thread sends and may block on a full socket; a newer message replaces an
//! older unsent one. Ready, reloading and stopping are sent until systemd accepts them; other
//! messages are dropped on failure, and counted.

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

/// Starts the sender thread if `NOTIFY_SOCKET` is set.
pub(crate) fn start() -> io::Result<()> {
    let address = std::env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty());
    if let (Some(address), None) = (address, MANAGER.get()) {
        drop(MANAGER.set(Manager::start(address)?));
    }
    Ok(())
}

pub(crate) fn ready(status: &str) {
    update(|pending| {
        pending.ready = true;
        // The extended operation is over.
        pending.grace = None;
        pending.set_status(status);
    });
}

pub(crate) fn reloading() {
    let at = match NotifyState::monotonic_usec_now() {
        Ok(NotifyState::MonotonicUsec(at)) => at.into(),
        Ok(_) | Err(_) => None,
    };
    update(|pending| {
        // The end of the reload sets it again.
        pending.ready = false;
        pending.reloading = Some(at);
    });
}

pub(crate) fn stopping() {
    update(|pending| pending.stopping = true);
}

/// Extends the timeout of the start or the stop by `grace`; `status` describes the current step.
pub(crate) fn extend_timeout(status: &str, grace: Duration) {
    update(|pending| {
        pending.dropped += u64::from(pending.grace.replace(grace).is_some());
        pending.set_status(status);
    });
}

pub(crate) fn status(status: &str) {
    update(|pending| pending.set_status(status));
}

/// The watchdog timeout (`WatchdogSec=`), if it is set.
pub(crate) fn watchdog_limit() -> Option<Duration> {
    MANAGER.get().and_then(|_| sd_notify::watchdog_enabled()).filter(|limit| !limit.is_zero())
}

pub(crate) fn alive() {
    update(|pending| {
        pending.dropped += u64::from(pending.alive);
        pending.alive = true;
    });
}

/// Number of messages that were replaced or not accepted.
pub(crate) fn dropped() -> u64 {
    MANAGER.get().map_or(0, |manager| manager.pending().dropped)
}

fn update(change: impl FnOnce(&mut Pending)) {
    if let Some(manager) = MANAGER.get() {
        manager.update(change);
    }
}

/// Connection to the service manager; clones share it.
#[derive(Clone, Debug)]
struct Manager(Arc<ManagerShared>);

#[derive(Debug)]
struct ManagerShared {
    address: OsString,
    // A std mutex: it is held for a few instructions, and never while something is sent.
    pending: Mutex<Pending>,
    wakeup: Condvar,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pending {
    /// When the reload started, in microseconds of the monotonic clock, if available.
    reloading: Option<Option<i128>>,
    ready: bool,
    stopping: bool,
    grace: Option<Duration>,
    status: Option<String>,
    alive: bool,
    dropped: u64,
}

impl Manager {
    fn start(address: OsString) -> io::Result<Self> {
        let (pending, wakeup) = (Mutex::default(), Condvar::new());
        let manager = Self(Arc::new(ManagerShared { address, pending, wakeup }));
        let ours = manager.clone();
        // Never joined: it may block on a full socket forever.
        thread::Builder::new().name("systemd".to_owned()).spawn(move || ours.serve())?;
        Ok(manager)
    }

    fn update(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.pending());
        self.0.wakeup.notify_all();
    }

    fn serve(&self) {
        let mut is_accepted = true;
        let mut pause = PAUSE;
        loop {
            let pending = {
                let pending = self.0.wakeup.wait_while(self.pending(), |pending| !pending.is_any());
                let mut pending = pending.unwrap_or_else(PoisonError::into_inner);
                let kept = Pending { dropped: pending.dropped, ..Pending::default() };
                std::mem::replace(&mut *pending, kept)
            };
            let mut failure = None;
            for message in pending.messages() {
                if let Err(error) = send(&self.0.address, &message) {
                    failure = Some(error);
                    break;
                }
            }
            match failure {
                None => {
                    if !is_accepted {
                        let dropped = self.pending().dropped;
                        info!(dropped, "sending messages to systemd recovered; {dropped} dropped");
                    }
                    (is_accepted, pause) = (true, PAUSE);
                }
                Some(error) => {
                    if is_accepted {
                        warn!("cannot send messages to systemd: {error}");
                    }
                    is_accepted = false;
                    self.pending().restore(pending);
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

    fn set_status(&mut self, status: &str) {
        self.dropped += u64::from(self.status.replace(status.to_owned()).is_some());
    }

    /// One message for each state change that systemd must see, in order.
    fn messages(&self) -> Vec<String> {
        let text = |states: &[NotifyState<'_>]| {
            states.iter().map(|state| format!("{state}\n")).collect::<String>()
        };
        let mut messages = Vec::new();
        if let Some(at) = self.reloading {
            let at = at.map(NotifyState::MonotonicUsec);
            messages.push(text(&[NotifyState::Reloading]) + &text(at.as_slice()));
        }
        let extended = |grace: Duration| u32::try_from(grace.as_micros()).unwrap_or(u32::MAX);
        let states = [
            self.ready.then_some(NotifyState::Ready),
            self.stopping.then_some(NotifyState::Stopping),
            self.grace.map(extended).map(NotifyState::ExtendTimeoutUsec),
            self.status.as_deref().map(NotifyState::Status),
            self.alive.then_some(NotifyState::Watchdog),
        ];
        let states: Vec<_> = states.into_iter().flatten().collect();
        if !states.is_empty() {
            messages.push(text(&states));
        }
        messages
    }

    /// Restores what could not be sent: essential states are kept unless newer ones replace them.
    fn restore(&mut self, old: Self) {
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

/// A process has one service manager, and any module may report to it.
static MANAGER: OnceLock<Manager> = OnceLock::new();

/// Pause before an unaccepted message is sent again; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    /// More messages than a socket buffer holds.
    const MANY: u64 = 10_000;

    fn read(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// Reads messages up to one that contains `last`.
    fn read_to(socket: &UnixDatagram, last: &str) -> Vec<String> {
        let mut messages = vec![read(socket)];
        while !messages.last().unwrap().contains(last) {
            messages.push(read(socket));
        }
        messages
    }

    #[test]
    fn a_full_socket_blocks_no_caller_and_gets_the_essential_states_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        let manager = Manager::start(path.into()).unwrap();
        (0..MANY)
            .for_each(|it| manager.update(|pending| pending.set_status(&format!("busy {it}"))));
        manager.update(|pending| {
            pending.ready = true;
            pending.alive = true;
            pending.set_status("last");
        });
        let messages = read_to(&socket, "STATUS=last");
        assert_eq!(messages.last().unwrap(), "READY=1\nSTATUS=last\nWATCHDOG=1\n");
        let dropped = manager.pending().dropped;
        assert!(dropped > 0);
        assert_eq!(messages.len() as u64 + dropped, MANY + 1, "what was not sent is counted");
    }

    #[test]
    fn ready_is_sent_until_it_is_accepted_and_a_reload_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let manager = Manager::start(path.clone().into()).unwrap();
        manager.update(|pending| (pending.ready, pending.alive) = (true, true));
        // Until the first attempt has failed.
        while manager.pending().dropped == 0 {
            thread::yield_now();
        }
        let socket = UnixDatagram::bind(&path).unwrap();
        assert_eq!(read(&socket), "READY=1\n");
        let pending = Pending {
            ready: true,
            reloading: Some(Some(7)),
            status: Some("well".to_owned()),
            ..Pending::default()
        };
        assert_eq!(
            pending.messages(),
            ["RELOADING=1\nMONOTONIC_USEC=7\n", "READY=1\nSTATUS=well\n"]
        );
        let mut newer = Pending { reloading: Some(Some(9)), ..Pending::default() };
        newer.restore(pending);
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
