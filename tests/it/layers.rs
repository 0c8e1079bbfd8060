//! The rules of the code that a program can check: which module imports which, where each vendor
//! crate is used, the one clock, the size of files.
mod structure;
mod vocabulary;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A source file, with its test part cut off.
pub(crate) struct Source {
    /// Its path below `src`, such as `store/handle.rs`.
    pub(crate) name: String,
    /// Its text, without what stands under `#[cfg(test)]`, and without comments.
    pub(crate) code: String,
    lines: usize,
    whole: String,
}

/// Each module with the modules that it may import from, from the top: all stand in later rows.
const IMPORTS: [(&str, &str); 20] = [
    ("main", "cli"),
    (
        "cli",
        "demo daemon web store config notify argil runtime domain secret signing_secret telemetry \
         files text",
    ),
    (
        "demo",
        "daemon web store config notify argil runtime domain secret signing_secret telemetry files",
    ),
    (
        "daemon",
        "web store config notify argil runtime domain secret signing_secret telemetry files text",
    ),
    ("web", "store runtime domain secret text"),
    ("store", "domain files text"),
    ("config", "domain secret signing_secret files text"),
    ("notify", "tls_failure mask domain secret signing_secret content_coding network files text"),
    ("argil", "tls_failure mask domain secret content_coding network text"),
    ("runtime", "domain"),
    ("tls_failure", "domain text"),
    ("mask", "text"),
    ("domain", "text"),
    ("secret", "files"),
    ("signing_secret", ""),
    ("telemetry", "text"),
    ("content_coding", ""),
    ("network", ""),
    ("files", ""),
    ("text", ""),
];

/// Each vendor crate that has a home, and the files that may name it.
const HOMES: &[(&str, &[&str])] = &[
    ("nix", &["store/", "files/users.rs"]),
    ("rusqlite", &["store/"]),
    ("tempfile", &["files/write.rs", "store/", "cli/commands/init.rs", "demo/runner.rs"]),
    (
        "reqwest",
        &[
            "argil/client.rs",
            "argil/pool.rs",
            "cli/status/readiness_probe.rs",
            "notify/webhook/client.rs",
            "notify/heartbeat.rs",
            "notify/webhook/body.rs",
            "notify/webhook/sender.rs",
        ],
    ),
    ("lettre", &["notify/email/"]),
    ("tokio_rustls", &["notify/email/", "notify/webhook/tls_check.rs"]),
    ("rustls_native_certs", &["notify/root_certificates.rs"]),
    ("idna", &["domain/mail/domain.rs"]),
    ("ipnet", &["domain/delivery/egress_policy.rs"]),
    ("toml", &["config/"]),
    ("backoff", &["domain/polling/backoff.rs"]),
    ("signal_hook", &["cli/prompt.rs", "cli/dispatch.rs", "daemon/supervision/signals.rs"]),
    ("signal_hook_tokio", &["daemon/supervision/signals.rs"]),
    ("axum", &["web/"]),
    ("hyper", &["notify/transport_error.rs", "web/http/server.rs"]),
    ("httparse", &["notify/webhook/tunnel.rs"]),
    ("hyper_util", &["web/http/server.rs"]),
    ("tokio_io_timeout", &["web/http/server.rs"]),
    ("tokio_util", &["daemon/"]),
    ("clap", &["cli/args/mod.rs", "cli/args/admin.rs", "cli/dispatch.rs"]),
    ("clap_complete", &["cli/args/mod.rs", "cli/commands/completions.rs"]),
    ("clap_mangen", &["cli/commands/man.rs"]),
    ("roff", &["cli/commands/man.rs"]),
    ("sd_notify", &["daemon/background/systemd.rs"]),
    ("governor", &["daemon/poller/account/rate_limiter.rs"]),
    ("prometheus_client", &["runtime/metrics.rs"]),
    ("minijinja", &["notify/format/template.rs"]),
    ("unicode_segmentation", &["notify/format/truncate.rs"]),
    ("jiff", &["domain/time/timestamp.rs", "domain/time/time_zone.rs", "cli/local_time.rs"]),
    ("mail_parser", &["cli/message_text.rs"]),
    ("comfy_table", &["cli/table.rs"]),
    ("indicatif", &["cli/progress_bar.rs"]),
    ("tracing_subscriber", &["telemetry/"]),
    ("brotli_decompressor", &["content_coding.rs"]),
    ("flate2", &["content_coding.rs"]),
    ("ruzstd", &["content_coding.rs"]),
];

/// What asks for the time or throws dice, and the files that may: the clock, and the limits of
/// statements, which decide nothing and are no part of what a test's clock drives.
const CLOCKS: [&str; 4] = ["SystemTime::now", "Instant::now", "clock_gettime", "Utc::now"];
const CLOCK_HOMES: [&str; 2] = ["daemon/clock.rs", "store/sqlite/time_limit.rs"];

/// What makes or truncates a file, and the files that may: others could follow a link or take a
/// file that somebody else has planted.
const CREATORS: [(&str, &[&str]); 6] = [
    ("File::create", &[]),
    ("fs::write(", &[]),
    ("fs::copy(", &[]),
    (".truncate(true)", &[]),
    (".create(true)", &[]),
    (".create_new(", &["store/files/ownership.rs"]),
];

/// What the pure ground floor must not know.
const IMPURE: [&str; 8] =
    ["std::fs", "std::net", "std::env", "tokio", "serde", "tracing", "async ", ".await"];

#[test]
fn modules_import_only_from_layers_below() {
    for (row, (module, allowed)) in IMPORTS.iter().enumerate() {
        let is_below = |it: &str| IMPORTS[row + 1..].iter().any(|(below, _)| *below == it);
        assert!(allowed.split_whitespace().all(is_below), "`{module}` imports only from below");
    }
    for source in sources() {
        let module = module(&source.name);
        let (_, allowed) = IMPORTS
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("`{module}` is not in the table"));
        for import in imports(&source.code) {
            assert!(
                import == module || allowed.split_whitespace().any(|it| it == import),
                "`{}` imports `{import}`, which is not below `{module}`",
                source.name
            );
        }
    }
}

#[test]
fn vendor_crates_stay_at_home() {
    for source in sources() {
        for &(vendor, homes) in HOMES {
            if names_crate(&source.code, vendor) {
                assert!(
                    homes.iter().any(|home| source.name.starts_with(home)),
                    "`{}` names `{vendor}`, which is used only in {homes:?}",
                    source.name
                );
            }
        }
    }
}

#[test]
fn only_the_clock_asks_for_the_time() {
    for source in sources().iter().filter(|it| !CLOCK_HOMES.contains(&it.name.as_str())) {
        for clock in CLOCKS {
            assert!(!source.code.contains(clock), "`{}` has `{clock}`", source.name);
        }
    }
}

#[test]
fn only_one_file_makes_files() {
    for source in sources() {
        for (creator, homes) in CREATORS {
            let is_home = homes.contains(&source.name.as_str());
            assert!(is_home || !source.code.contains(creator), "`{}` has `{creator}`", source.name);
        }
    }
}

/// Opening and closing a file of the database releases the locks of the process on it, so the
/// daemon reads and writes on connections that stay open.
#[test]
fn the_daemon_opens_its_database_in_no_other_way() {
    for source in sources() {
        let is_daemon = ["daemon/", "web/"].iter().any(|layer| source.name.starts_with(layer));
        for opening in ["DeliveryAdmin", "Reader::snapshot", "snapshot::read", "copy::"] {
            let is_used = source.code.contains(opening);
            assert!(!(is_daemon && is_used), "`{}` has `{opening}`", source.name);
        }
    }
}

#[test]
fn the_domain_is_pure() {
    for source in sources().iter().filter(|source| source.name.starts_with("domain/")) {
        for impurity in IMPURE {
            assert!(!source.code.contains(impurity), "`{}` has `{impurity}`", source.name);
        }
    }
}

#[test]
fn files_are_small_and_say_what_they_are() {
    let tests = files(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"));
    let all = sources().into_iter().map(|s| (s.name, s.lines, s.whole)).chain(tests);
    for (name, lines, text) in all {
        assert!(lines <= LINES_MAX, "`{name}` has {lines} lines");
        let part_of_another = name.ends_with("_tests.rs");
        assert!(part_of_another || text.starts_with("//! "), "`{name}` does not say what it is");
        let long = text.lines().position(|line| line.chars().count() > COLUMNS_MAX);
        assert_eq!(long, None, "`{name}` has a line that is too long (counted from 0)");
    }
}

#[test]
fn nothing_unwraps_outside_of_tests() {
    for source in sources() {
        for word in [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "dbg!("] {
            assert!(!source.code.contains(word), "`{}` has `{word}`", source.name);
        }
    }
}

#[test]
fn the_map_has_every_module_above_those_that_it_imports() {
    let map = fs::read_to_string(src().join("lib.rs")).unwrap();
    let layer = |module: &str| -> u8 {
        let is_row = |row: &&str| row.starts_with("//! | ") && row.contains(&format!("`{module}`"));
        let row = map.lines().find(is_row).unwrap_or_else(|| panic!("no row for `{module}`"));
        row.split('|').nth(1).unwrap().trim().parse().unwrap()
    };
    for (module, allowed) in IMPORTS {
        for below in allowed.split_whitespace() {
            assert!(layer(below) < layer(module), "`{module}` imports `{below}`");
        }
    }
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

pub(crate) fn sources() -> Vec<Source> {
    let sources: Vec<Source> = files(src())
        .into_iter()
        .filter(|(name, ..)| name != "lib.rs" && !name.ends_with("_tests.rs"))
        .map(|(name, lines, whole)| {
            let code = whole.split("\n#[cfg(test)]").next().unwrap();
            let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            let code = code.collect::<Vec<_>>().join("\n");
            Source { name, code, lines, whole }
        })
        .collect();
    assert!(sources.len() > 50, "the sources were not found");
    sources
}

fn files(root: PathBuf) -> Vec<(String, usize, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push((name, text.lines().count(), text));
            }
        }
    }
    found
}

fn module(name: &str) -> &str {
    name.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The modules that a file names, in whatever form.
fn imports(code: &str) -> BTreeSet<String> {
    let start = |text: &str| {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        text[..end].to_owned()
    };
    let mut found: BTreeSet<String> = code.split("crate::").skip(1).map(start).collect();
    found.extend(code.split("avatar_watch::").skip(1).map(start));
    found.remove("");
    found
}

fn names_crate(code: &str, vendor: &str) -> bool {
    let begins = |before: &str| {
        let inside = |c: char| c.is_alphanumeric() || c == '_' || c == '.' || c == ':';
        !before.ends_with(inside) || before.ends_with(" ::")
    };
    let needle = format!("{vendor}::");
    code.match_indices(&needle).any(|(place, _)| begins(&code[..place]))
}

const LINES_MAX: usize = 500;
const COLUMNS_MAX: usize = 100;
