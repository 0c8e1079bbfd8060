//! systemd's journal: detects whether standard error leads there, and sends entries in its native
//! protocol (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>).

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

use rustix::fs::fstat;

/// Sends one entry as one datagram. Blocks while the journal hangs: only the thread behind the
/// output queue calls it.
///
/// # Errors
/// If nothing listens at `socket`, or the entry is too large for it.
pub(super) fn send(socket: &str, entry: &str) -> io::Result<()> {
    UnixDatagram::unbound()?.send_to(entry.as_bytes(), socket).map(drop)
}

/// Whether `stream`, the `JOURNAL_STREAM` that systemd sets, names what `file` leads to. A process
/// that a service starts inherits the variable, wherever it writes.
pub(super) fn is_journal_stream(stream: Option<&str>, file: impl AsFd) -> bool {
    let named = stream.and_then(|stream| stream.split_once(':'));
    let Some((device, inode)) = named else { return false };
    let (Ok(device), Ok(inode)) = (device.parse::<u64>(), inode.parse::<u64>()) else {
        return false;
    };
    fstat(file).is_ok_and(|file| (file.st_dev, file.st_ino) == (device, inode))
}

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn only_the_named_stream_leads_to_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name| File::create(folder.path().join(name)).unwrap();
        let (ours, other) = (open("ours"), open("other"));
        let file = fstat(&ours).unwrap();
        let named = format!("{}:{}", file.st_dev, file.st_ino);
        let check = |stream: Option<&str>, file: &File, expected: bool| {
            assert_eq!(is_journal_stream(stream, file), expected, "for {stream:?}");
        };
        check(Some(&named), &ours, true);
        check(Some(&named), &other, false);
        for nonsense in ["", ":", "1", "a:b", "8:", &format!("{named}:1")] {
            check(Some(nonsense), &ours, false);
        }
        check(None, &ours, false);
    }

    #[test]
    fn an_entry_is_one_datagram_and_a_missing_journal_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let socket = path.to_str().unwrap();
        assert!(send(socket, "MESSAGE=none\n").is_err());
        let journal = UnixDatagram::bind(&path).unwrap();
        for entry in ["MESSAGE=one\n", "MESSAGE=two\n"] {
            send(socket, entry).unwrap();
            let mut bytes = [0; 64];
            let length = journal.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..length], entry.as_bytes());
        }
        drop(journal);
        assert!(send(socket, "MESSAGE=three\n").is_err());
    }
}
