//! Where a part of the config stands: a file and a line.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::text::sanitize::sanitize;

/// A file, which all of its parts share, and a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigOrigin {
    /// The file, as its path was given.
    pub file: Arc<Path>,
    /// The first line, counted from one.
    pub line: usize,
}

impl fmt::Display for ConfigOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", sanitize(&self.file.to_string_lossy()), self.line)
    }
}
