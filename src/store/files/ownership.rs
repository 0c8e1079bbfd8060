//! The owner of new files: what root creates beside a database belongs to the owner of the
//! database.
//!
//! Invariant: only a file that was created here changes its owner, through its handle; never a file
//! that was opened by name.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use rustix::fs::OFlags;
use rustix::process::{DumpableBehavior, geteuid, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::files::open::open_regular;
use crate::files::paths::{parent_dir, resolve_symlinks};
use crate::files::trust::{Facts, Trust};
use crate::files::users::user;
use crate::store::error::StoreError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Owner {
    pub(in crate::store) uid: u32,
    gid: u32,
}

impl Owner {
    /// The owner of the database, or of its folder if there is no database yet.
    pub(in crate::store) fn of(database: &Path) -> io::Result<Self> {
        Self::of_file(database).or_else(|_| Self::of_file(parent_dir(database)))
    }

    pub(in crate::store) fn of_file(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|it| Self { uid: it.uid(), gid: it.gid() })
    }

    /// The owner of a database's folder, when this process is root and that is another user.
    pub(in crate::store) fn fs_user(database: &Path) -> Option<Self> {
        if !geteuid().is_root() {
            return None;
        }
        let owner = Self::of_file(parent_dir(&resolve_symlinks(database))).ok()?;
        let is_other = owner.uid != 0 && !Trust::for_named().is_unmapped(owner.uid);
        is_other.then_some(owner)
    }

    /// Gives this owner a file that was just created.
    pub(in crate::store) fn chown(self, made: impl AsFd) -> io::Result<()> {
        fchown(made, Some(self.uid), Some(self.gid))
    }

    /// As [`Self::chown`], when this is root; where root may not, as in some containers, the file
    /// stays root's.
    fn chown_if_root(self, made: impl AsFd) {
        if geteuid().is_root() {
            drop(self.chown(made));
        }
    }
}

/// While it lives, root's thread has the filesystem user and group id of another user
/// (`setfsuid(2)`): the kernel permits access to the files of that user only, and new files belong
/// to that user. Root would otherwise follow any name that the user puts into the folder of the
/// database, such as a hard link to a file of root's.
///
/// The supplementary groups of root still count. A thread that is started meanwhile would inherit
/// the ids, so none is.
#[derive(Debug)]
pub(in crate::store) struct FsUserGuard {
    before: Option<(Uid, Gid)>,
    /// The ids are those of this thread.
    _thread: PhantomData<*const ()>,
}

impl FsUserGuard {
    /// Switches to the owner of a database's folder, when this process is root and that is another
    /// user.
    pub(in crate::store) fn for_database(database: &Path) -> Result<Self, StoreError> {
        Self::switch_to(Owner::fs_user(database), database)
    }

    /// As [`Self::for_database`], for a file in `folder`, if the database has the same owner.
    pub(in crate::store) fn for_copy(database: &Path, folder: &Path) -> Result<Self, StoreError> {
        let is_same = |it: &Owner| Owner::of_file(database).is_ok_and(|db| db.uid == it.uid);
        Self::switch_to(Owner::fs_user(&folder.join("a.db")).filter(is_same), folder)
    }

    pub(in crate::store) fn switch_to(
        owner: Option<Owner>,
        database: &Path,
    ) -> Result<Self, StoreError> {
        let before = owner.map(|Owner { uid, gid }| {
            let gid = setfsgid(Gid::from_raw(gid));
            (setfsuid(Uid::from_raw(uid)), gid)
        });
        let guard = Self { before, _thread: PhantomData };
        if let Some(Owner { uid, .. }) = owner {
            stay_undumpable();
            keep_read_search();
            // An invalid id changes nothing; the call returns the current one.
            if setfsuid(Uid::from_raw(u32::MAX)).as_raw() != uid {
                let name = user(uid);
                let what = format!(
                    "is in a folder of {name}, and root may not use the ids of that user here"
                );
                let (path, help) = (database.to_owned(), format!("run the command as {name}"));
                return Err(StoreError::Blocked { path, what, help });
            }
        }
        Ok(guard)
    }
}

impl Drop for FsUserGuard {
    fn drop(&mut self) {
        if let Some((uid, gid)) = self.before {
            setfsuid(uid);
            setfsgid(gid);
            stay_undumpable();
        }
    }
}

/// Keeps the capability to enter every folder: those above the database may be closed to its owner,
/// as `/var/lib/private` is with `DynamicUser=`. It permits no write and no change of an owner.
/// Without it, `open` fails as it does for that user.
fn keep_read_search() {
    if let Ok(mut sets) = capabilities(None) {
        sets.effective |= CapabilitySet::DAC_READ_SEARCH & sets.permitted;
        let _ = set_capabilities(None, sets);
    }
}

/// A change of these ids resets the "dumpable" attribute of the process (`prctl(2)`).
fn stay_undumpable() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Opens a file beside a database, or creates it for the database's owner. Follows no link, and
/// refuses a file that another user can have planted.
pub(in crate::store) fn open_or_create(path: &Path, mode: u32, owner: Owner) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(mode);
    match options.clone().create_new(true).open(path) {
        Ok(made) => {
            owner.chown_if_root(&made);
            Ok(made)
        }
        Err(failure) if failure.kind() == io::ErrorKind::AlreadyExists => {
            let file = open_regular(path, &mut options, OFlags::NOFOLLOW)?;
            refuse_planted(path, &file)?;
            Ok(file)
        }
        Err(failure) => Err(failure),
    }
}

fn refuse_planted(path: &Path, file: &File) -> io::Result<()> {
    let facts = Facts::of(file, &file.metadata()?);
    let verdict = Trust::for_named().check_named(path, &facts);
    verdict.lenient().map_err(|it| io::Error::new(io::ErrorKind::PermissionDenied, it))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;

    use super::*;

    #[test]
    fn root_has_the_file_ids_of_the_folder_s_owner_while_the_guard_lives() {
        if !geteuid().is_root() {
            println!("skipped: requires root");
            return;
        }
        const OTHER: u32 = 61_847;
        let folder = tempfile::tempdir().unwrap();
        let (database, secret) = (folder.path().join("a.db"), folder.path().join("secret"));
        fs::write(&secret, "of root").unwrap();
        fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        chown(folder.path(), Some(OTHER), Some(OTHER)).unwrap();
        let guard = FsUserGuard::for_database(&database).unwrap();
        let twice = FsUserGuard::for_database(&database).unwrap();
        drop(twice);
        let refused = File::options().write(true).open(&secret).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        let theirs = File::options().write(true).create_new(true).open(&database).unwrap();
        assert_eq!(theirs.metadata().unwrap().uid(), OTHER);
        fchown(&theirs, Some(0), None).unwrap_err();
        drop(guard);
        assert_eq!(fs::read(&secret).unwrap(), b"of root");
        chown(folder.path(), Some(0), Some(0)).unwrap();
        let _fs_user = FsUserGuard::for_database(&database).unwrap();
        fs::read(&secret).unwrap();
    }
    #[test]
    fn a_database_below_a_folder_that_its_owner_cannot_enter_is_reached() {
        if !geteuid().is_root() {
            println!("skipped: requires root");
            return;
        }
        const OTHER: u32 = 61_848;
        // As `/var/lib/private`.
        let closed = tempfile::tempdir().unwrap();
        let folder = closed.path().join("state");
        fs::create_dir(&folder).unwrap();
        chown(&folder, Some(OTHER), Some(OTHER)).unwrap();
        let database = folder.join("a.db");
        let _fs_user = FsUserGuard::for_database(&database).unwrap();
        let made = File::options().write(true).create_new(true).open(&database).unwrap();
        assert_eq!(made.metadata().unwrap().uid(), OTHER);
    }
}
