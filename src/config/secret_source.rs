//! Reads a secret from its source: the config itself, a variable, another file, or systemd.
//!
//! Secrets of all sources are cleaned and checked by `text/secret_input.rs`. No problem repeats a
//! secret, nor a value that may be a misplaced secret. A secret is allowed in the config only if no
//! other user can read it.

use std::path::Path;

use toml::de::DeValue;

use crate::config::parse::document::FileAccess;
use crate::config::parse::field::{Field, Table, shown};
use crate::config::schema::keys::SECRET;
use crate::domain::program_environment::is_passed_on;
use crate::secret::Secret;
use crate::text::secret_input::{SecretError, SecretKind, clean, is_quoted};

/// Whether a plain secret is allowed in the config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plain {
    Allowed,
    /// Only if other users cannot read the file.
    Guarded,
}

pub(super) fn read(field: &Field<'_>, plain: Plain, kind: SecretKind) -> Option<Secret> {
    match field.value {
        DeValue::String(_) => {
            let text = field.text()?;
            if plain == Plain::Guarded {
                guard(field);
            }
            take(field, "", text.as_bytes(), kind)
        }
        DeValue::Table(_) => from_source(field, &field.table()?, kind),
        _ => field.wrong_type("a string or a table like `{ env = \"NAME\" }`"),
    }
}

/// Cleans the bytes of a source; `source` names it and precedes "has …".
fn take(field: &Field<'_>, source: &str, bytes: &[u8], kind: SecretKind) -> Option<Secret> {
    match clean(bytes, kind) {
        Ok(text) => {
            if is_quoted(text) {
                let message = format!("{source}is in quotes, which are sent as a part of it");
                let help = "remove them, unless they are a part of the secret";
                field.warning(message, help);
            }
            Some(Secret::new(text))
        }
        Err(fault) => field.invalid(format!("{source}{fault}"), fault.help()),
    }
}

/// Reports a plain secret that other users can read.
pub(super) fn guard(field: &Field<'_>) {
    let FileAccess::Others(mode) = field.reader.visibility else { return };
    if !matches!(field.value, DeValue::String(_)) {
        return;
    }
    let file = field.reader.path.display();
    field.invalid::<()>(
        format!("is in the config file, which other users can read (its mode is {mode:04o})"),
        format!(
            "run `chmod 600 {file}`, or write `{{ env = \"…\" }}`, `{{ file = \"…\" }}` or \
             `{{ credential = \"…\" }}`"
        ),
    );
}

fn from_source(field: &Field<'_>, table: &Table<'_>, kind: SecretKind) -> Option<Secret> {
    table.check_keys(&SECRET);
    let sources: Vec<_> =
        table.fields().into_iter().filter(|(name, _)| SECRET.knows(name)).collect();
    match sources.as_slice() {
        [("env", source)] => from_variable(source, kind),
        [("file", source)] => from_file(source, &field.reader.resolve(source.text()?), kind),
        [("credential", source)] => from_credential(source, kind),
        [] if table.fields().is_empty() => field.invalid("names no source", SOURCES),
        [] => None,
        _ => field.invalid("names more than one source", SOURCES),
    }
}

fn from_variable(source: &Field<'_>, kind: SecretKind) -> Option<Secret> {
    let name = source.text()?;
    if is_passed_on(name) {
        let help = "use another variable, which programs do not inherit";
        return source.invalid(
            format!("names the variable `{}`, which every started program inherits", shown(name)),
            help,
        );
    }
    if let Some(value) = source.reader.outside.environment.var(name) {
        let words = format!("names the variable `{}`, which ", shown(name));
        return take(source, &words, value, kind);
    }
    let usual = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if name.len() > VARIABLE_LENGTH_MAX || !name.bytes().all(usual) {
        return source.invalid(
            "names a variable that is not set",
            "write the name of a variable (it is not repeated here, in case it is the secret)",
        );
    }
    source.unreadable(
        format!("names the variable `{name}`, which is not set"),
        format!(
            "set it where the program starts: `export {name}=…`, or `EnvironmentFile=` of the unit"
        ),
    )
}

fn from_file(source: &Field<'_>, path: &Path, kind: SecretKind) -> Option<Secret> {
    let place = shown(&path.display().to_string());
    let words = format!("names the file `{place}`, which ");
    let (bytes, facts) = source.file(path, &words)?;
    if facts.is_world_readable() {
        let message = format!("{words}everybody can read (its mode is {:04o})", facts.mode);
        source.warning(message, &format!("`chmod o-r {place}`"));
    }
    // The file may be written at this time and complete soon.
    if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
        let message = format!("{words}{}", SecretError::Empty);
        return source.unreadable(message, SecretError::Empty.help());
    }
    take(source, &words, &bytes, kind)
}

fn from_credential(source: &Field<'_>, kind: SecretKind) -> Option<Secret> {
    let name = source.text()?;
    if name.contains('/') || name == "." || name == ".." {
        return source
            .invalid("is not the name of a credential", "write the name alone, without a path");
    }
    let Some(directory) = source.reader.outside.environment.credentials_directory() else {
        // systemd sets this for every unit.
        if source.reader.outside.environment.var("INVOCATION_ID").is_none() {
            return source.unreadable(
                "needs `$CREDENTIALS_DIRECTORY`, which is not set",
                "systemd sets it for a unit with `LoadCredential=`; elsewhere write \
                 `{ file = \"…\" }`",
            );
        }
        return source.unreadable(
            "is a credential, and systemd handed over none at all (`$CREDENTIALS_DIRECTORY` is \
             not set)",
            "`systemctl show -p LoadCredential avatar-watch` shows what the unit asks for; in \
             containers of LXC, Incus and Proxmox a drop-in of theirs empties it: take \
             `zzzz-lxc.conf` of `/usr/share/avatar-watch/drop-ins`",
        );
    };
    from_file(source, &directory.join(name), kind)
}

const SOURCES: &str =
    "write one of `{ env = \"…\" }`, `{ file = \"…\" }` and `{ credential = \"…\" }`";

const VARIABLE_LENGTH_MAX: usize = 64;

#[cfg(test)]
#[path = "secret_source_tests.rs"]
mod tests;
