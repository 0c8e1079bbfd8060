//! Decides which files are trusted, like `StrictModes` of `ssh` and `safe.directory` of `git`:
//! those that belong to root or to the user of this process, and that no other user can write to.
//!
//! Files on a read-only mount, such as a volume of a container, are trusted whatever their owner
//! and mode. In a user namespace, so are files of an owner that is not mapped there. Neither holds
//! for a file that was found in the working folder.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, fgetxattr, fstatvfs, getxattr, statvfs};
use rustix::process::geteuid;

use crate::files::paths::{LINKS_MAX, hops, parent_dir};
use crate::files::users::{bare, group, has_other_members, user};

/// The users that may own a trusted file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    users: Vec<u32>,
    me: u32,
    /// The id that the kernel shows for owners that this user namespace does not map, if there can
    /// be any (`user_namespaces(7)`).
    unmapped: Option<u32>,
    /// Whether the file was found in the working folder, not named by a user.
    is_found: bool,
}

/// The attributes of a file that the decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub(crate) uid: u32,
    /// Its permission bits.
    pub(crate) mode: u32,
    gid: u32,
    is_mounted_read_only: bool,
    has_acl: bool,
}

/// Whether a file is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// It is.
    Trusted,
    /// It is for root, except to run it: it belongs to another user, who may run the daemon.
    Doubtful(Distrust),
    /// It is not.
    Distrusted(Distrust),
}

/// The reason why a file is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {help}")]
pub struct Distrust {
    /// The reason, a sentence without its subject, the file.
    pub what: String,
    /// The suggested fix.
    pub help: String,
}

impl Ownership {
    /// Accepts trusted and doubtful files.
    pub fn lenient(self) -> Result<(), Distrust> {
        match self {
            Self::Trusted | Self::Doubtful(_) => Ok(()),
            Self::Distrusted(distrust) => Err(distrust),
        }
    }

    /// Accepts trusted files only, for programs.
    pub fn strict(self) -> Result<(), Distrust> {
        match self {
            Self::Trusted => Ok(()),
            Self::Doubtful(distrust) | Self::Distrusted(distrust) => Err(distrust),
        }
    }
}

impl Facts {
    /// Of an open file.
    pub fn of(file: &File, found: &Metadata) -> Self {
        let flags = fstatvfs(file).map(|it| it.f_flag);
        let acl = fgetxattr(file, ACL, &mut [0; 0]);
        Self::new(found, flags, acl)
    }

    /// Of the file or folder at a path; follows links.
    pub fn at(path: &Path) -> io::Result<Self> {
        let flags = statvfs(path).map(|it| it.f_flag);
        let acl = getxattr(path, ACL, &mut [0; 0]);
        Ok(Self::new(&fs::metadata(path)?, flags, acl))
    }

    fn new(
        found: &Metadata,
        flags: rustix::io::Result<StatVfsMountFlags>,
        acl: rustix::io::Result<usize>,
    ) -> Self {
        Self {
            uid: found.uid(),
            gid: found.gid(),
            mode: found.mode() & 0o7777,
            is_mounted_read_only: flags.is_ok_and(|it| it.contains(StatVfsMountFlags::RDONLY)),
            has_acl: acl.is_ok(),
        }
    }

    /// Whether every user who can enter its folder can read it; false on a read-only mount, where
    /// the mode cannot be changed.
    pub const fn is_world_readable(&self) -> bool {
        self.mode & 0o004 != 0 && !self.is_mounted_read_only
    }
}

impl Trust {
    /// For files that are named on the command line, or in a trusted config.
    pub fn for_named() -> Self {
        let me = geteuid().as_raw();
        Self { users: vec![ROOT, me], me, unmapped: unmapped(), is_found: false }
    }

    /// For files that were found in the working folder.
    #[must_use]
    pub fn for_found(self) -> Self {
        Self { is_found: true, ..self }
    }

    /// Adds the user who called `sudo`, like `git`. The variable counts for root only, since `sudo`
    /// sets it for root.
    #[must_use]
    pub fn with_caller(self, sudo_uid: Option<u32>) -> Self {
        let caller = sudo_uid.filter(|_| self.is_root());
        self.with_owner(caller)
    }

    /// Adds a user.
    #[must_use]
    pub fn with_owner(mut self, uid: impl Into<Option<u32>>) -> Self {
        self.users.extend(uid.into());
        self
    }

    /// Checks a file that the config names. A file of another user in a folder that only root can
    /// write to is doubtful to root: that user may run the daemon.
    pub fn check(&self, path: &Path, facts: &Facts) -> Ownership {
        if facts.is_mounted_read_only && !self.is_found {
            return Ownership::Trusted;
        }
        // The owner comes first: a change of the mode does not make a planted file safe.
        let doubt = match self.untrusted_owner(path, facts) {
            None => None,
            Some(uid) if self.is_root() && !self.is_found && self.has_trusted_folders(path) => {
                Some(self.doubtful_owner(path, uid))
            }
            Some(uid) => return Ownership::Distrusted(self.owned_by_another(path, uid)),
        };
        match self.other_writers(path, facts) {
            Some(distrust) => Ownership::Distrusted(distrust),
            None => doubt.map_or(Ownership::Trusted, Ownership::Doubtful),
        }
    }

    /// Checks a file that is named on the command line: it may belong to another user, if only that
    /// user, root and this user can write to its folder.
    pub fn check_named(&self, path: &Path, facts: &Facts) -> Ownership {
        let vouched = self.clone().with_owner(facts.uid);
        match self.check(path, facts) {
            Ownership::Distrusted(_)
                if !self.is_found
                    && vouched.other_writers(path, facts).is_none()
                    && vouched.untrusted_owner(path, facts).is_none()
                    && vouched.has_trusted_folders(path) =>
            {
                match self.is_root() {
                    true => Ownership::Doubtful(self.doubtful_owner(path, facts.uid)),
                    false => Ownership::Trusted,
                }
            }
            verdict => verdict,
        }
    }

    /// Checks a program: as any other file, and no other user can replace it or a folder of its
    /// path. A missing program passes.
    pub fn check_program(&self, path: &Path) -> Ownership {
        let Ok(facts) = Facts::at(path) else { return Ownership::Trusted };
        let verdict = self.check(path, &facts);
        if let Ownership::Distrusted(_) = &verdict {
            return verdict;
        }
        match self.check_path(path) {
            Err((_, Distrust { what, help })) => {
                let what = format!("is below a folder that {what}");
                Ownership::Distrusted(Distrust { what, help })
            }
            Ok(()) => verdict,
        }
    }

    /// Checks that no other user can replace a file through a folder or link of its path.
    pub fn check_path(&self, path: &Path) -> Result<(), (PathBuf, Distrust)> {
        let paths = resolved_paths(path);
        let steps = || paths.iter().flat_map(|it| it.ancestors().skip(1));
        for folder in steps() {
            self.check_entries(folder).map_err(|distrust| (folder.to_owned(), distrust))?;
        }
        for link in steps() {
            let found = fs::symlink_metadata(link).ok().filter(|found| found.is_symlink());
            if let Some(uid) = found.map(|it| it.uid()).filter(|uid| !self.accepts(*uid))
                // On a read-only mount no link can be replaced.
                && !Facts::at(parent_dir(link)).is_ok_and(|it| it.is_mounted_read_only)
            {
                return Err((link.to_owned(), self.owned_by_another(link, uid)));
            }
        }
        Ok(())
    }

    /// Checks that only these users can create files in a folder.
    pub fn check_folder(&self, folder: &Path) -> Result<(), Distrust> {
        let facts = Facts::at(folder).map_err(|error| Distrust {
            what: format!("cannot be accessed: {error}"),
            help: format!("may this user enter `{}`?", folder.display()),
        })?;
        self.distrust_of_folder(folder, &facts).map_or(Ok(()), Err)
    }

    /// Checks that no other user can rename or replace the files of these users in a folder. In a
    /// sticky folder, such as `/tmp`, none can.
    pub fn check_entries(&self, folder: &Path) -> Result<(), Distrust> {
        match Facts::at(folder) {
            Ok(facts) if facts.mode & STICKY != 0 && self.accepts(facts.uid) => Ok(()),
            Ok(facts) => self.distrust_of_folder(folder, &facts).map_or(Ok(()), Err),
            // A folder that cannot be accessed cannot be used either.
            Err(_) => Ok(()),
        }
    }

    fn distrust_of_folder(&self, folder: &Path, facts: &Facts) -> Option<Distrust> {
        if facts.is_mounted_read_only && !self.is_found {
            return None;
        }
        let stranger = (!self.accepts(facts.uid)).then(|| self.owned_by_another(folder, facts.uid));
        stranger.or_else(|| self.other_writers(folder, facts))
    }

    /// Whether only these users can write to the folders of a file and of the links to it.
    fn has_trusted_folders(&self, path: &Path) -> bool {
        let ends = hops(path).into_iter().chain(fs::canonicalize(path));
        ends.into_iter().all(|it| self.check_folder(parent_dir(&it)).is_ok())
    }

    /// Whether the id stands for users that this user namespace does not map.
    pub fn is_unmapped(&self, uid: u32) -> bool {
        self.unmapped == Some(uid)
    }

    fn is_root(&self) -> bool {
        self.me == ROOT
    }

    fn accepts(&self, uid: u32) -> bool {
        match self.unmapped == Some(uid) {
            true => !self.is_found,
            false => self.users.contains(&uid),
        }
    }

    /// Another user who owns a file, or one of the links to it.
    fn untrusted_owner(&self, path: &Path, facts: &Facts) -> Option<u32> {
        let links = hops(path).into_iter().filter_map(|it| fs::symlink_metadata(it).ok());
        let links = links.filter(|it| it.is_symlink()).map(|it| it.uid());
        std::iter::once(facts.uid).chain(links).find(|uid| !self.accepts(*uid))
    }

    fn owned_by_another(&self, path: &Path, uid: u32) -> Distrust {
        let me = if self.is_root() { String::new() } else { format!(" nor to {}", user(self.me)) };
        let not = if self.is_root() { "not to root" } else { "neither to root" };
        let owner = match self.unmapped == Some(uid) {
            true => "a user outside of this user namespace".to_owned(),
            false => user(uid),
        };
        Distrust {
            what: format!("belongs to {owner}, {not}{me}, who runs this"),
            help: format!(
                "check its content; if you trust it: `chown {} {}`",
                bare(self.me),
                path.display()
            ),
        }
    }

    /// For a file of another user, when this is root.
    fn doubtful_owner(&self, path: &Path, uid: u32) -> Distrust {
        let Distrust { what, help: _ } = self.owned_by_another(path, uid);
        let (user, path) = (user(uid), path.display());
        let help = format!("right if {user} runs the daemon; else `chown root {path}`");
        Distrust { what, help }
    }

    /// The other users who can write to a file.
    fn other_writers(&self, path: &Path, facts: &Facts) -> Option<Distrust> {
        let known = |uid| uid == facts.uid || self.accepts(uid);
        let by_group = || facts.has_acl || has_other_members(facts.gid, known);
        let who = match facts.mode & 0o022 {
            _ if facts.is_mounted_read_only => return None,
            0o002 | 0o022 => "everybody".to_owned(),
            0o020 if by_group() => group(facts.gid),
            _ => return None,
        };
        Some(Distrust {
            what: format!("can be written by {who} (its mode is {:04o})", facts.mode),
            help: format!("`chmod go-w {}`", path.display()),
        })
    }
}

/// A path, and the paths that the links in it point to; at most as many as Linux follows.
fn resolved_paths(path: &Path) -> Vec<PathBuf> {
    let mut paths = vec![std::path::absolute(path).unwrap_or_else(|_| path.to_owned())];
    let mut next = 0;
    while let Some(path) = paths.get(next).cloned() {
        next += 1;
        for step in path.ancestors() {
            let Ok(target) = fs::read_link(step) else { continue };
            let target = parent_dir(step).join(target);
            if paths.len() <= LINKS_MAX && !paths.contains(&target) {
                paths.push(target);
            }
        }
    }
    paths
}

/// The id that stands for unmapped owners, unless it is mapped itself.
fn unmapped() -> Option<u32> {
    let overflow = fs::read_to_string("/proc/sys/kernel/overflowuid");
    let overflow = overflow.ok().and_then(|it| it.trim().parse().ok()).unwrap_or(OVERFLOW);
    let map = fs::read_to_string("/proc/self/uid_map").ok()?;
    (!is_mapped(&map, overflow)).then_some(overflow)
}

/// Whether a user namespace with this map has that user id.
fn is_mapped(map: &str, uid: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        match (numbers.next(), numbers.nth(1)) {
            (Some(Ok(first)), Some(Ok(count))) => {
                uid.checked_sub(first).is_some_and(|offset| offset < count)
            }
            _ => false,
        }
    })
}

const ROOT: u32 = 0;
/// The mode bit of a folder in which users can rename and remove only their own files.
pub const STICKY: u32 = 0o1000;
/// The default of `/proc/sys/kernel/overflowuid`.
const OVERFLOW: u32 = 65_534;
/// An access control list with more than the permission bits (`acl(5)`).
const ACL: &str = "system.posix_acl_access";

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
