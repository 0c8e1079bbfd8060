//! Where a path leads to, link by link and in the end: what stands beside a database stands beside
//! the file, by whatever link it was named.

use std::fs;
use std::iter;
use std::path::{Path, PathBuf};

/// The path, and where each link leads that it ends in; no more than Linux follows.
pub(super) fn hops(path: &Path) -> Vec<PathBuf> {
    let next = |hop: &PathBuf| fs::read_link(hop).ok().map(|target| parent_dir(hop).join(target));
    iter::successors(Some(path.to_owned()), next).take(LINKS_MAX + 1).collect()
}

/// The file that a path leads to through all links of its last part, whether it is there or not.
/// Where the links have no end it is the path itself: opening it says so.
pub fn resolve_symlinks(path: &Path) -> PathBuf {
    let mut hops = hops(path);
    let is_endless = hops.len() > LINKS_MAX;
    hops.pop().filter(|_| !is_endless).unwrap_or_else(|| path.to_owned())
}

/// The folder that a file stands in.
pub fn parent_dir(file: &Path) -> &Path {
    file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// A file beside the one that a path leads to, with this at the end of its name.
pub fn with_suffix(path: &Path, end: &str) -> PathBuf {
    let mut name = resolve_symlinks(path).into_os_string();
    name.push(end);
    PathBuf::from(name)
}

/// As many as Linux follows.
pub(super) const LINKS_MAX: usize = 40;

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
        let check =
            |name: &str, expected: &str| assert_eq!(resolve_symlinks(&at(name)), at(expected));
        // Before it is there, and after.
        check("again.db", "elsewhere/real.db");
        fs::write(at("elsewhere/real.db"), "").unwrap();
        check("again.db", "elsewhere/real.db");
        check("plain.db", "plain.db");
        check("a", "a");
        assert_eq!(with_suffix(&at("link.db"), "-wal"), at("elsewhere/real.db-wal"));
        assert_eq!(parent_dir(Path::new("a.db")), Path::new("."));
    }
}
