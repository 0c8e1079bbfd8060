//! Where a path leads to in the end: what stands beside a database stands beside the file, by
//! whatever link it was named.

use std::fs;
use std::path::{Path, PathBuf};

/// The file that a path leads to through all links of its last part, whether it is there or not.
pub(super) fn end_of(path: &Path) -> PathBuf {
    let mut end = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(target) = fs::read_link(&end) else { return end };
        end = folder_of(&end).join(target);
    }
    // Whoever opens it hears that there is no end.
    path.to_owned()
}

/// The folder that a file stands in.
pub(super) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// A file beside the one that a path leads to, with this at the end of its name.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = end_of(path).into_os_string();
    name.push(end);
    PathBuf::from(name)
}

/// As many as Linux follows.
const LINKS_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_leads_to_one_file_by_whatever_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("elsewhere")).unwrap();
        symlink("elsewhere/real.db", at("link.db")).unwrap();
        symlink(at("link.db"), at("again.db")).unwrap();
        symlink("b", at("a")).unwrap();
        symlink("a", at("b")).unwrap();
        let check = |name: &str, expected: &str| assert_eq!(end_of(&at(name)), at(expected));
        // Before it is there, and after.
        check("again.db", "elsewhere/real.db");
        fs::write(at("elsewhere/real.db"), "").unwrap();
        check("again.db", "elsewhere/real.db");
        check("plain.db", "plain.db");
        check("a", "a");
        assert_eq!(beside(&at("link.db"), "-wal"), at("elsewhere/real.db-wal"));
        assert_eq!(folder_of(Path::new("a.db")), Path::new("."));
    }
}
