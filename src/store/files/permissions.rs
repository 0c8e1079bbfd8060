//! Checks that only root and this user can have written the files of a database.
//!
//! The folder and the files are checked before a file is opened. A user who can write to the folder
//! could replace its files right after a check, so no other user may, sticky or not, nor replace
//! the folder itself. The rules for the files are those for a config that was named.

use std::path::{self, Path, PathBuf};

use rustix::process::geteuid;

use crate::files::paths::{parent_dir, resolve_symlinks, with_suffix};
use crate::files::trust::{Distrust, Facts, STICKY, Trust};
use crate::store::error::StoreError;
use crate::store::files::obstacle::{OpenFor, SQLITE_ENDS, blocked};
use crate::store::files::ownership::Owner;

/// Refuses a database in a folder that another user can write to or replace, and one that another
/// user owns or can write, including its `-wal`, `-shm` and `-journal` and the links to it. Missing
/// files are accepted.
///
/// To read, folder and files may belong to another user, such as that of a service, if it is the
/// same one. Root may also write those.
///
/// # Errors
/// [`StoreError::Blocked`] with the first such folder or file, and the commands that fix it.
pub(in crate::store) fn check(database: &Path, wanted: OpenFor) -> Result<(), StoreError> {
    let end = resolve_symlinks(database);
    let folder = parent_dir(&end);
    let owner = Owner::of_file(folder).ok().map(|it| it.uid);
    // A database that does not exist yet will belong to the owner of the folder.
    let is_same = Owner::of(&end).ok().map(|it| it.uid) == owner;
    let owner = owner.filter(|_| is_same && (wanted == OpenFor::Read || geteuid().is_root()));
    let trust = Trust::for_named().with_owner(owner);
    check_folder(folder, &trust)?;
    check_path(database, &trust)?;
    let files = SQLITE_ENDS.iter().map(|suffix| with_suffix(&end, suffix));
    for file in std::iter::once(database.to_owned()).chain(files) {
        let Ok(facts) = Facts::at(&file) else { continue };
        let verdict = trust.check_named(&file, &facts).lenient();
        verdict.map_err(|Distrust { what, help }| blocked(&file, what, help))?;
    }
    Ok(())
}

/// Refuses a folder that other users can write to, sticky or not; a missing one is accepted.
pub(in crate::store) fn check_folder(folder: &Path, trust: &Trust) -> Result<(), StoreError> {
    let Ok(facts) = Facts::at(folder) else { return Ok(()) };
    let Err(Distrust { what, help }) = trust.check_folder(folder) else { return Ok(()) };
    let whole = path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let own = whole.join("avatar-watch/avatar-watch.db");
    let own = format!("a folder of its own, which the daemon creates: `store.path = {own:?}`");
    let help = match facts.mode {
        // Such as `/tmp`, which has to stay writable.
        mode if mode & 0o022 != 0 && mode & STICKY != 0 => {
            format!("put the database into {own}")
        }
        mode if mode & 0o022 != 0 => {
            let shown = folder.display();
            format!("{help}, or `chmod +t {shown}` and put the database into {own}")
        }
        _ => help,
    };
    let what = format!("{what}: other users could replace the database in it");
    Err(blocked(folder, what, help))
}

/// Refuses a path with a folder or link that other users can replace.
pub(in crate::store) fn check_path(path: &Path, trust: &Trust) -> Result<(), StoreError> {
    trust.check_path(path).map_err(|(above, Distrust { what, help }): (PathBuf, _)| {
        let what = format!("{what}: other users could replace the database below it");
        let is_open = Facts::at(&above).is_ok_and(|it| it.mode & 0o022 != 0);
        let sticky = match is_open {
            true => format!(", or `chmod +t {}`", above.display()),
            false => String::new(),
        };
        blocked(&above, what, help + &sticky)
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
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
    fn a_file_that_others_can_write_is_refused_with_a_fix() {
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
    fn a_folder_that_others_can_write_to_or_replace_is_refused() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("state");
        fs::create_dir(&folder).unwrap();
        let database = folder.join("a.db");
        let mode = |folder: &Path, mode| {
            fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
        };
        let check = |expected: &str, help: &str| {
            for wanted in [OpenFor::Read, OpenFor::Write] {
                let text = refused(&database, wanted);
                assert!(text.starts_with(expected), "`{expected}` in {text}");
                assert!(text.contains(help), "`{help}` in {text}");
                assert_eq!(text.is_empty(), expected.is_empty(), "{text}");
            }
        };
        for exists in [false, true] {
            if exists {
                fs::write(&database, "").unwrap();
                mode(&database, 0o600);
            }
            for (open, help) in [
                (0o777, format!("`chmod go-w {0}`, or `chmod +t {0}`", folder.display())),
                (0o1777, format!("store.path = \"{}/avatar-watch/", folder.display())),
                (0o703, "`chmod go-w ".to_owned()),
            ] {
                mode(&folder, open);
                check("state can be written by everybody", &help);
            }
            mode(&folder, 0o755);
            check("", "");
            mode(above.path(), 0o777);
            let name = above.path().file_name().unwrap().to_str().unwrap();
            check(&format!("{name} can be written by everybody"), "below it; `chmod go-w");
            check(&format!("{name} can be written by everybody"), "or `chmod +t ");
            mode(above.path(), 0o1777);
            check("", "");
            mode(above.path(), 0o700);
        }
    }

    #[test]
    fn a_folder_of_another_user_is_accepted_for_a_database_of_that_user() {
        if !geteuid().is_root() {
            println!("skipped: requires root");
            return;
        }
        const OTHER: u32 = 61_845;
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        let own = |path: &Path, uid| chown(path, Some(uid), None).unwrap();
        // Root may do what that user may do, before the database exists and after.
        own(folder.path(), OTHER);
        assert_eq!(refused(&database, OpenFor::Write), "");
        for end in ["", "-wal", "-shm", "-journal"] {
            let file = folder.path().join(format!("a.db{end}"));
            fs::write(&file, "").unwrap();
            own(&file, OTHER);
        }
        for wanted in [OpenFor::Read, OpenFor::Write] {
            assert_eq!(refused(&database, wanted), "");
            for (file, folder_of, what) in [
                (0, OTHER, format!(" belongs to user {OTHER}, not to root")),
                (OTHER, OTHER + 1, format!(" belongs to user {}, not to root", OTHER + 1)),
                // Only root can create files in a folder of root.
                (OTHER, 0, String::new()),
            ] {
                own(&database, file);
                own(folder.path(), folder_of);
                let text = refused(&database, wanted);
                assert!(text.contains(&what) && what.is_empty() == text.is_empty(), "{text}");
            }
            own(folder.path(), OTHER);
            own(&database, OTHER);
        }
        own(folder.path(), 0);
        let shared = folder.path().join("shared");
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
        for (link, to) in [("link.db", "../a.db"), ("link", "..")] {
            symlink(to, shared.join(link)).unwrap();
            let database =
                if link == "link" { shared.join("link/a.db") } else { shared.join(link) };
            own(&database, 0);
            assert_eq!(refused(&database, OpenFor::Write), "");
            lchown(shared.join(link), Some(OTHER), None).unwrap();
            let text = refused(&database, OpenFor::Read);
            assert!(text.starts_with(&format!("{link} belongs to user")), "{text}");
        }
    }
}
