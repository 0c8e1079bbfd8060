//! systemd's journal: whether standard error leads there, and entries with fields of their own.
//!
//! An entry is one datagram to the journal's socket, in its native protocol
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>). No value has a line break in it, so the simple
//! form of the protocol is enough.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::fstat;

use crate::telemetry::line::IDENTIFIER;

/// An open way to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
    /// The entries that it did not take since it last took one.
    left_out: AtomicU64,
}

impl Journal {
    /// The journal of this machine.
    ///
    /// # Errors
    /// When nobody listens there.
    pub(super) fn open() -> io::Result<Self> {
        Self::open_at(Path::new(SOCKET))
    }

    fn open_at(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        // The journal takes no notice of an entry with nothing in it.
        socket.send_to(&[], path)?;
        Ok(Self { socket, path: path.to_owned(), left_out: AtomicU64::new(0) })
    }

    /// Sends an entry; `false` when there is no journal any more. One that hangs is waited for
    /// once, and not long: whoever writes to the log must not hang with it, and standard error
    /// leads to the same journal. What it does not take is left out, and how much that was is said
    /// when it takes something again.
    pub(super) fn send(&self, entry: &str) -> bool {
        let send = |entry: &str| self.socket.send_to(entry.as_bytes(), &self.path);
        match send(entry) {
            Ok(_) => {
                let left_out = self.left_out.swap(0, Ordering::Relaxed);
                if left_out > 0 {
                    // That it cannot be had is no reason to say nothing.
                    self.socket.set_nonblocking(false).unwrap_or_default();
                    drop(send(&gap(left_out)));
                }
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                self.socket.set_nonblocking(true).unwrap_or_default();
                true
            }
            Err(_) => false,
        }
    }
}

/// The entry that says how many were left out.
fn gap(left_out: u64) -> String {
    format!(
        "MESSAGE=the journal did not take {left_out} lines of the log, which are lost\nPRIORITY=4\n\
         SYSLOG_IDENTIFIER={IDENTIFIER}\n"
    )
}

/// Whether `stream`, the `JOURNAL_STREAM` that systemd sets, names what `file` leads to. It is
/// inherited by whoever is started by a service, and says nothing of where they write.
pub(super) fn leads_to_journal(stream: Option<&str>, file: impl AsFd) -> bool {
    let named = stream.and_then(|stream| stream.split_once(':'));
    let Some((device, inode)) = named else { return false };
    let (Ok(device), Ok(inode)) = (device.parse::<u64>(), inode.parse::<u64>()) else {
        return false;
    };
    fstat(file).is_ok_and(|file| (file.st_dev, file.st_ino) == (device, inode))
}

/// How long a journal that takes nothing is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
const SOCKET: &str = "/run/systemd/journal/socket";

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn only_the_stream_that_is_named_leads_to_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name| File::create(folder.path().join(name)).unwrap();
        let (ours, other) = (open("ours"), open("other"));
        let file = fstat(&ours).unwrap();
        let named = format!("{}:{}", file.st_dev, file.st_ino);
        let check = |stream: Option<&str>, file: &File, expected: bool| {
            assert_eq!(leads_to_journal(stream, file), expected, "for {stream:?}");
        };
        check(Some(&named), &ours, true);
        check(Some(&named), &other, false);
        for nonsense in ["", ":", "1", "a:b", "8:", &format!("{named}:1")] {
            check(Some(nonsense), &ours, false);
        }
        check(None, &ours, false);
    }

    #[test]
    fn an_entry_is_one_datagram_and_a_journal_that_is_gone_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        assert!(Journal::open_at(&path).is_err(), "nobody listens yet");
        let listening = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::open_at(&path).unwrap();
        assert!(journal.send("MESSAGE=one\n") && journal.send("MESSAGE=two\n"));
        let read = || {
            let mut bytes = [0; 64];
            let length = listening.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..length].to_vec()).unwrap()
        };
        assert_eq!([read(), read(), read()], ["", "MESSAGE=one\n", "MESSAGE=two\n"]);
        drop(listening);
        assert!(!journal.send("MESSAGE=three\n"));
    }

    #[test]
    fn a_journal_that_hangs_holds_nobody_up_and_what_it_lacks_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let hanging = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::open_at(&path).unwrap();
        let mut sent = 0_u64;
        while journal.left_out.load(Ordering::Relaxed) < 3 {
            assert!(journal.send(&format!("MESSAGE={sent}\n")), "nobody else is told");
            sent += 1;
        }
        hanging.set_nonblocking(true).unwrap();
        let read = || {
            let mut bytes = [0; 128];
            let length = hanging.recv(&mut bytes).ok()?;
            Some(String::from_utf8(bytes[..length].to_vec()).unwrap())
        };
        let taken: Vec<String> = std::iter::from_fn(read).collect();
        assert_eq!(u64::try_from(taken.len()).unwrap(), sent - 3 + 1, "and the first, empty one");
        assert!(journal.send("MESSAGE=again\n"));
        assert_eq!(read().as_deref(), Some("MESSAGE=again\n"));
        assert!(read().unwrap().contains("did not take 3 lines"));
        assert!(journal.send("MESSAGE=last\n"));
        assert_eq!([read().as_deref(), read().as_deref()], [Some("MESSAGE=last\n"), None]);
    }
}
