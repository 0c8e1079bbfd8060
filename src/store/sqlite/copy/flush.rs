//! Flushes a copy while it grows, in small pieces and with pauses: otherwise all of it is written
//! to the disk at its end, and the commits of a daemon on the same disk wait for that.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;
use tempfile::NamedTempFile;

use crate::files::open::open_regular;

/// The part of a copy that is on the disk.
#[derive(Debug)]
pub(in crate::store) struct CopyFlush {
    path: PathBuf,
    /// Kept open: closing it releases the locks of SQLite on the copy.
    file: Option<File>,
    flushed: u64,
}

impl CopyFlush {
    pub(in crate::store) const fn new(path: PathBuf) -> Self {
        Self { path, file: None, flushed: 0 }
    }

    /// Flushes what was added, unless it is little; returns the length of the copy.
    pub(in crate::store) fn advance(&mut self) -> u64 {
        let length = fs::metadata(&self.path).map_or(0, |it| it.len());
        if length >= self.flushed + PIECE_BYTES {
            let open = || open_regular(&self.path, OpenOptions::new().read(true), OFlags::NOFOLLOW);
            self.file = self.file.take().or_else(|| open().ok());
            // The end of the copy reports a disk that fails.
            drop(self.file.as_ref().map(File::sync_data));
            thread::sleep(PAUSE);
            self.flushed = length;
        }
        length
    }
}

/// Copies a file, flushed like that.
pub(in crate::store) fn copy_file(file: &File, copy: &NamedTempFile) -> io::Result<()> {
    let mut flush = CopyFlush::new(copy.path().to_owned());
    while io::copy(&mut file.take(PIECE_BYTES), &mut copy.as_file())? > 0 {
        flush.advance();
    }
    Ok(())
}

/// A disk writes it within some milliseconds.
const PIECE_BYTES: u64 = 1 << 20;
const PAUSE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_copy_is_flushed_in_pieces_while_it_grows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy.db");
        let mut flush = CopyFlush::new(path.clone());
        assert_eq!(flush.advance(), 0);
        let mut copy = File::create(&path).unwrap();
        let piece = usize::try_from(PIECE_BYTES).unwrap();
        let mut flushed = Vec::new();
        for _ in 0..6 {
            copy.write_all(&vec![1; piece / 2]).unwrap();
            flush.advance();
            flushed.push(flush.flushed / PIECE_BYTES);
        }
        assert_eq!(flushed, [0, 1, 1, 2, 2, 3]);
    }
}
