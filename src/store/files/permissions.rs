//! Who could have written the files of a database: whoever runs this, root, and nobody else.
//!
//! It looks at the files before SQLite opens them, and judges them as a config that was named. A
//! folder in which others may make files is no obstacle by itself: what they put there is theirs.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::geteuid;

use crate::files::paths::{parent_dir, resolve_symlinks, with_suffix};
use crate::files::trust::{Distrust, Facts, Trust};
use crate::store::error::StoreError;
use crate::store::files::obstacle::{OpenFor, SQLITE_ENDS, blocked};

/// Refuses a database that another user owns or may write, or whose `-wal`, `-shm` or `-journal`
/// is so, or that a link of another user leads to. What is not there is no obstacle.
///
/// To read, the files may also be those of whose folder it is: a user reads what a service wrote.
/// Root may also write those, since it does the service's work.
///
/// # Errors
/// [`StoreError::Blocked`] with the first such file, and the commands that help.
pub(in crate::store) fn check(database: &Path, wanted: OpenFor) -> Result<(), StoreError> {
    let end = resolve_symlinks(database);
    let files = SQLITE_ENDS.iter().map(|suffix| with_suffix(&end, suffix));
    for file in std::iter::once(database.to_owned()).chain(files) {
        let Ok(facts) = Facts::at(&file) else { continue };
        let of_folder = fs::metadata(parent_dir(&file)).ok().map(|it| it.uid());
        let of_folder = of_folder.filter(|_| wanted == OpenFor::Read || geteuid().is_root());
        let trust = Trust::for_named().with_owner(of_folder);
        let verdict = trust.judge_named(&file, &facts).lenient();
        verdict.map_err(|Distrust { what, help }| blocked(&file, what, help))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};

    use super::*;

    fn refused(database: &Path, wanted: OpenFor) -> String {
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
        for end in ["", "-wal", "-shm", "-journal"] {
            let file = folder.path().join(format!("a.db{end}"));
            fs::write(&file, "").unwrap();
            for (mode, is_refused) in [(0o600, false), (0o644, false), (0o666, true), (0o602, true)]
            {
                fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
                for wanted in [OpenFor::Read, OpenFor::Write] {
                    let text = refused(&database, wanted);
                    assert_eq!(!text.is_empty(), is_refused, "{end} {mode:o}: {text}");
                    let begin = format!("a.db{end} can be written by everybody");
                    assert!(text.is_empty() || text.starts_with(&begin), "{text}");
                    let help = format!("`chmod go-w {}`", file.display());
                    assert!(text.is_empty() || text.contains(&help), "{text}");
                }
            }
            fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        }
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
            for wanted in [OpenFor::Read, OpenFor::Write] {
                // Into such a folder anybody puts files, their own alone or any.
                for mode in [0o1777, 0o777] {
                    fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
                    let text = refused(&database, wanted);
                    let begin = format!("a.db{end} belongs to user {OTHER}, not to root");
                    assert!(text.starts_with(&begin), "{text}");
                    let help = format!("`chown root {}`", planted.display());
                    assert!(text.contains(&help), "{text}");
                }
                // Root reads and does what the user of a service could do.
                fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
                chown(folder.path(), Some(OTHER), None).unwrap();
                assert_eq!(refused(&database, wanted), "");
                chown(folder.path(), Some(0), None).unwrap();
            }
            chown(&planted, Some(0), None).unwrap();
        }
        fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
        let link = folder.path().join("link.db");
        symlink("a.db", &link).unwrap();
        assert_eq!(refused(&link, OpenFor::Write), "");
        lchown(&link, Some(OTHER), None).unwrap();
        let text = refused(&link, OpenFor::Read);
        assert!(text.starts_with("link.db belongs to user"), "{text}");
    }
}
