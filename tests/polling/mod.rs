//! A simulation of polling: the same random trainings, polled by several rules, with the delay and
//! the requests of each. `cargo bench --bench polling` prints it, `docs/polling.md` shows it, and
//! `tests/it/poller/intervals.rs` holds the two together.
//!
//! Intervals, jitter and forecasts are the product's own code; only the trainings, and when each is
//! first observed, are simulated.

use std::thread;

pub(crate) mod random_trainings;
pub(crate) mod simulation;
pub(crate) mod retraining;
pub(crate) mod table;
pub(crate) mod rule;
pub(crate) mod scenario;

use rule::PollingRule;
use scenario::Scenario;
use table::Table;

/// Simulates every scenario with every rule, and makes a table of each.
pub(crate) fn tables() -> Vec<Table> {
    thread::scope(|scope| {
        let scenarios: Vec<_> =
            Scenario::all().into_iter().map(|scenario| scope.spawn(|| table(scenario))).collect();
        scenarios.into_iter().map(|scenario| scenario.join().unwrap()).collect()
    })
}

fn table(scenario: Scenario) -> Table {
    let polls = PollingRule::all(scenario.max)
        .map(|rule| (rule.name, simulation::simulate(&scenario.trainings, &rule)));
    Table::of(&scenario, &polls)
}
