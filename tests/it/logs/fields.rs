//! docs/logs.md lists exactly the fields that the program logs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const MACROS: [&str; 6] = ["error!(", "warn!(", "info!(", "debug!(", "trace!(", SPAN];
const SPAN: &str = "error_span!(";

#[test]
fn the_guide_names_every_field_and_no_other() {
    let mut logged = BTreeSet::new();
    for file in sources(&root().join("src")) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("\n#[cfg(test)]").next().unwrap();
        for name in MACROS {
            let calls = code.split(name).skip(1);
            logged.extend(calls.flat_map(|call| fields(&inside(call), name == SPAN)));
        }
    }
    assert!(logged.contains("request.id") && logged.contains("suppressed"), "{logged:?}");
    let guide = fs::read_to_string(root().join("docs/logs.md")).unwrap();
    let table = guide.split("\n## Fields\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let row =
        |line: &str| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name.to_owned());
    let notified: BTreeSet<String> = table.lines().filter_map(row).collect();
    assert_eq!(notified, logged);
    for name in &notified {
        let in_journal = format!("`{}`", name.to_uppercase().replace('.', "_"));
        assert!(table.contains(&in_journal), "{in_journal} is not in the table");
    }
}

/// The text between the parentheses, without string literals.
fn inside(call: &str) -> String {
    let (mut depth, mut quoted, mut escaped, mut kept) = (0, false, false, String::new());
    for char in call.chars() {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => {
                quoted = !quoted;
                kept.push('"');
            }
            _ if quoted => {}
            ')' if depth == 0 => break,
            '(' | ')' => {
                depth += if char == '(' { 1 } else { -1 };
                kept.push(char);
            }
            _ => kept.push(char),
        }
    }
    kept
}

/// The fields before the message; those of a span follow its name.
fn fields(call: &str, is_span: bool) -> BTreeSet<String> {
    let pieces = call.split(',').map(str::trim);
    let field = |piece: &str| {
        let name = piece.split('=').next().unwrap().trim();
        let named = |char: char| char.is_ascii_lowercase() || char == '.' || char == '_';
        (!name.is_empty() && name.chars().all(named)).then(|| name.to_owned())
    };
    let pieces: Vec<&str> = if is_span {
        pieces.skip(1).collect()
    } else {
        pieces.take_while(|piece| !piece.starts_with('"')).collect()
    };
    pieces.into_iter().filter_map(field).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
