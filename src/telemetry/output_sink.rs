//! Where pieces of output end up: standard output, standard error, or systemd's journal when
//! standard error leads there. Used by the thread of an output queue alone, which may block here.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use crate::telemetry::journal::Journal;
use crate::telemetry::output_queue::Piece;

/// One stream of the process.
#[derive(Debug)]
pub(super) struct OutputSink {
    end: End<File>,
    /// The journal, once there was something for it.
    journal: Option<Journal>,
}

/// A stream, and whether its last piece was written in part.
#[derive(Debug)]
struct End<W> {
    stream: W,
    torn: bool,
}

impl OutputSink {
    /// A stream of this process. It is duplicated, so that no lock of the standard library is held
    /// while it blocks; its flags, which other processes share, are left alone.
    ///
    /// # Errors
    /// When there are no file handles left.
    pub(super) fn open(stream: impl AsFd) -> io::Result<Self> {
        let stream = File::from(stream.as_fd().try_clone_to_owned()?);
        Ok(Self { end: End { stream, torn: false }, journal: None })
    }

    /// Writes a piece, for as long as it takes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&mut self, piece: &Piece) -> io::Result<()> {
        match &piece.entry {
            Some(entry) if self.journal_takes(entry) => Ok(()),
            Some(_) | None => self.end.write(&piece.text),
        }
    }

    /// Sends an entry; `false` when there is no journal, or it does not take it.
    fn journal_takes(&mut self, entry: &str) -> bool {
        if self.journal.is_none() {
            self.journal = Journal::open().ok();
        }
        self.journal.as_ref().is_some_and(|journal| journal.send(entry).is_ok())
    }
}

impl<W: Write> End<W> {
    fn write(&mut self, text: &str) -> io::Result<()> {
        if self.torn {
            // What was begun before is no part of this.
            self.write_all(b"\n")?;
            self.torn = false;
        }
        self.write_all(text.as_bytes())
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let whole = bytes.len();
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another process that shares the stream made it so.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(FULL_PAUSE),
                Err(error) => {
                    self.torn |= bytes.len() < whole;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// The pause before a stream that is full and does not block is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes three bytes at a time, and does as scripted in between.
    #[derive(Default)]
    struct Odd {
        script: Vec<ErrorKind>,
        written: String,
    }

    impl Write for Odd {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.written.len() % 2 == 1
                && let Some(kind) = self.script.pop()
            {
                return Err(kind.into());
            }
            let count = bytes.len().min(3);
            self.written.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_piece_is_written_whole_or_cut_off_from_the_next() {
        let script = vec![ErrorKind::WouldBlock, ErrorKind::Interrupted];
        let mut end = End { stream: Odd { script, ..Odd::default() }, torn: false };
        end.write("one line\n").unwrap();
        assert_eq!(end.stream.written, "one line\n");
        end.stream.script = vec![ErrorKind::StorageFull];
        end.stream.written.clear();
        assert!(end.write("two lines\n").is_err());
        assert_eq!(end.stream.written, "two");
        end.write("three\n").unwrap();
        assert_eq!(end.stream.written, "two\nthree\n");
    }
}
