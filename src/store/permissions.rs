//! Who could have written the files of a database: whoever runs this, root, and nobody else.
//!
//! It looks at the files before SQLite opens them. A folder in which others may make files is no
//! obstacle by itself: what they put there is theirs.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::files::users::bare;
use crate::store::error::StoreError;
use crate::store::links::{beside, end_of, folder_of};
use crate::store::obstacle::{SQLITE_ENDS, Use, blocked, described};

/// Refuses a database that another user owns or may write, or whose `-wal`, `-shm` or `-journal`
/// is so. What is not there is no obstacle.
///
/// To read, the files may also be those of whose folder it is: a user reads what a service wrote.
/// Root may also write those, since it does the service's work.
///
/// # Errors
/// [`StoreError::Blocked`] with the first such file, and the commands that help.
pub(super) fn check(database: &Path, wanted: Use) -> Result<(), StoreError> {
    let file = end_of(database);
    let me = geteuid().as_raw();
    let folder = fs::metadata(folder_of(&file)).ok().map(|it| it.uid());
    let of_folder = folder.filter(|_| wanted == Use::Read || me == ROOT);
    let files = SQLITE_ENDS.iter().map(|end| beside(&file, end));
    let files: Vec<(PathBuf, Metadata)> = std::iter::once(file.clone())
        .chain(files)
        .filter_map(|path| fs::symlink_metadata(&path).ok().map(|found| (path, found)))
        .collect();
    let is_trusted = |uid: u32| uid == ROOT || uid == me || Some(uid) == of_folder;
    if let Some((path, found)) = files.iter().find(|(_, found)| !is_trusted(found.uid())) {
        return Err(of_another_user(path, found, *path == file));
    }
    let is_open = |found: &Metadata| found.mode() & WRITABLE_BY_OTHERS != 0;
    let open: Vec<&(PathBuf, Metadata)> = files.iter().filter(|(_, it)| is_open(it)).collect();
    match open.first() {
        Some((path, found)) => {
            let what = format!("can be written by others; {}", described(found));
            let names: Vec<_> = open.iter().map(|(it, _)| it.display().to_string()).collect();
            let help = format!(
                "`chmod go-w {}`; on a file system without modes, copy it to another one",
                names.join(" ")
            );
            Err(blocked(path, what, help))
        }
        None => Ok(()),
    }
}

fn of_another_user(path: &Path, found: &Metadata, is_database: bool) -> StoreError {
    let (shown, me) = (path.display(), geteuid().as_raw());
    let what = format!("could have been written by another user; {}", described(found));
    let help = match is_database {
        true => format!(
            "if it is yours to use, as root: `chown {} {shown}`; else move it away: `mv {shown} \
             {shown}.theirs`",
            bare(me)
        ),
        false => format!("move it away: `mv {shown} {shown}.theirs`"),
    };
    blocked(path, what, help)
}

const ROOT: u32 = 0;
const WRITABLE_BY_OTHERS: u32 = 0o022;

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;

    fn refused(database: &Path, wanted: Use) -> String {
        match check(database, wanted) {
            Ok(()) => String::new(),
            Err(StoreError::Blocked { path, what, help }) => {
                format!("{} {what}; {help}", path.file_name().unwrap().display())
            }
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_file_that_others_can_write_is_named_with_what_helps() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        let end_of_name = |end: &str| folder.path().join(format!("a.db{end}"));
        for end in ["", "-wal", "-shm", "-journal"] {
            fs::write(end_of_name(end), "").unwrap();
            fs::set_permissions(end_of_name(end), Permissions::from_mode(0o644)).unwrap();
        }
        for end in ["", "-wal", "-shm", "-journal"] {
            for (mode, is_refused) in [(0o600, false), (0o644, false), (0o664, true), (0o602, true)]
            {
                fs::set_permissions(end_of_name(end), Permissions::from_mode(mode)).unwrap();
                for wanted in [Use::Read, Use::Write] {
                    let text = refused(&database, wanted);
                    assert_eq!(!text.is_empty(), is_refused, "{end} {mode:o}: {text}");
                    let begin = format!("a.db{end} can be written by others; it belongs to user");
                    assert!(text.is_empty() || text.starts_with(&begin), "{text}");
                    let help = format!("`chmod go-w {}`", end_of_name(end).display());
                    assert!(text.is_empty() || text.contains(&help), "{text}");
                }
            }
            fs::set_permissions(end_of_name(end), Permissions::from_mode(0o600)).unwrap();
        }
        // All of them are mended at once.
        for end in ["", "-wal"] {
            fs::set_permissions(end_of_name(end), Permissions::from_mode(0o666)).unwrap();
        }
        let both = format!("{} {}", database.display(), end_of_name("-wal").display());
        assert!(refused(&database, Use::Read).contains(&format!("`chmod go-w {both}`")));
    }

    #[test]
    fn a_file_of_another_user_is_refused_unless_the_folder_is_theirs_too() {
        if !geteuid().is_root() {
            println!("only root can make files of others: nothing is tried");
            return;
        }
        const OTHER: u32 = 61_845;
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        for end in ["", "-wal", "-shm", "-journal"] {
            let planted = folder.path().join(format!("a.db{end}"));
            fs::write(&planted, "").unwrap();
            chown(&planted, Some(OTHER), None).unwrap();
            for wanted in [Use::Read, Use::Write] {
                chown(folder.path(), Some(0), None).unwrap();
                let text = refused(&database, wanted);
                let begin = format!("a.db{end} could have been written by another user; it");
                assert!(text.starts_with(&begin) && text.contains(&OTHER.to_string()), "{text}");
                assert!(text.contains(&format!("`mv {} ", planted.display())), "{text}");
                assert_eq!(text.contains("`chown root "), end.is_empty(), "{text}");
                // Root reads and does what the user of a service could do.
                chown(folder.path(), Some(OTHER), None).unwrap();
                assert_eq!(refused(&database, wanted), "");
            }
            chown(&planted, Some(0), None).unwrap();
        }
    }
}
