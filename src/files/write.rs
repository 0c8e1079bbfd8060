//! Atomic writes: a file is written under a random name (`O_EXCL`), then renamed.
//!
//! Invariants: the name belongs to a complete file or to none; no link is followed; the mode is
//! never wider than requested, whatever the umask.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

use crate::files::paths::parent_dir;

/// Readable by its owner only.
pub const PRIVATE: u32 = 0o600;
/// Readable by everyone, unless the umask removes that.
pub const PUBLIC: u32 = 0o644;

/// Replaces or creates a file; it is on disk when this returns.
///
/// # Errors
/// When it could not be written; an existing file is then unchanged.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    written(path, bytes, mode)?.persist(path).map_err(|failure| failure.error)?;
    sync_folder(path)
}

/// Creates a file; it is on disk when this returns.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when the name is taken; when it could not be written.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    written(path, bytes, mode)?.persist_noclobber(path).map_err(|failure| failure.error)?;
    sync_folder(path)
}

/// Checks that a file can be created in a folder; leaves none behind.
pub fn probe(folder: &Path) -> io::Result<()> {
    draft(folder, PRIVATE)?.close()
}

fn written(path: &Path, bytes: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    let mut file = draft(parent_dir(path), mode)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// An empty file that is removed unless it is renamed.
fn draft(folder: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(PREFIX).permissions(Permissions::from_mode(mode));
    // The random name would not help in the error.
    builder.tempfile_in(folder).map_err(|failure| match failure.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::from(failure.kind()),
    })
}

/// Syncs the folder of a file.
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
    fn a_write_replaces_a_link_and_never_its_target() {
        let folder = tempfile::tempdir().unwrap();
        let (precious, path) = (folder.path().join("precious"), folder.path().join("a"));
        fs::write(&precious, "precious").unwrap();
        let plant: [&dyn Fn(); 3] = [
            &|| symlink(&precious, &path).unwrap(),
            &|| fs::hard_link(&precious, &path).unwrap(),
            &|| symlink(folder.path().join("nowhere"), &path).unwrap(),
        ];
        for plant in plant {
            plant();
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
