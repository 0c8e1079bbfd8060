//! The files of one load of the config: the config, its drop-ins, secrets and certificates are read
//! as one consistent generation, or read again.
//!
//! When no change is reported, every file was unchanged after the last one was read, and every
//! missing file was still missing. A swap during the load, as by the `..data` link of Kubernetes,
//! and a file that is being written are detected.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::files::open::open_for_reading;
use crate::files::trust::Facts;

/// The files that one load has read so far.
#[derive(Debug, Default)]
pub(super) struct Generation {
    /// A file that is read twice, for two keys, occurs twice.
    files: RefCell<Vec<(PathBuf, Option<FileStamp>)>>,
    folders: RefCell<BTreeMap<PathBuf, Listing>>,
    /// The size of the config and its drop-ins so far, in bytes.
    config_bytes: Cell<u64>,
}

/// A function that lists the names in a folder.
type ListFolder = fn(&Path) -> io::Result<Vec<OsString>>;

/// The listed folders: the names and the function; `None` if listing failed.
#[derive(Debug)]
struct Listing {
    list: ListFolder,
    names: Option<Vec<OsString>>,
}

/// The identity and version of a file: device, inode, size, and the times when its content and its
/// inode changed.
type FileStamp = [i128; 7];

impl Generation {
    /// The content and the metadata of the config or of a drop-in.
    pub(super) fn read_config(&self, path: &Path) -> io::Result<(Vec<u8>, Facts)> {
        let left = CONFIG_BYTES_MAX.saturating_sub(self.config_bytes.get());
        let (limit, fault) = match left {
            CONFIG_FILE_BYTES_MAX.. => (CONFIG_FILE_BYTES_MAX, FILE_TOO_LARGE),
            left => (left, CONFIG_TOO_LARGE),
        };
        let read = self.read_up_to(path, limit, fault)?;
        self.config_bytes.set(self.config_bytes.get() + read.0.len() as u64);
        Ok(read)
    }

    /// The content and the metadata of a regular file, such as a secret.
    pub(super) fn read(&self, path: &Path) -> io::Result<(Vec<u8>, Facts)> {
        self.read_up_to(path, FILE_BYTES_MAX, "it is larger than a mebibyte")
    }

    fn read_up_to(
        &self,
        path: &Path,
        limit: u64,
        fault: &'static str,
    ) -> io::Result<(Vec<u8>, Facts)> {
        let opened = open(path);
        let metadata = opened.as_ref().ok().map(|(_, metadata)| metadata);
        let found = metadata.map(stamp).or_else(|| stamp_at(path));
        self.files.borrow_mut().push((path.to_owned(), found));
        let (file, metadata) = opened?;
        let facts = Facts::of(&file, &metadata);
        Ok((read_bounded(file, limit, fault)?, facts))
    }

    /// The names in a folder.
    pub(super) fn list(&self, folder: &Path, list: ListFolder) -> io::Result<Vec<OsString>> {
        let names = list(folder);
        let listing = Listing { list, names: names.as_ref().ok().cloned() };
        self.folders.borrow_mut().insert(folder.to_owned(), listing);
        names
    }

    /// The first file or folder that has changed, if any.
    fn changed(&self) -> Option<PathBuf> {
        let folders = self.folders.borrow();
        let mut folders = folders.iter();
        let folder = folders.find(|(path, it)| (it.list)(path).ok() != it.names);
        let files = self.files.borrow();
        let file = files.iter().find(|(path, before)| stamp_at(path) != *before);
        folder.map(|(path, _)| path).or(file.map(|(path, _)| path)).cloned()
    }
}

fn stamp(of: &Metadata) -> FileStamp {
    let times = [of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()].map(i128::from);
    let [modified, modified_ns, changed, changed_ns] = times;
    let [device, inode, size] = [of.dev(), of.ino(), of.size()].map(i128::from);
    [device, inode, size, modified, modified_ns, changed, changed_ns]
}

fn stamp_at(path: &Path) -> Option<FileStamp> {
    fs::metadata(path).ok().as_ref().map(stamp)
}

/// Reads, and repeats that a limited number of times while files change; returns the last result
/// and the path that still changed.
pub(super) fn settled<T>(read: impl Fn(&Generation) -> T) -> (T, Option<PathBuf>) {
    let mut wait = WAIT_MIN;
    loop {
        let generation = Generation::default();
        let found = read(&generation);
        let changed = generation.changed();
        if changed.is_none() || wait > WAIT_MAX {
            return (found, changed);
        }
        thread::sleep(wait);
        wait *= 2;
    }
}

fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let file = open_for_reading(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

fn read_bounded(file: File, limit: u64, fault: &'static str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 <= limit { Ok(bytes) } else { Err(io::Error::other(fault)) }
}

/// The maximum size of a secret or certificate file in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The maximum size of the config or of a drop-in, in bytes. Reading takes 26 times as much memory.
const CONFIG_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
const FILE_TOO_LARGE: &str =
    "it is larger than 16 MiB; split its avatars into files of `avatars.d`, beside the config";
/// The maximum size of the config with its drop-ins, in bytes.
const CONFIG_BYTES_MAX: u64 = 32 * 1024 * 1024;
const CONFIG_TOO_LARGE: &str = "the config with its drop-ins is larger than 32 MiB; run a daemon \
    for each part of the avatars, or watch them with `[discover]`";
/// The delays between reads double; their sum is half a second.
const WAIT_MIN: Duration = Duration::from_millis(1);
const WAIT_MAX: Duration = Duration::from_millis(256);

#[cfg(test)]
#[path = "file_stamp_tests.rs"]
mod tests;
