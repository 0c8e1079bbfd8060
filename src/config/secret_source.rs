//! Where a secret comes from: the file itself, a variable, another file, or systemd.
//!
//! What always holds: no problem repeats the secret, nor what may be the secret in the wrong
//! place. A secret may stand in the config only when nobody but its owner can read that.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use toml::de::DeValue;

use crate::config::field::{Field, shown};
use crate::config::reader::{Table, Visibility};
use crate::config::schema::SECRET;
use crate::secret::Secret;

/// Whether a secret may stand in the config itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plain {
    /// Always.
    Allowed,
    /// Only when others cannot read the file.
    Guarded,
}

/// Reads a secret that is not empty.
pub(super) fn read(field: &Field<'_>, plain: Plain) -> Option<Secret> {
    let text = match field.value {
        DeValue::String(_) => {
            let text = field.text()?;
            guard(field, plain);
            text.to_owned()
        }
        DeValue::Table(_) => from_source(field, &field.table()?)?,
        _ => return field.mistyped("a text or a table like `{ env = \"NAME\" }`"),
    };
    if text.is_empty() {
        return field.wrong("comes from a place that is empty", "put the secret there");
    }
    Some(Secret::new(text))
}

/// The whole of a regular file of ordinary size, from a path in the config.
///
/// # Errors
/// When it cannot be read, is no regular file, or is larger than a mebibyte.
pub(super) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    read_bounded(File::open(path)?)
}

/// The whole of an open file of ordinary size.
///
/// # Errors
/// When it cannot be read, or is larger than a mebibyte.
pub(super) fn read_bounded(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= FILE_BYTES_MAX) {
        return Ok(bytes);
    }
    Err(io::Error::other("it is larger than a mebibyte"))
}

fn guard(field: &Field<'_>, plain: Plain) {
    let Visibility::Others(mode) = field.reader.visibility else { return };
    if plain == Plain::Allowed {
        return;
    }
    let file = field.reader.path.display();
    field.wrong::<()>(
        format!("stands in the file itself, which others can read (its mode is {mode:04o})"),
        format!(
            "run `chmod 600 {file}`, or write `{{ env = \"…\" }}`, `{{ file = \"…\" }}` or \
             `{{ credential = \"…\" }}`"
        ),
    );
}

fn from_source(field: &Field<'_>, table: &Table<'_>) -> Option<String> {
    table.check_keys(&SECRET);
    let sources: Vec<_> =
        table.fields().into_iter().filter(|(name, _)| SECRET.knows(name)).collect();
    match sources.as_slice() {
        [("env", source)] => from_variable(source),
        [("file", source)] => from_file(source, &field.reader.resolve(source.text()?)),
        [("credential", source)] => from_credential(source),
        [] if table.fields().is_empty() => field.wrong("names no source", SOURCES),
        [] => None,
        _ => field.wrong("names more than one source", SOURCES),
    }
}

fn from_variable(source: &Field<'_>) -> Option<String> {
    let name = source.text()?;
    if let Some(value) = source.reader.environment.var(name) {
        return Some(value.expose().to_owned());
    }
    let usual = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if name.len() > VARIABLE_LENGTH_MAX || !name.bytes().all(usual) {
        return source.wrong(
            "names a variable that is not set",
            "the name of a variable belongs here (it is not repeated, in case it is the secret)",
        );
    }
    source.out_of_reach(
        format!("names the variable `{name}`, which is not set"),
        format!(
            "set it where the program starts: `export {name}=…`, or `EnvironmentFile=` of the unit"
        ),
    )
}

fn from_file(source: &Field<'_>, path: &Path) -> Option<String> {
    let place = shown(&path.display().to_string());
    let bytes = match read_file(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let help = "is the path right, and may this user read the file?";
            let message = format!("cannot be read from `{place}`: {error}");
            return source.out_of_reach(message, help);
        }
    };
    let Ok(text) = String::from_utf8(bytes) else {
        let message = format!("cannot be read from `{place}`: it is not UTF-8");
        return source.wrong(message, "put the secret there as plain text");
    };
    Some(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn from_credential(source: &Field<'_>) -> Option<String> {
    let name = source.text()?;
    if name.contains('/') || name == "." || name == ".." {
        return source.wrong("is no name of a credential", "write the name alone, without a path");
    }
    let Some(directory) = source.reader.environment.credentials_directory() else {
        return source.out_of_reach(
            "needs `$CREDENTIALS_DIRECTORY`, which is not set",
            "systemd sets it for a unit with `LoadCredential=`; elsewhere write `{ file = \"…\" }`",
        );
    };
    from_file(source, &directory.join(name))
}

const SOURCES: &str =
    "write one of `{ env = \"…\" }`, `{ file = \"…\" }` and `{ credential = \"…\" }`";

/// Bytes that a config, a secret or a certificate file has at most.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

const VARIABLE_LENGTH_MAX: usize = 64;

#[cfg(test)]
#[path = "secret_source_tests.rs"]
mod tests;
