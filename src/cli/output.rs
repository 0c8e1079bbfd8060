//! Output: tables for people, JSON for programs, errors with their causes.
//!
//! Text from outside is escaped before it reaches a terminal.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::iter::successors;

use serde::Serialize;

use crate::cli::exit::Exit;
use crate::config::schema::keys::nearest;
use crate::domain::time::humanize::humanize;
use crate::domain::time::timestamp::Timestamp;
use crate::store::error::StoreError;
use crate::store::pagination::COUNT_MAX;
use crate::telemetry::output_queue;
use crate::text::escape::escape_json;
use crate::text::plural::{counted, grouped};
use crate::text::sanitize::sanitize;

/// Prints to standard output. A closed pipe (`| head`) is not an error; any other write error ends
/// the process, because a reader would take incomplete output for complete. With an output queue
/// it never blocks, and the caller checks the queue at the end.
pub(crate) fn print(text: &str) {
    if let Some(queue) = output_queue::of_output() {
        queue.push(text.to_owned());
        return;
    }
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    drop(out);
    let exit = printed(written);
    if exit != Exit::Ok {
        std::process::exit(i32::from(exit.code()));
    }
}

/// The exit code after a write to standard output; prints the error of a failed one.
pub(crate) fn printed(written: io::Result<()>) -> Exit {
    match written {
        Err(failure) if failure.kind() != io::ErrorKind::BrokenPipe => {
            print_error(&format!("avatar-watch: the output cannot be written: {failure}"));
            Exit::Disk
        }
        Ok(()) | Err(_) => Exit::Ok,
    }
}

pub(crate) fn line(text: &str) {
    print(&lines_of(text));
}

fn lines_of(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(sanitize).collect();
    format!("{}\n", lines.join("\n"))
}

pub(crate) fn print_error(text: &str) {
    let text = lines_of(text);
    if let Some(queue) = output_queue::of_error() {
        queue.push(text);
    } else {
        drop(io::stderr().lock().write_all(text.as_bytes()));
    }
}

pub(crate) fn print_failure(error: &dyn Error) {
    print_error(&format!("avatar-watch: {error}"));
    causes(error).iter().skip(1).for_each(|cause| print_error(&format!("  because: {cause}")));
}

/// Prints an error and its causes; returns the exit code.
pub(crate) fn failed(error: &dyn Error, exit: Exit) -> Exit {
    print_failure(error);
    exit
}

/// The texts of an error and of its causes.
pub(crate) fn causes(error: &dyn Error) -> Vec<String> {
    let causes = successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect()
}

/// Prints the result of one test, with its help; returns whether it is fine.
pub(crate) fn print_result(what: &str, fine: bool, text: &str, help: Option<&str>) -> bool {
    let mark = match (fine, help) {
        (true, None) => "ok  ",
        (true, Some(_)) => "warn",
        (false, _) => "FAIL",
    };
    line(&format!("{mark} {what}: {text}"));
    help.iter().for_each(|help| line(&format!("  help: {help}")));
    fine
}

/// Prints a help below an error.
pub(crate) fn print_help(help: impl Display) {
    print_error(&format!("  help: {help}"));
}

pub(crate) fn print_store_error(error: &StoreError) -> Exit {
    print_failure(error);
    store_help(error).into_iter().for_each(print_help);
    store_exit(error)
}

/// Help for an error of the store; `None` where its message says enough.
pub(crate) fn store_help(error: &StoreError) -> Option<&str> {
    diagnosis(error).1
}

pub(crate) fn store_exit(error: &StoreError) -> Exit {
    diagnosis(error).0
}

fn diagnosis(error: &StoreError) -> (Exit, Option<&str>) {
    match error {
        StoreError::Locked { .. } => (
            Exit::TempFail,
            Some("stop that one first, such as with `systemctl stop avatar-watch`"),
        ),
        StoreError::Newer { .. } | StoreError::Older { .. } => (Exit::DataErr, None),
        StoreError::Damaged { .. } => (
            Exit::DataErr,
            Some(
                "`avatar-watch db verify` lists all problems; `avatar-watch db restore FILE` \
                 replaces the database with a backup and keeps the damaged one",
            ),
        ),
        StoreError::Altered { .. } => (
            Exit::DataErr,
            Some(
                "find out what changed the file before you use it; `avatar-watch db restore FILE` \
                 replaces it with a backup and keeps it; without a backup, move it away and \
                 `avatar-watch run` creates a new one",
            ),
        ),
        StoreError::ForeignFile { .. } => (
            Exit::DataErr,
            Some("name another file, with `store.path` in the config or on the command line"),
        ),
        StoreError::NotFound { .. } | StoreError::Empty { .. } => {
            (Exit::Failed, Some("`avatar-watch run` creates it"))
        }
        StoreError::AlreadyExists { .. } => (Exit::Failed, None),
        StoreError::Blocked { help, .. } => (Exit::Disk, Some(help)),
        StoreError::UnsupportedFileSystem { .. } => (
            Exit::Disk,
            Some("set `store.path` to a path on a local file system, such as ext4 or xfs"),
        ),
        StoreError::NoSpace { .. } => {
            (Exit::Disk, Some("`df -h` and `df -i` show whether space or inodes have run out"))
        }
        StoreError::FileReplaced { .. }
        | StoreError::Busy { .. }
        | StoreError::TooLong { .. }
        | StoreError::Interrupted { .. }
        | StoreError::NoHandles { .. }
        | StoreError::Disk { .. }
        | StoreError::Sqlite { .. }
        | StoreError::RolledBack { .. } => (Exit::Disk, None),
        // The writer thread panicked.
        StoreError::Stopped => (Exit::Software, None),
    }
}

/// The known word that a filter names, in any case; prints when there is none.
pub(crate) fn known_or_print(noun: &str, word: &str, known: &[&str]) -> Result<String, Exit> {
    if let Some(found) = known.iter().find(|known| known.eq_ignore_ascii_case(word)) {
        return Ok((*found).to_owned());
    }
    print_error(&format!("avatar-watch: no {noun} `{}`", sanitize(word)));
    match (nearest(word, known), known) {
        (Some(near), _) => print_help(format!("did you mean `{}`?", sanitize(near))),
        (None, []) => print_help("there is none yet"),
        (None, known) => {
            let known: Vec<String> =
                known.iter().map(|known| format!("`{}`", sanitize(known))).collect();
            print_help(format!("there are: {}", known.join(", ")));
        }
    }
    Err(Exit::Problems)
}

pub(crate) fn json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => line(&escape_json(&text)),
        Err(error) => print_failure(&error),
    }
}

/// How many rows a list shows: `the newest 100 of 1,234 changes; --limit for more`.
pub(crate) fn print_count(shown: usize, total: u64, which: &str, noun: &str) {
    // The count of rows ends there.
    let all = match total == COUNT_MAX + 1 {
        true => format!("more than {}", counted_rows(COUNT_MAX, noun)),
        false => counted_rows(total, noun),
    };
    let shown = u64::try_from(shown).unwrap_or(u64::MAX);
    line(&match shown < total {
        true => format!("the {which} {} of {all}; --limit for more", grouped(shown)),
        false => all,
    });
}

fn counted_rows(number: u64, noun: &str) -> String {
    counted(number, noun).replacen(&number.to_string(), &grouped(number), 1)
}

/// The time from `at` (RFC 3339) to `now`, for people; empty when `at` cannot be parsed.
pub(crate) fn age(at: &str, now: Timestamp) -> String {
    Timestamp::parse_rfc3339(at).map(|at| humanize(now.since(at))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::characters::{hostile_texts, is_filler, is_unsafe};
    use crate::web::http::problem::json_line;

    proptest! {
        #[test]
        fn printed_text_has_no_control_characters(text in hostile_texts()) {
            let printed = lines_of(&text);
            prop_assert!(!printed.contains(|it: char| it != '\n' && is_unsafe(it)), "{printed:?}");
            let json = json_line(&[&text]).unwrap();
            prop_assert_eq!(lines_of(&json), format!("{json}\n"));
            prop_assert!(!json.contains(|it: char| is_unsafe(it) || is_filler(it)), "{json:?}");
            let back: Vec<String> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(back, [text]);
        }
    }
}
