//! What is printed: tables for people, JSON for programs, errors with their causes.
//!
//! Text from outside never reaches a terminal raw.

use std::error::Error;
use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::cli::exit::Exit;
use crate::domain::time::humanize::humanize;
use crate::domain::time::timestamp::Timestamp;
use crate::store::error::StoreError;
use crate::telemetry::output_queue;
use crate::text::escape::escape_json;
use crate::text::sanitize::sanitize;

/// Prints to standard output; a reader that has gone (`| head`) is no failure. What cannot be
/// written for another reason ends the process: whoever reads on would take a part for the whole.
/// Whoever has started the output queue is not held up, and asks it at the end.
pub fn print(text: &str) {
    if let Some(queue) = output_queue::of_output() {
        queue.push(text.to_owned());
        return;
    }
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    drop(out);
    let exit = printed(written);
    if exit != Exit::Good {
        std::process::exit(i32::from(exit.code()));
    }
}

/// What it comes to that something was printed, or was not; complains of what could not be.
pub fn printed(written: io::Result<()>) -> Exit {
    match written {
        Err(failure) if failure.kind() != io::ErrorKind::BrokenPipe => {
            print_error(&format!("avatar-watch: the output cannot be written: {failure}"));
            Exit::Disk
        }
        Ok(()) | Err(_) => Exit::Good,
    }
}

/// Prints a line, or some, to standard output.
pub fn line(text: &str) {
    print(&lines_of(text));
}

/// A text as lines without anything that a terminal obeys, whoever wrote it.
fn lines_of(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(sanitize).collect();
    format!("{}\n", lines.join("\n"))
}

/// Prints a line, or some, to standard error.
pub fn print_error(text: &str) {
    let text = lines_of(text);
    if let Some(queue) = output_queue::of_error() {
        queue.push(text);
    } else {
        drop(io::stderr().lock().write_all(text.as_bytes()));
    }
}

/// Prints an error with its causes, each on a line.
pub fn print_failure(error: &dyn Error) {
    print_error(&format!("avatar-watch: {error}"));
    let mut cause = error.source();
    while let Some(error) = cause {
        print_error(&format!("  because: {error}"));
        cause = error.source();
    }
}

/// Prints a failure of the store; the code to exit with.
pub fn print_store_error(error: &StoreError) -> Exit {
    print_failure(error);
    if let Some(help) = store_help(error) {
        print_error(&format!("  help: {help}"));
    }
    store_exit(error)
}

/// What can be done about a failure of the store, where that is not in its own words.
pub fn store_help(error: &StoreError) -> Option<&str> {
    match error {
        StoreError::Blocked { help, .. } => Some(help),
        StoreError::Unfit { .. } => {
            Some("name a `store.path` on a disk of this machine, such as one with ext4 or xfs")
        }
        StoreError::Damaged { .. } => Some(
            "`avatar-watch db verify` says all that is wrong; `avatar-watch db restore FILE` puts \
             a backup in its place and keeps this one",
        ),
        StoreError::Altered { .. } => Some(
            "do not use it before it is known who changed it; `avatar-watch db restore FILE` puts \
             a backup in its place and keeps this one, and without a backup `avatar-watch run` \
             begins a new one once this one is moved away",
        ),
        StoreError::NotFound { .. } | StoreError::Empty { .. } => {
            Some("`avatar-watch run` makes one")
        }
        StoreError::NoSpace { .. } => {
            Some("`df -h` and `df -i` show whether bytes or files (inodes) have run out")
        }
        StoreError::NotOurs { .. } => {
            Some("name another file: by `store.path` in the config, or on the command line")
        }
        StoreError::Locked { .. }
        | StoreError::Newer { .. }
        | StoreError::Older { .. }
        | StoreError::AlreadyExists { .. }
        | StoreError::FileReplaced { .. }
        | StoreError::Busy { .. }
        | StoreError::TooLong { .. }
        | StoreError::Interrupted { .. }
        | StoreError::NoHandles { .. }
        | StoreError::Disk { .. }
        | StoreError::Sqlite { .. }
        | StoreError::RolledBack { .. }
        | StoreError::Stopped => None,
    }
}

/// The code of a failure of the store.
pub fn store_exit(error: &StoreError) -> Exit {
    match error {
        StoreError::Locked { .. } => Exit::Held,
        StoreError::Newer { .. }
        | StoreError::Older { .. }
        | StoreError::Damaged { .. }
        | StoreError::Altered { .. }
        | StoreError::NotOurs { .. } => Exit::Data,
        StoreError::NotFound { .. }
        | StoreError::Empty { .. }
        | StoreError::AlreadyExists { .. } => Exit::Bad,
        StoreError::FileReplaced { .. }
        | StoreError::Blocked { .. }
        | StoreError::Unfit { .. }
        | StoreError::NoSpace { .. }
        | StoreError::Busy { .. }
        | StoreError::TooLong { .. }
        | StoreError::Interrupted { .. }
        | StoreError::NoHandles { .. }
        | StoreError::Disk { .. }
        | StoreError::Sqlite { .. }
        | StoreError::RolledBack { .. } => Exit::Disk,
        // Its thread broke off.
        StoreError::Stopped => Exit::Bug,
    }
}

/// Complains of an avatar that nothing is known of.
pub fn print_unknown_avatar(id: &str) -> Exit {
    print_error(&format!("avatar-watch: no avatar `{}` in config or database", sanitize(id)));
    Exit::Bad
}

/// Prints a value as JSON.
pub fn json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => line(&escape_json(&text)),
        Err(error) => print_failure(&error),
    }
}

/// Prints a table, or `empty` when it has no rows.
pub fn table(header: &[&str], rows: Vec<Vec<String>>, empty: &str) {
    match rows.is_empty() {
        true => line(empty),
        false => line(&table_of(header, rows)),
    }
}

fn table_of(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.iter().map(|name| name.to_uppercase()));
    for row in rows {
        table.add_row(row.iter().map(|cell| sanitize(cell)));
    }
    let lines: Vec<String> =
        table.lines().map(|line| line.trim_end().trim_start_matches(' ').to_owned()).collect();
    lines.join("\n")
}

/// How long ago a time of a view was, for people.
pub fn age(at: &str, now: Timestamp) -> String {
    Timestamp::parse_rfc3339(at).map(|at| humanize(now.since(at))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::characters::{is_filler, is_unsafe};
    use crate::web::problem::json_line;

    /// Any text, most of it of characters that are not to be seen.
    fn hostile() -> impl Strategy<Value = String> {
        let is_hidden = |char: &char| is_unsafe(*char) || is_filler(*char);
        let hidden: Vec<char> = ('\0'..=char::MAX).filter(is_hidden).collect();
        let any = prop_oneof![prop::sample::select(hidden), any::<char>()];
        prop::collection::vec(any, 0..40).prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #[test]
        fn a_table_has_a_line_for_each_row_whatever_stands_in_it(
            cells in prop::collection::vec(hostile(), 1..6),
        ) {
            let rows = cells.iter().map(|cell| vec![cell.clone(), "end".to_owned()]).collect();
            let printed = lines_of(&table_of(&["name", "end"], rows));
            prop_assert!(!printed.contains(|it: char| it != '\n' && is_unsafe(it)), "{printed:?}");
            prop_assert_eq!(printed.lines().count(), cells.len() + 1);
            prop_assert!(printed.lines().skip(1).all(|line| line.ends_with("end")), "{printed:?}");
        }

        #[test]
        fn nothing_that_is_printed_is_obeyed_by_a_terminal(text in hostile()) {
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
