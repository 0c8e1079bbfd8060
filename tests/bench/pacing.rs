//! What the pace costs and brings, by simulation: `cargo bench --bench pacing` prints the tables
//! of `docs/polling.md`.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

#[path = "../pacing/mod.rs"]
mod pacing;

fn main() {
    for table in pacing::tables() {
        println!("{table}");
    }
    println!("{}", pacing::retraining::table());
}
