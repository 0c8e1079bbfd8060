//! What is taken from outside the file: the variables of the process.
//!
//! Read once and passed in, so that a test need not touch the process. The values may be
//! secrets and never show themselves.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::secret::Secret;

/// The environment variables, as far as they are text.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    vars: BTreeMap<String, Secret>,
}

impl Environment {
    /// The variables of this process.
    pub fn from_process() -> Self {
        let texts = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        texts.collect()
    }

    /// The value of a variable.
    pub fn var(&self, name: &str) -> Option<&Secret> {
        self.vars.get(name)
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
        let list = self.var(name)?.expose();
        list.split(':').find(|entry| !entry.is_empty()).map(PathBuf::from)
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(vars: I) -> Self {
        let vars = vars.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
        Self { vars }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_state_directory_counts_and_no_value_shows() {
        let check = |list: &str, expected: Option<&str>| {
            let pair = ("STATE_DIRECTORY".to_owned(), list.to_owned());
            let environment = Environment::from_iter([pair]);
            assert_eq!(environment.state_directory(), expected.map(PathBuf::from), "`{list}`");
            assert!(list.is_empty() || !format!("{environment:?}").contains(list));
        };
        check("/var/lib/a", Some("/var/lib/a"));
        check("/var/lib/a:/var/lib/b", Some("/var/lib/a"));
        check("", None);
    }
}
