//! Drop-ins: `avatars.d/*.toml` beside the config, which contain only `[[avatars]]`.
//!
//! A drop-in that cannot be read is a problem and never skipped, since its avatars would silently
//! not be watched; a drop-in that another user may have written is rejected.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::config::error::Problem;
use crate::config::file_stamp::Generation;
use crate::config::parse::document::{Diagnostics, Document, FileAccess, Location, Outside};
use crate::config::parse::field::Table;
use crate::config::parse::syntax_error;
use crate::config::schema::keys::AVATAR;
use crate::config::sections::avatar::Registry;
use crate::config::settings::AvatarSettings;
use crate::files::trust::{Distrust, Ownership, Trust};
use crate::text::encoding::{EncodingError, decode};

/// The drop-ins of a config, in the order of their names, and their problems.
#[derive(Debug, Default)]
pub(super) struct DropIns {
    files: Vec<(PathBuf, String)>,
    said: Diagnostics,
}

impl DropIns {
    /// Reads the drop-ins beside a config.
    pub(super) fn beside(config: &Path, files: &Generation, trust: &Trust) -> Self {
        let folder = config.parent().unwrap_or(Path::new("")).join(FOLDER);
        let mut found = Self::default();
        match files.list(&folder, names) {
            Ok(names) if names.len() > FILES_MAX => {
                let message = format!("has more than {FILES_MAX} files");
                found.said.problems.push(Problem::of_file(
                    &folder,
                    message,
                    "put several avatars into a file",
                ));
            }
            Ok(names) => {
                if let (true, Err(distrust)) = (is_there(&folder), trust.check_folder(&folder)) {
                    found.said.problems.push(distrusted(&folder, distrust));
                    return found;
                }
                names.iter().for_each(|name| found.take(folder.join(name), files, trust));
            }
            Err(error) => {
                let help = "check that it is a folder and its permissions";
                let message = format!("cannot be listed: {error}");
                found.said.problems.push(Problem::of_file(&folder, message, help));
            }
        }
        found
    }

    /// Whether there are none, valid or not.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.said.problems.is_empty()
    }

    /// Parses all of them and adds their diagnostics to `found`; `None` when there is a problem.
    pub(super) fn read(
        self,
        registry: &mut Registry<'_>,
        outside: Outside<'_>,
        found: &mut Diagnostics,
    ) -> Option<Vec<AvatarSettings>> {
        let mut avatars = Vec::new();
        found.append(self.said);
        for (path, text) in &self.files {
            let (entries, errors) = DeTable::parse_recoverable(text);
            let reader = Document::new(path, text, FileAccess::Owner, outside);
            syntax_error::syntax_error(&reader, &errors);
            let root = Table::root(&reader, entries.get_ref());
            root.check_names(&[AVATAR.path], |_| ONLY_AVATARS.to_owned());
            let read = registry.read(&root);
            if read.as_ref().is_some_and(Vec::is_empty) {
                let place = Location { key: AVATAR.path.to_owned(), span: None };
                let help = "add `[[avatars]]` with an `id`, or delete the file";
                reader.warning(&place, "is empty, so this file configures no avatars", help);
            }
            avatars.extend(read.into_iter().flatten());
            found.append(reader.into_findings());
        }
        found.problems.sort_by(|one, other| one.file.cmp(&other.file));
        found.problems.is_empty().then_some(avatars)
    }

    fn take(&mut self, path: PathBuf, files: &Generation, trust: &Trust) {
        let problems = &mut self.said.problems;
        let (bytes, facts) = match files.read_config(&path) {
            Ok(read) => read,
            Err(error) => {
                let help = "check its permissions; rename files that are no drop-ins";
                let message = format!("cannot be read: {error}");
                return problems.push(Problem::of_file(path, message, help));
            }
        };
        match trust.check(&path, &facts) {
            Ownership::Trusted => {}
            Ownership::Doubtful(distrust) => self.said.warnings.push(distrusted(&path, distrust)),
            Ownership::Distrusted(distrust) => return problems.push(distrusted(&path, distrust)),
        }
        match text(&path, &bytes) {
            Ok(text) => self.files.push((path, text)),
            Err(problem) => problems.push(problem),
        }
    }
}

/// The text of a file, or the problem of one that is not UTF-8.
pub(super) fn text(path: &Path, bytes: &[u8]) -> Result<String, Problem> {
    decode(bytes).map(str::to_owned).map_err(|fault| {
        let line = match fault {
            EncodingError::Utf16 | EncodingError::Utf32 => None,
            EncodingError::Unknown { good } => {
                let before = bytes.iter().take(good);
                Some(1 + before.filter(|byte| **byte == b'\n').count())
            }
        };
        Problem { line, ..Problem::of_file(path, format!("the text {fault}"), fault.help()) }
    })
}

/// The names of the files that count, sorted; one more than allowed when there are too many.
fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // A link that leads nowhere is there, and not what it should be.
        Err(error) if error.kind() == ErrorKind::NotFound && !is_there(folder) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.ends_with(ENDING) && !bytes.starts_with(b".") {
            names.push(name);
        }
        if names.len() > FILES_MAX {
            break;
        }
    }
    names.sort();
    Ok(names)
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn distrusted(file: &Path, Distrust { what, help }: Distrust) -> Problem {
    Problem::of_file(file, what, help)
}

const FOLDER: &str = "avatars.d";
const ENDING: &[u8] = b".toml";
const FILES_MAX: usize = 10_000;
const ONLY_AVATARS: &str = "only `[[avatars]]` goes into avatars.d";

#[cfg(test)]
#[path = "drop_in_tests.rs"]
mod tests;
