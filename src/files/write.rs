//! Writing a file whole: under a random name that nobody can have taken (`O_EXCL`), then renamed.
//!
//! What always holds: under the name stands a whole file or none; no link is followed, whoever
//! laid it there; a mode is never wider than asked for, whatever the umask.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

use crate::files::paths::parent_dir;

/// Readable by its owner only.
pub const PRIVATE: u32 = 0o600;
/// Readable by everybody, as far as the umask lets it be.
pub const PUBLIC: u32 = 0o644;

/// Puts a file in the place of whatever has that name; on disk before it returns.
///
/// # Errors
/// When it could not be written; then what was there is still there.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    written(path, bytes, mode)?.persist(path).map_err(|failure| failure.error)?;
    sync_folder(path)
}

/// Makes a new file; on disk before it returns.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when anything has that name; when it could not be written.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    written(path, bytes, mode)?.persist_noclobber(path).map_err(|failure| failure.error)?;
    sync_folder(path)
}

/// Whether a file can be made in a folder; none is left.
///
/// # Errors
/// When none can.
pub fn probe(folder: &Path) -> io::Result<()> {
    draft(folder, PRIVATE)?.close()
}

fn written(path: &Path, bytes: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    let mut file = draft(parent_dir(path), mode)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// An empty file that goes away unless it gets its name.
fn draft(folder: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(PREFIX).permissions(Permissions::from_mode(mode));
    // Its name in the error would say nothing to anybody.
    builder.tempfile_in(folder).map_err(|failure| match failure.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::from(failure.kind()),
    })
}

/// Puts on disk which names stand in the folder of a file.
///
/// # Errors
/// When the folder cannot be opened, or written.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(parent_dir(path))?.sync_all()
}

const PREFIX: &str = ".avatar-watch-";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_takes_the_place_of_a_link_and_never_that_of_what_it_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let (precious, path) = (folder.path().join("precious"), folder.path().join("a"));
        fs::write(&precious, "precious").unwrap();
        let lay: [&dyn Fn(); 3] = [
            &|| symlink(&precious, &path).unwrap(),
            &|| fs::hard_link(&precious, &path).unwrap(),
            &|| symlink(folder.path().join("nowhere"), &path).unwrap(),
        ];
        for lay in lay {
            lay();
            let refused = create(&path, b"new", PRIVATE).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
            replace(&path, b"new", PRIVATE).unwrap();
            assert!(path.symlink_metadata().unwrap().is_file());
            assert_eq!(fs::read(&path).unwrap(), b"new");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, PRIVATE);
            assert_eq!(fs::read(&precious).unwrap(), b"precious");
            fs::remove_file(&path).unwrap();
        }
        create(&path, b"new", PRIVATE).unwrap();
        probe(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no draft is left");
        let absent = folder.path().join("none").join("a");
        for failed in [replace(&absent, b"", PUBLIC), probe(absent.parent().unwrap())] {
            let failed = failed.unwrap_err();
            assert_eq!(failed.kind(), io::ErrorKind::NotFound);
            assert!(!failed.to_string().contains(PREFIX), "{failed}");
        }
    }
}
