//! Who could have written the files of a database: whoever runs this, root, and nobody else.
//!
//! It looks at the folder and the files before anything is opened. Whoever can write to the folder
//! could exchange what is in it right after a look: so nobody else can, sticky or not, nor exchange
//! the folder itself. The files are judged as a config that was named.

use std::path::{self, Path, PathBuf};

use rustix::process::geteuid;

use crate::files::paths::{parent_dir, resolve_symlinks, with_suffix};
use crate::files::trust::{Distrust, Facts, STICKY, Trust};
use crate::store::error::StoreError;
use crate::store::files::obstacle::{OpenFor, SQLITE_ENDS, blocked};
use crate::store::files::ownership::Owner;

/// Refuses a database in a folder that others can write to or put another in the place of; one that
/// another user owns or may write, or whose `-wal`, `-shm` or `-journal`
/// is so, or that a link of another user leads to. What is not there is no obstacle.
///
/// To read, the folder may also be that of whose database it is: a user reads what a service wrote.
/// Root may also write there, since it does the service's work.
///
/// # Errors
/// [`StoreError::Blocked`] with the first such folder or file, and the commands that help.
pub(in crate::store) fn check(database: &Path, wanted: OpenFor) -> Result<(), StoreError> {
    let end = resolve_symlinks(database);
    let folder = parent_dir(&end);
    let owner = Owner::of_file(folder).ok().map(Owner::uid);
    // Where there is no database yet, it is to be that of whose folder it is.
    let is_theirs = Owner::of(&end).ok().map(Owner::uid) == owner;
    let owner = owner.filter(|_| is_theirs && (wanted == OpenFor::Read || geteuid().is_root()));
    let trust = Trust::for_named().with_owner(owner);
    check_folder(folder, &trust)?;
    check_path(database, &trust)?;
    let files = SQLITE_ENDS.iter().map(|suffix| with_suffix(&end, suffix));
    for file in std::iter::once(database.to_owned()).chain(files) {
        let Ok(facts) = Facts::at(&file) else { continue };
        let verdict = trust.judge_named(&file, &facts).lenient();
        verdict.map_err(|Distrust { what, help }| blocked(&file, what, help))?;
    }
    Ok(())
}

/// Refuses a folder for a database that others can write to, sticky or not; one that is not there
/// is no obstacle.
///
/// # Errors
/// As [`check`].
pub(in crate::store) fn check_folder(folder: &Path, trust: &Trust) -> Result<(), StoreError> {
    let Ok(facts) = Facts::at(folder) else { return Ok(()) };
    let Err(Distrust { what, help }) = trust.judge_folder(folder) else { return Ok(()) };
    let whole = path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let own = whole.join("avatar-watch/avatar-watch.db");
    let own = format!("a folder of its own, which the daemon makes: `store.path = {own:?}`");
    let help = match facts.mode {
        // Not to be closed to all others.
        mode if mode & 0o022 != 0 && mode & STICKY != 0 => {
            format!("put the database into {own}")
        }
        mode if mode & 0o022 != 0 => {
            let shown = folder.display();
            format!("{help}, or `chmod +t {shown}` and put the database into {own}")
        }
        _ => help,
    };
    let what = format!("{what}: others could exchange the database in it");
    Err(blocked(folder, what, help))
}

/// Refuses a path on which others can put something else in the place of a folder or a link.
///
/// # Errors
/// As [`check`].
pub(in crate::store) fn check_path(path: &Path, trust: &Trust) -> Result<(), StoreError> {
    trust.judge_path(path).map_err(|(above, Distrust { what, help }): (PathBuf, _)| {
        let what = format!("{what}: others could exchange the database below it");
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
    fn a_folder_that_others_can_write_to_or_exchange_holds_no_database() {
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
        for there in [false, true] {
            if there {
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
    fn a_folder_of_another_user_holds_the_database_of_that_user_alone() {
        if !geteuid().is_root() {
            println!("only root can make files of others: nothing is tried");
            return;
        }
        const OTHER: u32 = 61_845;
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        let own = |path: &Path, uid| chown(path, Some(uid), None).unwrap();
        // Root does what the user of a service could do, from the first file on.
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
                // Where nobody but root makes files, root made it so.
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
