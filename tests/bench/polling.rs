//! The cost and the benefit of polling rules, by simulation: `cargo bench --bench polling`
//! prints the tables of `docs/polling.md`.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has failed")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

#[path = "../polling/mod.rs"]
mod polling;

fn main() {
    for table in polling::tables() {
        println!("{table}");
    }
    println!("{}", polling::retraining::table());
}
