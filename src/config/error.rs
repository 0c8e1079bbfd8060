//! The problems of a config, as shown to people: what is wrong, where, and how to fix it. The code
//! that reports a problem ensures that it contains no secret.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::text::sanitize::sanitize;

/// Why the config could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read at all.
    #[error("cannot read the config `{}`", path.display())]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file was read; all its problems, in the order of its lines.
    #[error("{}", first(.0, Problem::to_string).join("\n"))]
    Problems(Vec<Problem>),
}

/// One problem or warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The config file, as its path was given.
    pub file: PathBuf,
    /// The line, counted from one; `None` when it is about something that is missing.
    pub line: Option<usize>,
    /// The dotted key; empty for a syntax error.
    pub key: String,
    /// The message: the sentence that begins with the key.
    pub message: String,
    /// How to fix it.
    pub help: Option<String>,
    /// Whether it is about a secret or a certificate that this process cannot read: the service has
    /// variables, files and credentials that its users do not have.
    pub unreadable: bool,
}

impl ConfigError {
    /// Whether it may resolve without an edit of the config: a file, a secret or a certificate is
    /// missing or cannot be read at this time.
    pub fn is_transient(&self) -> bool {
        match self {
            // An error without a system code is about the type of the file, such as a folder.
            Self::Unreadable { source, .. } => source.raw_os_error().is_some(),
            Self::Problems(problems) => problems.iter().all(|problem| problem.unreadable),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // File names of drop-ins are untrusted.
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

impl Problem {
    /// One about a file as a whole.
    pub(crate) fn of_file(
        file: impl Into<PathBuf>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let (file, message, help) = (file.into(), message.into(), Some(help.into()));
        Self { file, line: None, key: String::new(), message, help, unreadable: false }
    }

    /// The message and the help on one line.
    pub(crate) fn one_line(&self) -> String {
        self.to_string().replace("\n  help: ", "; ")
    }
}

/// The first problems or warnings as text, and the number of the others: a mistake in a large
/// config may repeat in each of its avatars.
pub(crate) fn first(problems: &[Problem], text: impl Fn(&Problem) -> String) -> Vec<String> {
    let shown = problems.iter().take(SHOWN_MAX).map(text);
    let more = problems.len().saturating_sub(SHOWN_MAX);
    shown.chain((more > 0).then(|| format!("and {more} more"))).collect()
}

/// The maximum number of problems that are shown.
const SHOWN_MAX: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_problems_are_cut() {
        let problems = vec![Problem::of_file("a.toml", "is wrong", "fix it"); 100_000];
        let shown = first(&problems, Problem::one_line);
        assert_eq!((shown.len(), shown[50].as_str()), (51, "and 99950 more"));
        assert_eq!(ConfigError::Problems(problems).to_string().lines().count(), 101);
    }

    #[test]
    fn a_problem_says_where_what_and_how_to_fix_it() {
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
