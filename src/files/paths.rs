//! Resolves symbolic links in the last component of a path, so that the files beside a database are
//! found through any link to it.

use std::fs;
use std::iter;
use std::path::{Path, PathBuf};

/// The path, and the target of each link in turn; at most as many as Linux follows.
pub(super) fn hops(path: &Path) -> Vec<PathBuf> {
    let next = |hop: &PathBuf| fs::read_link(hop).ok().map(|target| parent_dir(hop).join(target));
    iter::successors(Some(path.to_owned()), next).take(LINKS_MAX + 1).collect()
}

/// The file that a path points to through links, whether it exists or not; the path itself when the
/// links form a cycle, which opening it reports.
pub fn resolve_symlinks(path: &Path) -> PathBuf {
    let mut hops = hops(path);
    let is_endless = hops.len() > LINKS_MAX;
    hops.pop().filter(|_| !is_endless).unwrap_or_else(|| path.to_owned())
}

/// The folder of a file; `.` for a bare name.
pub fn parent_dir(file: &Path) -> &Path {
    file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// The file that a path points to, with a suffix appended to its name.
pub fn with_suffix(path: &Path, end: &str) -> PathBuf {
    let mut name = resolve_symlinks(path).into_os_string();
    name.push(end);
    PathBuf::from(name)
}

/// The number of links that Linux follows.
pub(super) const LINKS_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_resolve_to_the_file_they_point_to() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("elsewhere")).unwrap();
        symlink("elsewhere/real.db", at("link.db")).unwrap();
        symlink(at("link.db"), at("again.db")).unwrap();
        symlink("b", at("a")).unwrap();
        symlink("a", at("b")).unwrap();
        let check =
            |name: &str, expected: &str| assert_eq!(resolve_symlinks(&at(name)), at(expected));
        // Before the file exists, and after.
        check("again.db", "elsewhere/real.db");
        fs::write(at("elsewhere/real.db"), "").unwrap();
        check("again.db", "elsewhere/real.db");
        check("plain.db", "plain.db");
        check("a", "a");
        assert_eq!(with_suffix(&at("link.db"), "-wal"), at("elsewhere/real.db-wal"));
        assert_eq!(parent_dir(Path::new("a.db")), Path::new("."));
    }
}
