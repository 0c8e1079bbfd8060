//! Whose files are obeyed, as `ssh` (`StrictModes`) and `git` (`safe.directory`) ask: those that
//! belong to root or to this process's user, and that nobody else can write to.
//!
//! A file on a mount that is read-only was put there by whoever mounts, so neither its owner nor
//! its mode matters: so it is with volumes of containers. In a user namespace, the same holds for
//! an owner that has no number there. Neither holds for what was found in the working folder.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, fgetxattr, fstatvfs, getxattr, statvfs};
use rustix::process::geteuid;

use crate::files::paths::{LINKS_MAX, hops, parent_dir};
use crate::files::users::{bare, group, has_other_members, user};

/// The users whose files are obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    users: Vec<u32>,
    me: u32,
    /// What the kernel shows for the owners that this user namespace has no number for, if there
    /// can be any (`user_namespaces(7)`).
    unmapped: Option<u32>,
    /// Whether the file was found, and not named by somebody.
    is_found: bool,
}

/// What is known of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its owner.
    pub uid: u32,
    /// Its permission bits.
    pub mode: u32,
    gid: u32,
    is_mounted_read_only: bool,
    has_acl: bool,
}

/// Whether a file may be obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// It may.
    Trusted,
    /// It may, where root is not to run it: root acts for another user, who can change it.
    Doubtful(Distrust),
    /// It may not.
    Distrusted(Distrust),
}

/// Why a file is not obeyed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {help}")]
pub struct Distrust {
    /// What is wrong: a sentence that begins with the file.
    pub what: String,
    /// What to do about it.
    pub help: String,
}

impl Ownership {
    /// Whether the file may be obeyed, also where root looks after another user's.
    ///
    /// # Errors
    /// When it may not.
    pub fn lenient(self) -> Result<(), Distrust> {
        match self {
            Self::Trusted | Self::Doubtful(_) => Ok(()),
            Self::Distrusted(distrust) => Err(distrust),
        }
    }

    /// Whether the file may be obeyed even where what it says is run.
    ///
    /// # Errors
    /// When it may not.
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

    /// Of a file or folder that a path leads to.
    ///
    /// # Errors
    /// When it is not there, or cannot be reached.
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

    /// Whether everybody on this machine can read it, who can enter its folder. Of a mount that is
    /// read-only nobody here can change that.
    pub const fn is_readable_by_everybody(&self) -> bool {
        self.mode & 0o004 != 0 && !self.is_mounted_read_only
    }
}

impl Trust {
    /// For what somebody named: on the command line, or in a config that is obeyed.
    pub fn for_named() -> Self {
        let me = geteuid().as_raw();
        Self { users: vec![ROOT, me], me, unmapped: unmapped(), is_found: false }
    }

    /// For what was found in the working folder.
    #[must_use]
    pub fn for_found(self) -> Self {
        Self { is_found: true, ..self }
    }

    /// With the files of who called `sudo`, as `git` has it. Only to root the variable is a word of
    /// `sudo`.
    #[must_use]
    pub fn with_caller(self, sudo_uid: Option<u32>) -> Self {
        let caller = sudo_uid.filter(|_| self.is_root());
        self.with_owner(caller)
    }

    /// With this user's files, too.
    #[must_use]
    pub fn with_owner(mut self, uid: impl Into<Option<u32>>) -> Self {
        self.users.extend(uid.into());
        self
    }

    /// Whether a file may be obeyed that the config names. One of another user in a folder of
    /// root's own is doubtful to root: that user may run the daemon, and root look after it.
    pub fn check(&self, path: &Path, facts: &Facts) -> Ownership {
        if facts.is_mounted_read_only && !self.is_found {
            return Ownership::Trusted;
        }
        // Whose it is comes first: a mode is no mend for what somebody has planted.
        let doubt = match self.stranger(path, facts) {
            None => None,
            Some(uid) if self.is_root() && !self.is_found && self.holds_folders(path) => {
                Some(self.looked_after(path, uid))
            }
            Some(uid) => return Ownership::Distrusted(self.owned_by_another(path, uid)),
        };
        match self.other_writers(path, facts) {
            Some(distrust) => Ownership::Distrusted(distrust),
            None => doubt.map_or(Ownership::Trusted, Ownership::Doubtful),
        }
    }

    /// Whether a file may be obeyed that somebody named on the command line: it may be another
    /// user's, where nobody but that one, root and us can have put it there.
    pub fn judge_named(&self, path: &Path, facts: &Facts) -> Ownership {
        let vouched = self.clone().with_owner(facts.uid);
        match self.check(path, facts) {
            Ownership::Distrusted(_)
                if !self.is_found
                    && vouched.other_writers(path, facts).is_none()
                    && vouched.stranger(path, facts).is_none()
                    && vouched.holds_folders(path) =>
            {
                match self.is_root() {
                    true => Ownership::Doubtful(self.looked_after(path, facts.uid)),
                    false => Ownership::Trusted,
                }
            }
            verdict => verdict,
        }
    }

    /// Whether a program may be run: as any other file, and nobody else can put another one in its
    /// place, however far up. One that is not there passes.
    pub fn judge_program(&self, path: &Path) -> Ownership {
        let Ok(facts) = Facts::at(path) else { return Ownership::Trusted };
        let verdict = self.check(path, &facts);
        if let Ownership::Distrusted(_) = &verdict {
            return verdict;
        }
        match self.judge_path(path) {
            Err((_, Distrust { what, help })) => {
                let what = format!("is below a folder that {what}");
                Ownership::Distrusted(Distrust { what, help })
            }
            Ok(()) => verdict,
        }
    }

    /// Whether only these users can put something else in the place of a file by any folder on the
    /// way to it, however far up, or by any link there.
    ///
    /// # Errors
    /// With the folder or link, and who else can.
    pub fn judge_path(&self, path: &Path) -> Result<(), (PathBuf, Distrust)> {
        let paths = resolved_paths(path);
        let steps = || paths.iter().flat_map(|it| it.ancestors().skip(1));
        for folder in steps() {
            self.judge_names(folder).map_err(|distrust| (folder.to_owned(), distrust))?;
        }
        for link in steps() {
            let found = fs::symlink_metadata(link).ok().filter(|found| found.is_symlink());
            if let Some(uid) = found.map(|it| it.uid()).filter(|uid| !self.accepts(*uid))
                // Nobody lays one anew where nobody can write.
                && !Facts::at(parent_dir(link)).is_ok_and(|it| it.is_mounted_read_only)
            {
                return Err((link.to_owned(), self.owned_by_another(link, uid)));
            }
        }
        Ok(())
    }

    /// Why a folder is not one that only these users can put files into.
    ///
    /// # Errors
    /// With the reason.
    pub fn judge_folder(&self, folder: &Path) -> Result<(), Distrust> {
        let facts = Facts::at(folder).map_err(|error| Distrust {
            what: format!("cannot be looked at: {error}"),
            help: format!("may this user enter `{}`?", folder.display()),
        })?;
        self.distrust_of_folder(folder, &facts).map_or(Ok(()), Err)
    }

    /// Whether only these users can rename what stands in a folder, or put something else in its
    /// place. In one like `/tmp` each can do so with their own alone.
    ///
    /// # Errors
    /// With who else can.
    pub fn judge_names(&self, folder: &Path) -> Result<(), Distrust> {
        match Facts::at(folder) {
            Ok(facts) if facts.mode & STICKY != 0 && self.accepts(facts.uid) => Ok(()),
            Ok(facts) => self.distrust_of_folder(folder, &facts).map_or(Ok(()), Err),
            // Whoever cannot look at it cannot use it either.
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

    /// Whether only these users can have put a file where it is, by whatever links it is reached.
    fn holds_folders(&self, path: &Path) -> bool {
        let ends = hops(path).into_iter().chain(fs::canonicalize(path));
        ends.into_iter().all(|it| self.judge_folder(parent_dir(&it)).is_ok())
    }

    /// Whether this user namespace has no number for a user.
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

    /// Who else owns a file, or one of the links that lead to it.
    fn stranger(&self, path: &Path, facts: &Facts) -> Option<u32> {
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
                "look what is in it; if it is meant: `chown {} {}`",
                bare(self.me),
                path.display()
            ),
        }
    }

    /// Of a file of another user that root is shown.
    fn looked_after(&self, path: &Path, uid: u32) -> Distrust {
        let Distrust { what, help: _ } = self.owned_by_another(path, uid);
        let (user, path) = (user(uid), path.display());
        let help = format!("right if {user} runs the daemon; else `chown root {path}`");
        Distrust { what, help }
    }

    /// Who else can write to a file.
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

/// A path, and the paths to where the links in it lead: whole ones, and no more than Linux follows.
fn resolved_paths(path: &Path) -> Vec<PathBuf> {
    let mut ways = vec![std::path::absolute(path).unwrap_or_else(|_| path.to_owned())];
    let mut next = 0;
    while let Some(way) = ways.get(next).cloned() {
        next += 1;
        for step in way.ancestors() {
            let Ok(target) = fs::read_link(step) else { continue };
            let target = parent_dir(step).join(target);
            if ways.len() <= LINKS_MAX && !ways.contains(&target) {
                ways.push(target);
            }
        }
    }
    ways
}

/// The number that stands for owners without a number here, unless some user has it.
fn unmapped() -> Option<u32> {
    let overflow = fs::read_to_string("/proc/sys/kernel/overflowuid");
    let overflow = overflow.ok().and_then(|it| it.trim().parse().ok()).unwrap_or(OVERFLOW);
    let map = fs::read_to_string("/proc/self/uid_map").ok()?;
    (!is_mapped(&map, overflow)).then_some(overflow)
}

/// Whether a user namespace with this map has that user.
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
/// Of a folder in which each can rename and remove their own files alone.
pub const STICKY: u32 = 0o1000;
/// What Linux shows where it is not told otherwise.
const OVERFLOW: u32 = 65_534;
/// An access control list with more than the permission bits (`acl(5)`).
const ACL: &str = "system.posix_acl_access";

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
