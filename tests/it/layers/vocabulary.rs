//! The words of the field: what must not come back, and what is written instead.

use std::fs;
use std::path::{Path, PathBuf};

/// A word that is not used, and what is used instead. Names of code count word by word.
const WORDS: &[(&str, &str)] = &[
    ("amid", "during"),
    ("anew", "again"),
    ("beforehand", "in advance"),
    ("bell", "wakeup"),
    ("blind", "unavailable"),
    ("bookmark", "cursor"),
    ("cadence", "interval"),
    ("errand", "task"),
    ("glimpse", "signal"),
    ("hasten", "expedite"),
    ("hastens", "expedites"),
    ("headline", "summary"),
    ("herald", "operator alerts"),
    ("janitor", "retention"),
    ("lane", "account queue"),
    ("look", "poll"),
    ("looked", "polled"),
    ("looking", "polling"),
    ("looks", "polls"),
    ("mend", "fix"),
    ("mended", "fixed"),
    ("mends", "fixes"),
    ("moment", "time"),
    ("nobody", "name the subject"),
    ("outlet", "channel"),
    ("parcel", "message"),
    ("roster", "list"),
    ("seal", "hash"),
    ("sight", "reachable"),
    ("stuck", "stalled"),
    ("tell", "notify, report, publish"),
    ("telling", "notifying"),
    ("tells", "notifies, reports"),
    ("told", "notified, reported"),
    ("tries", "attempts"),
    ("trouble", "failure"),
    ("troubled", "failing"),
    ("troubles", "failures"),
    ("unseen", "unreachable"),
    ("untold", "unreported"),
    ("vigil", "wait"),
    ("whoever", "name the subject"),
    ("whom", "name the subject"),
    ("whose", "name the subject"),
    ("witness", "detector"),
];

/// The same for several words in a row.
const PHRASES: &[(&str, &str)] = &[
    ("a try", "an attempt"),
    ("be had", "available"),
    ("by hand", "manually"),
    ("each try", "each attempt"),
    ("every try", "every attempt"),
    ("for ever", "forever"),
    ("give up", "discard, fail"),
    ("given up", "moved to dead letters"),
    ("gives up", "discards, fails"),
    ("in force", "active"),
    ("left out", "suppressed, omitted"),
    ("one try", "one attempt"),
    ("out of sight", "unreachable"),
    ("take up", "apply, read"),
    ("taken up", "applied, read"),
    ("the try", "the attempt"),
    ("the way to", "the route to, how to"),
    ("under way", "in progress, in flight"),
];

/// Where a word stays, and why; an empty word is every word.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("packaging/deb/copyright", "whom", "the MIT license says so"),
    ("systemd/avatar-watch.service", "whom", "an option of systemctl"),
    ("tests/it/layers/vocabulary.rs", "", "this list"),
];

/// Names of the public contract that contain a word, and stay.
const NAMES: [&str; 1] = ["infer_unseen_training"];

#[test]
fn the_words_of_the_field_are_used_everywhere() {
    let mut found = Vec::new();
    let mut files = 0;
    for (name, text) in texts() {
        files += 1;
        for (number, line) in text.lines().enumerate() {
            let line = NAMES.iter().fold(line.to_owned(), |line, name| line.replace(name, ""));
            let words = words(&line);
            for (word, instead) in WORDS {
                if words.iter().any(|it| it == word) {
                    found.push((name.clone(), number + 1, *word, *instead));
                }
            }
            let line = format!(" {} ", words.join(" "));
            for (phrase, instead) in PHRASES {
                if line.contains(&format!(" {phrase} ")) {
                    found.push((name.clone(), number + 1, *phrase, *instead));
                }
            }
        }
    }
    assert!(files > 200, "the files were not found: {files}");
    for (file, word, _) in ALLOWED {
        let is_it = |name: &str, it: &str| name == *file && (word.is_empty() || it == *word);
        let before = found.len();
        found.retain(|(name, _, it, _)| !is_it(name, it));
        assert!(found.len() < before, "`{word}` is no longer in `{file}`: allow it no more");
    }
    let count = found.len();
    let lines: Vec<String> = found
        .into_iter()
        .map(|(name, line, word, instead)| format!("{name}:{line}: `{word}`: {instead}"))
        .collect();
    assert!(lines.is_empty(), "{count} words of a dialect:\n{}", lines.join("\n"));
}

/// Every text that people read, by its path: the code and its tests, docs, examples, units.
fn texts() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = TOP.iter().map(|name| root.join(name)).collect();
    let mut texts = Vec::new();
    while let Some(path) = folders.pop() {
        if path.is_dir() {
            folders.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Ok(text) = fs::read_to_string(&path) {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            texts.push((name.to_owned(), text));
        }
    }
    texts.sort();
    texts
}

/// The words of a line in lower case, those inside of `snake_case` and `CamelCase` too.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for char in line.chars() {
        let begins = char.is_uppercase() && before.is_lowercase();
        if begins || !char.is_alphabetic() {
            words.push(String::new());
        }
        if char.is_alphabetic() {
            words.last_mut().unwrap().extend(char.to_lowercase());
        }
        before = char;
    }
    words.retain(|word| !word.is_empty());
    words
}

const TOP: [&str; 16] = [
    ".ci",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "config.example.toml",
    "docs",
    "packaging",
    "src",
    "systemd",
    "tests/README.md",
    "tests/bench",
    "tests/it",
    "tests/memory",
    "tests/polling",
];
