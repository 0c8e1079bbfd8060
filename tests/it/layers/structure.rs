//! The structure of `src`: no circle between files, and one meaning for each type name.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::sources;

#[test]
fn no_files_import_each_other_in_a_circle() {
    let sources = sources();
    let modules: BTreeSet<String> = sources.iter().map(|source| module(&source.name)).collect();
    let edges: HashMap<String, BTreeSet<String>> = sources
        .iter()
        .map(|source| {
            let own = module(&source.name);
            let mut imported = imported_modules(&source.code, &modules);
            imported.remove(&own);
            (own, imported)
        })
        .collect();
    let count: usize = edges.values().map(BTreeSet::len).sum();
    assert!(count > 500, "the imports were not found: {count}");
    for start in &modules {
        let mut reached = BTreeSet::new();
        let mut waiting = vec![start];
        while let Some(next) = waiting.pop() {
            for imported in &edges[next] {
                assert!(imported != start, "`{start}` imports itself through `{next}`");
                if reached.insert(imported) {
                    waiting.push(imported);
                }
            }
        }
    }
}

#[test]
fn no_type_name_has_two_meanings() {
    let mut homes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources() {
        for name in types(&source.code) {
            homes.entry(name).or_default().push(source.name.clone());
        }
    }
    assert!(homes.len() > 300, "the types were not found: {}", homes.len());
    let twice: Vec<_> = homes.into_iter().filter(|(_, files)| files.len() > 1).collect();
    assert!(twice.is_empty(), "defined more than once: {twice:#?}");
}

/// `daemon::poller` for `daemon/poller/mod.rs`.
fn module(name: &str) -> String {
    let name = name.trim_end_matches(".rs");
    name.trim_end_matches("/mod").replace('/', "::")
}

/// The longest module that each path of the crate begins with.
fn imported_modules(code: &str, modules: &BTreeSet<String>) -> BTreeSet<String> {
    let is_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':');
    code.split("crate::")
        .skip(1)
        .filter_map(|rest| {
            let end = rest.find(|c| !is_path(c)).unwrap_or(rest.len());
            let mut path = rest[..end].trim_end_matches(':');
            loop {
                if modules.contains(path) {
                    return Some(path.to_owned());
                }
                path = path.rsplit_once("::")?.0;
            }
        })
        .collect()
}

/// The names of the types that the code defines outside of functions.
fn types(code: &str) -> Vec<String> {
    let name = |line: &str| {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        let line = match line.strip_prefix("pub(") {
            Some(rest) => rest.split_once(") ")?.1,
            None => line,
        };
        let (keyword, rest) = line.split_once(' ')?;
        if !matches!(keyword, "struct" | "enum" | "trait" | "type" | "union") {
            return None;
        }
        let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        Some(rest[..end].to_owned())
    };
    code.lines().filter_map(name).collect()
}
