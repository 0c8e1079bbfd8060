//! Opens a file that another user may have created, or just replaced.
//!
//! Only a regular file is opened, and no call blocks: opening a FIFO would wait for a writer.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a regular file for reading; follows links.
pub fn open_for_reading(path: &Path) -> io::Result<File> {
    open_regular(path, OpenOptions::new().read(true), OFlags::empty())
}

/// Opens a regular file with these additional flags.
pub fn open_regular(path: &Path, options: &mut OpenOptions, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
    // `open` takes an `int`; these flags are its low bits.
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let file = options.custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("not a regular file")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_fifo_is_refused_without_blocking() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        let check = |name: &str, flags, expected: &str| {
            let result = open_regular(&at(name), OpenOptions::new().read(true), flags);
            let text = result.map_or_else(|failure| failure.to_string(), |_| String::new());
            assert!(text.contains(expected) && text.is_empty() == expected.is_empty(), "{text}");
        };
        check("pipe", OFlags::empty(), "not a regular file");
        check("file", OFlags::NOFOLLOW, "");
        check("link", OFlags::empty(), "");
        check("link", OFlags::NOFOLLOW, "symbolic link");
        assert!(open_for_reading(&at("none")).is_err());
    }
}
