//! The environment variables of the process.
//!
//! Read once and passed in, so that a test need not touch the process. The values may be
//! secrets and never show themselves.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

/// The environment variables with a name that is text; their values are bytes.
#[derive(Clone, Default)]
pub struct Environment {
    vars: BTreeMap<String, Vec<u8>>,
}

impl Environment {
    /// The variables of this process.
    pub fn from_process() -> Self {
        let named = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_vec())));
        Self { vars: named.collect() }
    }

    pub(crate) fn var(&self, name: &str) -> Option<&[u8]> {
        self.vars.get(name).map(Vec::as_slice)
    }

    /// Where systemd puts credentials (systemd.exec(5), "Credentials").
    pub(super) fn credentials_directory(&self) -> Option<PathBuf> {
        self.directory("CREDENTIALS_DIRECTORY")
    }

    /// Where systemd keeps state; the first, when there are several (systemd.exec(5),
    /// `StateDirectory=`).
    pub(super) fn state_directory(&self) -> Option<PathBuf> {
        self.directory("STATE_DIRECTORY")
    }

    fn directory(&self, name: &str) -> Option<PathBuf> {
        let mut list = self.var(name)?.split(|byte| *byte == b':');
        let first = list.find(|entry| !entry.is_empty());
        first.map(|entry| PathBuf::from(OsStr::from_bytes(entry)))
    }
}

impl<N: Into<String>, V: Into<Vec<u8>>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(vars: I) -> Self {
        Self { vars: vars.into_iter().map(|(name, it)| (name.into(), it.into())).collect() }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.vars.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_state_directory_counts_and_no_value_shows() {
        let check = |list: &str, expected: Option<&str>| {
            let environment = Environment::from_iter([("STATE_DIRECTORY", list)]);
            assert_eq!(environment.state_directory(), expected.map(PathBuf::from), "`{list}`");
            assert!(list.is_empty() || !format!("{environment:?}").contains(list));
        };
        check("/var/lib/a", Some("/var/lib/a"));
        check("/var/lib/a:/var/lib/b", Some("/var/lib/a"));
        check("", None);
    }
}
