//! A copy of the database that is whole and of one moment, taken beside a running daemon.
//!
//! What always holds: under the name of a backup stands a whole copy that was read back, or
//! nothing; it is for its owner's eyes only, and on disk before anyone hears of it. Nothing is
//! overwritten; only what a rotation made itself does it remove, and only after a good copy.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::domain::timestamp::Timestamp;
use crate::store::database::{self, damaged};
use crate::store::error::StoreError;
use crate::store::verify::{self, Report};

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Where it is.
    pub file: PathBuf,
    /// How large it is.
    pub bytes: u64,
    /// What is in it, and what is wrong with it: nothing, if all is well.
    pub report: Report,
    /// Older backups that were removed for it.
    pub removed: Vec<PathBuf>,
}

/// Copies the database into a new file.
///
/// # Errors
/// When the file is there already, the database cannot be read, or the disk fails; then there is
/// no new file.
pub fn to_file(database: &Path, file: &Path) -> Result<Backup, StoreError> {
    if file.symlink_metadata().is_ok() {
        return Err(StoreError::Taken { path: file.to_owned() });
    }
    let copy = copy(database, folder_of(file))?;
    let report = verify::verify(copy.path())?;
    let bytes = fs::metadata(&copy).map_err(disk("reading", copy.path()))?.size();
    place(copy, file)?;
    Ok(Backup { file: file.to_owned(), bytes, report, removed: Vec::new() })
}

/// Copies the database into a new file of a folder, named after `now`, and keeps the newest
/// `keep` of those. Where something is wrong with the copy, it stays, and so do all others.
///
/// # Errors
/// As [`to_file`]; when the folder cannot be made or read.
pub fn to_folder(
    database: &Path,
    folder: &Path,
    keep: usize,
    now: Timestamp,
) -> Result<Backup, StoreError> {
    if !folder.is_dir() {
        let made = DirBuilder::new().mode(PRIVATE_MODE).create(folder);
        made.map_err(disk("making the folder", folder))?;
    }
    let backup = to_file(database, &folder.join(format!("{PREFIX}{}{SUFFIX}", compact(now))))?;
    if !backup.report.findings.is_empty() {
        return Ok(backup);
    }
    let removed = rotate(folder, keep, &backup.file).map_err(disk("clearing up", folder))?;
    Ok(Backup { removed, ..backup })
}

/// Writes a copy of one moment into a file of the folder that vanishes unless it is placed.
pub(super) fn copy(database: &Path, folder: &Path) -> Result<NamedTempFile, StoreError> {
    const DOING: &str = "copying the database";
    let (source, _) = database::open_of_any_age(database)?;
    let made = tempfile::Builder::new().prefix(UNFINISHED).suffix(SUFFIX).tempfile_in(folder);
    let copy = made.map_err(disk("making a file in", folder))?;
    let file = copy.as_file();
    // Whoever clears up leaves a file alone that someone holds.
    file.lock().map_err(disk("locking", copy.path()))?;
    let unnameable = || disk("naming", copy.path())(io::ErrorKind::InvalidInput.into());
    let name = copy.path().to_str().ok_or_else(unnameable)?;
    source
        .execute("VACUUM INTO ?1", [name])
        .map_err(|failure| damaged(database, DOING, failure))?;
    file.sync_all().map_err(disk("writing", copy.path()))?;
    Ok(copy)
}

/// Gives a finished copy its name, unless something else has it.
fn place(copy: NamedTempFile, file: &Path) -> Result<(), StoreError> {
    copy.persist_noclobber(file).map_err(|failure| match failure.error.kind() {
        io::ErrorKind::AlreadyExists => StoreError::Taken { path: file.to_owned() },
        _ => disk("naming", file)(failure.error),
    })?;
    sync_folder(file)
}

/// Puts on disk which names stand in the folder of a file.
pub(super) fn sync_folder(file: &Path) -> Result<(), StoreError> {
    let folder = folder_of(file);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(disk("writing", folder))
}

/// The folder that a file stands in.
pub(super) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// Removes all dated backups but the newest, and what broken-off ones left behind.
fn rotate(folder: &Path, keep: usize, fresh: &Path) -> io::Result<Vec<PathBuf>> {
    let mut dated = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if !fs::symlink_metadata(&path)?.is_file() {
            continue;
        }
        if is_dated(name) && path != fresh {
            dated.push(path);
        } else if name.starts_with(UNFINISHED) && is_left_behind(&path) {
            fs::remove_file(&path)?;
        }
    }
    dated.sort();
    // The fresh one is kept even when the clock was set back and others seem to be newer.
    let surplus = (dated.len() + 1).saturating_sub(keep.max(1));
    dated.truncate(surplus);
    dated.iter().try_for_each(fs::remove_file)?;
    Ok(dated)
}

fn is_left_behind(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// Whether a rotation gave that name.
fn is_dated(name: &str) -> bool {
    let inside = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    inside.is_some_and(is_compact)
}

/// Whether a text is what [`compact`] makes of some moment.
fn is_compact(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else { return false };
    if !text.is_ascii() || date.len() != 8 || time.len() < 6 {
        return false;
    }
    let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
    let (hour, minute, rest) = (&time[..2], &time[2..4], &time[4..]);
    let spelled = format!("{year}-{month}-{day}T{hour}:{minute}:{rest}");
    Timestamp::parse_rfc3339(&spelled).is_some_and(|at| compact(at) == text)
}

/// A moment in a form that file names take and that sorts: `20261123T111522.123Z`.
pub(super) fn compact(at: Timestamp) -> String {
    at.to_string().chars().filter(|it| !['-', ':'].contains(it)).collect()
}

/// Names what was being done to which file.
pub(super) fn disk(
    doing: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::Disk { doing, path, source }
}

const PREFIX: &str = "avatar-watch-";
const SUFFIX: &str = ".db";
/// How the name of a copy begins that is not whole yet.
const UNFINISHED: &str = ".avatar-watch-";
const PRIVATE_MODE: u32 = 0o700;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::store::handle::Store;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    #[test]
    fn a_rotation_keeps_the_newest_and_touches_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let database = home.path().join("a.db");
        let (_store, _writer) = Store::open(&database, "boot".to_owned()).unwrap();
        let folder = home.path().join("backups");
        to_folder(&database, &folder, 2, at(1)).unwrap();
        let foreign = [
            "avatar-watch-mine.db",
            "avatar-watch-19700101T000001.000Z.db.old",
            "avatar-watch-19701301T000001.000Z.db",
            "b.db",
        ];
        foreign.iter().for_each(|name| fs::write(folder.join(name), "").unwrap());
        // One that was killed, and one that is still at work.
        fs::write(folder.join(".avatar-watch-left.db"), "").unwrap();
        let held = File::create(folder.join(".avatar-watch-held.db")).unwrap();
        held.lock().unwrap();
        to_folder(&database, &folder, 2, at(2)).unwrap();
        let third = to_folder(&database, &folder, 2, at(3)).unwrap();
        assert_eq!(third.removed, [folder.join("avatar-watch-19700101T000001.000Z.db")]);
        let mut expected = vec![
            ".avatar-watch-held.db",
            "avatar-watch-19700101T000002.000Z.db",
            "avatar-watch-19700101T000003.000Z.db",
        ];
        expected.extend(foreign);
        expected.sort_unstable();
        assert_eq!(names(&folder), expected);
        // A clock that was set back costs an older one, never the fresh one.
        let fourth = to_folder(&database, &folder, 2, at(0)).unwrap();
        assert!(fourth.file.exists());
        assert_eq!(fourth.removed, [folder.join("avatar-watch-19700101T000002.000Z.db")]);
        let again = to_folder(&database, &folder, 2, at(0));
        assert!(matches!(again, Err(StoreError::Taken { .. })), "{again:?}");
    }

    #[test]
    fn a_copy_is_private_and_takes_nobodys_place() {
        let home = tempfile::tempdir().unwrap();
        let database = home.path().join("a.db");
        let (_store, _writer) = Store::open(&database, "boot".to_owned()).unwrap();
        let folder = home.path().join("copies");
        fs::create_dir(&folder).unwrap();
        let file = folder.join("copy.db");
        let backup = to_file(&database, &file).unwrap();
        assert_eq!((backup.report.findings.len(), backup.report.schema), (0, 5));
        let metadata = fs::metadata(&file).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(metadata.len(), backup.bytes);
        let before = fs::read(&file).unwrap();
        assert!(matches!(to_file(&database, &file), Err(StoreError::Taken { .. })));
        assert_eq!(fs::read(&file).unwrap(), before);
        let none = to_file(&home.path().join("none.db"), &folder.join("none-copy.db"));
        assert!(matches!(none, Err(StoreError::Absent { .. })));
        assert_eq!(names(&folder), ["copy.db"]);
    }
}
