//! Standard output or standard error of this process. Only the thread behind an output queue writes
//! here, and may block.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

/// One stream, and whether its last text was written in part.
#[derive(Debug)]
pub(super) struct OutputStream<W = File> {
    stream: W,
    torn: bool,
}

impl OutputStream {
    /// Duplicates a stream of this process, so that no lock of the standard library is held while
    /// it blocks. Its flags, which other processes share, stay as they are.
    ///
    /// # Errors
    /// If there are no file handles left.
    pub(super) fn open(stream: impl AsFd) -> io::Result<Self> {
        Ok(Self { stream: File::from(stream.as_fd().try_clone_to_owned()?), torn: false })
    }
}

impl<W: Write> OutputStream<W> {
    /// Writes a text, for as long as it takes.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write(&mut self, text: &str) -> io::Result<()> {
        if self.torn {
            // Separates the text from the part before it.
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
                // Another process that shares the stream made it non-blocking.
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

/// The delay before another attempt at a full stream that does not block.
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
    fn a_text_is_written_whole_or_separated_from_the_next() {
        let script = vec![ErrorKind::WouldBlock, ErrorKind::Interrupted];
        let mut output = OutputStream { stream: Odd { script, ..Odd::default() }, torn: false };
        output.write("one line\n").unwrap();
        assert_eq!(output.stream.written, "one line\n");
        output.stream.script = vec![ErrorKind::StorageFull];
        output.stream.written.clear();
        assert!(output.write("two lines\n").is_err());
        assert_eq!(output.stream.written, "two");
        output.write("three\n").unwrap();
        assert_eq!(output.stream.written, "two\nthree\n");
    }
}
