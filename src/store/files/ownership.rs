//! Whose a new file is: what root makes beside a database is for whoever runs the daemon.
//!
//! What always holds: only a file is given away that was made here, by its handle; never one that
//! stood there under a name.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::process::geteuid;

use crate::files::paths::parent_dir;
use crate::files::trust::{Facts, Trust};

/// A user with a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// Whose the database is, or is to be: where there is none yet, the folder's owner's.
    pub(in crate::store) fn of(database: &Path) -> io::Result<Self> {
        let found = fs::metadata(database).or_else(|_| fs::metadata(parent_dir(database)))?;
        Ok(Self { uid: found.uid(), gid: found.gid() })
    }

    /// Gives them a file that was just made.
    pub(in crate::store) fn chown(self, made: impl AsFd) -> io::Result<()> {
        fchown(made, Some(self.uid), Some(self.gid))
    }

    /// Gives them a file that was just made, if that is root's to do; where root may not, as in
    /// some containers, it stays root's.
    fn chown_if_root(self, made: impl AsFd) {
        if geteuid().is_root() {
            drop(self.chown(made));
        }
    }
}

/// Opens the file beside a database, or makes it for the database's owner; follows no link, which
/// could lead root to a file of somebody else, and takes none that somebody else can have planted.
pub(in crate::store) fn open_or_make(path: &Path, mode: u32, owner: Owner) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(mode).custom_flags(bits(OFlags::NOFOLLOW));
    match options.clone().create_new(true).open(path) {
        Ok(made) => {
            owner.chown_if_root(&made);
            Ok(made)
        }
        Err(failure) if failure.kind() == io::ErrorKind::AlreadyExists => {
            let file = options.open(path)?;
            refuse_planted(path, &file)?;
            Ok(file)
        }
        Err(failure) => Err(failure),
    }
}

fn refuse_planted(path: &Path, file: &File) -> io::Result<()> {
    let facts = Facts::of(file, &file.metadata()?);
    let verdict = Trust::for_named().judge_named(path, &facts);
    verdict.lenient().map_err(|it| io::Error::new(io::ErrorKind::PermissionDenied, it))
}

fn bits(flags: OFlags) -> i32 {
    // The flags of `open` are an `int`, and these are its low bits.
    i32::try_from(flags.bits()).unwrap_or(0)
}
