//! The threats of `docs/security.md`, each with the tests that verify its protection.

mod secrets;
mod files;

use std::fs;
use std::path::Path;

use crate::faults::is_test;

#[test]
fn every_threat_names_existing_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let (_, threats) = text.split_once("## Threats\n").unwrap();
    let (threats, _) = threats.split_once("\n## ").unwrap();
    let rows: Vec<&str> = threats.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert!(rows.len() >= 12, "{rows:#?}");
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test verifies `{row}`");
        for name in named {
            let there = if name.contains("::") { is_test(name) } else { root.join(name).exists() };
            assert!(there, "the test `{name}` does not exist");
        }
    }
}
