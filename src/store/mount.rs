//! The file system that a folder is on, as the kernel lists it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where.
    pub(super) point: PathBuf,
    /// Of which kind: `ext4`, `fuse.bindfs`.
    pub(super) kind: String,
}

impl Mount {
    /// The one that a file or folder is on; `None` when the kernel does not tell.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let list = fs::read("/proc/self/mountinfo").ok()?;
        find(&list, &fs::canonicalize(path).ok()?)
    }
}

/// The last of the longest mount points above a path: it covers all others
/// (<https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html>).
fn find(list: &[u8], path: &Path) -> Option<Mount> {
    let mounts = list.split(|byte| *byte == b'\n').filter_map(parse);
    let above = mounts.filter(|mount| path.starts_with(&mount.point));
    above.max_by_key(|mount| mount.point.components().count())
}

fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let point = PathBuf::from(OsString::from_vec(unescaped(fields.nth(4)?)));
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some(Mount { point, kind: String::from_utf8_lossy(kind).into_owned() })
}

/// Blanks and their like are written as three octal digits behind a backslash.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..3).filter(|_| *first == b'\\');
        let escaped = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_that_covers_a_path_is_found() {
        let list = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            30 22 0:25 / /mnt/a\\040b rw - fuse.bindfs /x rw\n\
            31 22 0:26 / /mnt/a\\040b ro - tmpfs tmpfs ro\n\
            32 22 0:27 / /mnt/a rw master:1 propagate_from:2 - 9p host rw\n\
            nonsense\n";
        let check = |path: &str, point: &str, kind: &str| {
            let found = find(list, Path::new(path)).unwrap();
            assert_eq!((found.point.to_str().unwrap(), found.kind.as_str()), (point, kind));
        };
        check("/var/lib", "/", "ext4");
        check("/mnt/a b/c", "/mnt/a b", "tmpfs");
        check("/mnt/a/c", "/mnt/a", "9p");
        check("/mnt/abc", "/", "ext4");
        assert_eq!(Mount::of(Path::new("/proc/self")).unwrap().kind, "proc");
    }
}
