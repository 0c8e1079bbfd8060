//! A program of this machine that the config names.

use std::fmt;
use std::path::Path;

use crate::files::trust::{Distrust, Trust};

/// A program with its first arguments, and whose programs may be run. The arguments may be secrets
/// and do not show themselves.
#[derive(Clone, PartialEq, Eq)]
pub struct Program {
    /// The path of the program, and its arguments.
    pub command: Vec<String>,
    trust: Trust,
}

impl Program {
    /// The program of that command line.
    pub const fn new(command: Vec<String>, trust: Trust) -> Self {
        Self { command, trust }
    }

    /// Its path; empty for an empty command line.
    pub fn name(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    /// Whether it may be run: nobody else has made it or can have written to it. One that is not
    /// there passes, since whoever starts it hears of that.
    ///
    /// # Errors
    /// With whoever may have.
    pub fn check(&self) -> Result<(), Distrust> {
        self.trust.judge_program(Path::new(self.name())).strict()
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("name", &self.name()).finish_non_exhaustive()
    }
}
