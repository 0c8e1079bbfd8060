//! The walk through the parsed file: tables, and the problems met on the way.
//!
//! What always holds: a read that gives `None` has reported why; a value that was read badly is
//! never replaced by its default, so that no problem follows from another. Where the file is no
//! TOML, the rest of it is read all the same, and only what the damage may have caused is kept
//! quiet: problems in its lines, and things that seem to be missing.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use crate::config::environment::Environment;
use crate::config::error::Problem;
use crate::config::file_stamp::Generation;
use crate::config::schema::keys::join;
use crate::files::trust::Trust;

/// One reading of one file. It has no `Debug`, since secrets may stand in the text.
pub(in crate::config) struct Document<'a> {
    /// The file, as its path was given.
    pub(in crate::config) path: &'a Path,
    /// The same, shared by everything that was read from it.
    pub(in crate::config) file: Arc<Path>,
    pub(in crate::config) text: &'a str,
    pub(in crate::config) visibility: FileAccess,
    pub(in crate::config) outside: Outside<'a>,
    pub(in crate::config) empty: DeTable<'a>,
    newlines: Vec<usize>,
    damaged: RefCell<BTreeSet<usize>>,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

/// What a reading takes from outside of its file.
#[derive(Clone, Copy)]
pub(in crate::config) struct Outside<'a> {
    pub(in crate::config) environment: &'a Environment,
    pub(in crate::config) files: &'a Generation,
    /// Which owners of these files are trusted.
    pub(in crate::config) trust: &'a Trust,
}

#[derive(Debug, Default)]
pub(in crate::config) struct Diagnostics {
    pub(in crate::config) problems: Vec<Problem>,
    pub(in crate::config) warnings: Vec<Problem>,
}

impl Diagnostics {
    pub(in crate::config) fn append(&mut self, other: Self) {
        self.problems.extend(other.problems);
        self.warnings.extend(other.warnings);
    }
}

/// Who can read the config file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum FileAccess {
    /// Its owner alone: secrets may stand in it.
    Owner,
    /// Others too, with these permission bits.
    Others(u32),
}

/// Where a problem is.
#[derive(Clone, Debug)]
pub(in crate::config) struct Location {
    pub(in crate::config) key: String,
    /// The bytes in the file; `None` when there are none.
    pub(in crate::config) span: Option<Range<usize>>,
}

impl Location {
    /// Where a key of this table would stand.
    pub(in crate::config) fn below(&self, key: &str) -> Self {
        Self { key: join(&self.key, key), span: self.span.clone() }
    }
}

impl<'a> Document<'a> {
    pub(in crate::config) fn new(
        path: &'a Path,
        text: &'a str,
        visibility: FileAccess,
        outside: Outside<'a>,
    ) -> Self {
        Self {
            path,
            file: path.into(),
            text,
            visibility,
            outside,
            empty: DeTable::new(),
            newlines: text.match_indices('\n').map(|(offset, _)| offset).collect(),
            damaged: RefCell::default(),
            problems: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// The line of a byte, counted from one.
    pub(in crate::config) fn line(&self, offset: usize) -> usize {
        1 + self.newlines.partition_point(|newline| *newline < offset)
    }

    /// A path that stands in the file: relative to the file's folder.
    pub(in crate::config) fn resolve(&self, path: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    /// Reports what is wrong somewhere.
    pub(in crate::config) fn problem(
        &self,
        place: &Location,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.push(self.note(place, message.into(), help));
    }

    /// Reports what this process cannot read, and another one may.
    pub(in crate::config) fn unreadable(&self, place: &Location, message: String, help: String) {
        self.push(Problem { unreadable: true, ..self.note(place, message, Some(help)) });
    }

    fn push(&self, problem: Problem) {
        if problem.line.is_none_or(|line| !self.damaged.borrow().contains(&line)) {
            self.problems.borrow_mut().push(problem);
        }
    }

    /// Reports what is not there; in a damaged file that is not said, since the damage may have
    /// swallowed it.
    pub(in crate::config) fn missing(
        &self,
        place: &Location,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        if self.damaged.borrow().is_empty() {
            self.problem(place, message, help);
        }
    }

    /// Reports damage: text that is no TOML, and the lines after it that it swallowed.
    pub(in crate::config) fn syntax_error(
        &self,
        place: &Location,
        message: &str,
        help: Option<String>,
        swallowed: usize,
    ) {
        self.problem(place, message, help);
        let first = place.span.as_ref().map_or(0, |span| self.line(span.start));
        self.damaged.borrow_mut().extend(first..=first.saturating_add(swallowed));
    }

    /// Whether a part of the file is no TOML.
    pub(in crate::config) fn is_damaged(&self) -> bool {
        !self.damaged.borrow().is_empty()
    }

    /// Reports what is allowed, and most likely not meant.
    pub(in crate::config) fn warning(
        &self,
        place: &Location,
        message: impl Into<String>,
        help: &str,
    ) {
        let warning = self.note(place, message.into(), Some(help.to_owned()));
        self.warnings.borrow_mut().push(warning);
    }

    /// The problems and the warnings, each in the order of the lines.
    pub(in crate::config) fn into_findings(self) -> Diagnostics {
        let mut problems = self.problems.into_inner();
        let mut warnings = self.warnings.into_inner();
        problems.sort_by_key(|problem| problem.line);
        warnings.sort_by_key(|warning| warning.line);
        Diagnostics { problems, warnings }
    }

    fn note(&self, place: &Location, message: String, help: Option<String>) -> Problem {
        let line = place.span.as_ref().map(|span| self.line(span.start));
        let (file, key) = (self.path.to_owned(), place.key.clone());
        Problem { file, line, key, message, help, unreadable: false }
    }
}
