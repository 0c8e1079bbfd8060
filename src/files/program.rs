//! A program that the config names.

use std::fmt;
use std::path::Path;

use crate::files::trust::{Distrust, Trust};

/// A command line, and the users that may own its program. `Debug` omits the arguments, since they
/// may be secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Program {
    /// The path of the program, and its arguments.
    pub command: Vec<String>,
    trust: Trust,
}

impl Program {
    /// A command line, with the rules for its program.
    pub const fn new(command: Vec<String>, trust: Trust) -> Self {
        Self { command, trust }
    }

    /// Its path; empty for an empty command line.
    pub fn name(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    /// Checks that no other user can have written the program. A missing program passes: starting
    /// it reports that.
    pub fn check(&self) -> Result<(), Distrust> {
        self.trust.check_program(Path::new(self.name())).strict()
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("name", &self.name()).finish_non_exhaustive()
    }
}
