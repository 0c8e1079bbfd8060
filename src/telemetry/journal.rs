//! systemd's journal: whether standard error leads there, and entries with fields of their own.
//!
//! An entry is one datagram to the journal's socket, in its native protocol
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>). No value has a line break in it, so the simple
//! form of the protocol is enough.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use rustix::fs::fstat;

/// An open way to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
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
        // The journal takes no notice of an entry with nothing in it.
        socket.send_to(&[], path)?;
        Ok(Self { socket, path: path.to_owned() })
    }

    /// Sends an entry. One that hangs is waited for, by the thread that does nothing else.
    ///
    /// # Errors
    /// When there is no journal any more, or the entry is too large for it.
    pub(super) fn send(&self, entry: &str) -> io::Result<()> {
        self.socket.send_to(entry.as_bytes(), &self.path).map(drop)
    }
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
        journal.send("MESSAGE=one\n").unwrap();
        journal.send("MESSAGE=two\n").unwrap();
        let read = || {
            let mut bytes = [0; 64];
            let length = listening.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..length].to_vec()).unwrap()
        };
        assert_eq!([read(), read(), read()], ["", "MESSAGE=one\n", "MESSAGE=two\n"]);
        drop(listening);
        assert!(journal.send("MESSAGE=three\n").is_err());
    }
}
