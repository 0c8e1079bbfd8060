//! A program of this machine, as the config names one.

use std::path::Path;

use crate::config::parse::field::{Field, shown};
use crate::files::program::Program;

/// A program with its arguments, as a list; no shell takes it apart. One that is there must be one
/// that may be run.
pub(super) fn program(field: &Field<'_>) -> Option<Program> {
    let words = field.list(|field| {
        let word = field.text()?;
        if word.contains('\0') {
            return field.invalid("has a NUL in it", "remove it");
        }
        Some(word.to_owned())
    })?;
    let words = field.not_empty(words, "write the path of a program, and its arguments")?;
    let Some(path) = words.first().filter(|path| path.starts_with('/')) else {
        // Not repeated: someone may have written a token here.
        let help = "begin with an absolute path, like `[\"/usr/sbin/sendmail\"]`";
        return field.invalid("does not begin with the path of a program", help);
    };
    let trust = field.reader.outside.trust;
    let verdict = trust.check_program(Path::new(path));
    field.trusted(&format!("names `{}`, which ", shown(path)), verdict)?;
    Some(Program::new(words, trust.clone()))
}
