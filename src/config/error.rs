//! What is wrong with a config, in the form people read it.
//!
//! A problem says where, what and how to mend it. It never repeats a secret: whoever makes one
//! sees to that.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::text::sanitize::sanitize;

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read at all.
    #[error("cannot read the config `{}`", path.display())]
    Unreadable {
        /// The file that was tried.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file was read, and these are all its problems, in the order of its lines.
    #[error("{}", paragraph(.0))]
    Problems(Vec<Problem>),
}

/// One thing that is wrong, or for a warning: odd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The config file, as its path was given.
    pub file: PathBuf,
    /// The line, counted from one; `None` when it is about something that is not there.
    pub line: Option<usize>,
    /// The dotted key; empty when the text is no TOML.
    pub key: String,
    /// What is wrong: the sentence that begins with the key.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
    /// Whether it is about a secret or a certificate that this process cannot read and another
    /// one may: the service has variables, files and credentials that its users do not have.
    pub unreadable: bool,
}

impl ConfigError {
    /// Whether it may pass without an edit of the config: when a file, a secret or a certificate is
    /// not there yet, or cannot be read just now.
    pub fn may_pass(&self) -> bool {
        match self {
            // What is no error of the system is what the file is, such as a folder.
            Self::Unreadable { source, .. } => source.raw_os_error().is_some(),
            Self::Problems(problems) => problems.iter().all(|problem| problem.unreadable),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever may write drop-ins names them.
        write!(f, "{}:", sanitize(&self.file.to_string_lossy()))?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " `{}`", self.key)?;
        }
        write!(f, " {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

fn paragraph(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_where_what_and_how_to_mend_it() {
        let full = Problem {
            file: PathBuf::from("config.toml"),
            line: Some(14),
            key: "poll.training.min".to_owned(),
            message: "is `60`, which has no unit".to_owned(),
            help: Some("write `60s` or `1m`".to_owned()),
            unreadable: false,
        };
        let short = Problem { line: None, help: None, ..full.clone() };
        let check = |error: ConfigError, expected: &str| assert_eq!(error.to_string(), expected);
        check(
            ConfigError::Problems(vec![full, short]),
            "config.toml:14: `poll.training.min` is `60`, which has no unit\n  \
             help: write `60s` or `1m`\n\
             config.toml: `poll.training.min` is `60`, which has no unit",
        );
        let source = io::Error::from(io::ErrorKind::NotFound);
        let unreadable = ConfigError::Unreadable { path: PathBuf::from("x.toml"), source };
        check(unreadable, "cannot read the config `x.toml`");
    }
}
