//! The threats of `docs/security.md`, each with the tests that verify its protection; and the
//! daemon with a hostile API.

mod secrets;
mod files;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::faults::is_test;
use crate::harness::argil::{Answer, FakeArgil};
use crate::harness::config::Config;
use crate::harness::daemon::{Bench, memory_peak_kib};

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

/// Lists that are small when compressed and large in memory.
fn bombs() -> Vec<Vec<u8>> {
    let elements = [
        "{}",
        "0",
        "[]",
        r#"{"extras":{"a":"b","c":{"d":[]}}}"#,
        r#"{"id":"x","status":"IDLE","extras":{"a":"b"}}"#,
    ];
    let bomb = |element: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let many = format!("{element},").repeat(10_000);
        encoder.write_all(b"[").unwrap();
        for _ in 0..8 * 1024 * 1024 / many.len() {
            encoder.write_all(many.as_bytes()).unwrap();
        }
        encoder.write_all(format!("{element}]").as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    elements.map(bomb).to_vec()
}

#[test]
fn compressed_lists_do_not_exhaust_the_memory() {
    for bomb in bombs() {
        let argil = FakeArgil::start();
        argil.set_status("a1", "TRAINING");
        argil.answer_with(move |request| {
            let is_list = !request.path.contains("/avatars/");
            let answer = Answer::status(200, bomb.clone()).with("content-encoding", "gzip");
            is_list.then_some(answer)
        });
        let config = Config::new(argil.base_url()).avatar("a1");
        let list = "[poll]\nstrategy = \"list\"\n";
        let bench = Bench::new(&config.text().replace("[poll]\n", list));
        let daemon = bench.start();
        daemon.wait_for_log("list poll of account");
        daemon.wait_for_log("avatar `a1`: baseline TRAINING");
        let peak = memory_peak_kib(&daemon.pid().to_string()) / 1024;
        assert!(peak < MEMORY_MAX_MIB / 2, "{peak} MiB");
        assert!(daemon.stop().success());
    }
}

/// The memory limit of the unit (`MemoryMax=`).
const MEMORY_MAX_MIB: u64 = 160;
