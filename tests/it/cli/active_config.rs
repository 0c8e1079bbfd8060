//! `status --check` evaluates the active config: a file that is damaged, truncated or not reloaded
//! adds a finding and hides none.

use super::*;

/// The line and the exit code of a check.
fn check(bench: &Bench) -> (String, i32) {
    let output = bench.run(&["status", "--check"]);
    (stdout(&output), output.status.code().unwrap())
}

/// Damaged contents of a file with the expected finding; `None` for a removed file.
fn damages(good: &str) -> Vec<(&'static str, Option<Vec<u8>>, &'static str)> {
    let cut = |end: &str| Some(good.as_bytes()[..good.find(end).unwrap()].to_vec());
    let wide: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let conflict = format!("    let expected =
        "WARNING: no avatar is watched; there are no channels, so no notifications are sent | ";
    assert!(line.contains(expected) && code == 1, "{line}");
    assert!(daemon.stop().success());
}
