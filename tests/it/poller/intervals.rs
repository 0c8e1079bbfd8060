//! Compares `docs/polling.md` with the simulation that prints its tables. The seed is fixed, so the
//! result is deterministic.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use simulated::retraining::{self, RetrainingTable};
use simulated::rule::{ADAPTIVE, BY_AGE};
use simulated::scenario;
use simulated::table::{Row, Table};

#[path = "../../polling/mod.rs"]
mod simulated;

static TABLES: LazyLock<Vec<Table>> = LazyLock::new(simulated::tables);
static RETRAININGS: LazyLock<RetrainingTable> = LazyLock::new(retraining::table);

#[test]
fn the_tables_of_the_docs_are_what_the_simulation_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/polling.md");
    let docs = fs::read_to_string(path).unwrap();
    let tables = TABLES.iter().map(Table::to_string);
    let printed: Vec<String> = tables.chain([RETRAININGS.to_string()]).collect();
    let printed = printed.join("\n");
    let first = printed.lines().next().unwrap();
    let docs = docs.find(first).map(|place| &docs[place..]).unwrap_or_default();
    let (docs, printed) = (words(docs), words(&printed));
    assert_eq!(docs.len(), printed.len(), "`cargo bench --bench polling` prints other tables");
    for (written, computed) in docs.iter().zip(&printed) {
        assert!(
            agree(written, computed),
            "docs/polling.md has `{written}`, `cargo bench --bench polling` prints `{computed}`"
        );
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// Whether two words are equal, or nearly equal numbers: logarithms may differ in their last digit
/// between machines, and a slightly later poll changes a figure a little.
fn agree(written: &str, computed: &str) -> bool {
    match (written.parse::<f64>(), computed.parse::<f64>()) {
        (Ok(one), Ok(other)) => (one - other).abs() <= one.abs().max(other.abs()) * LAST_DIGITS,
        _ => written == computed,
    }
}

#[test]
fn the_forecast_is_nowhere_worse_than_the_age() {
    for table in TABLES.iter() {
        let (by_age, adaptive) = both(table, "all");
        let name = table.name;
        assert!(
            adaptive.requests <= by_age.requests * REQUESTS_TOLERANCE,
            "{name}: {adaptive:?} against {by_age:?}"
        );
        assert!(
            adaptive.delay_s <= by_age.delay_s * DELAY_TOLERANCE,
            "{name}: {adaptive:?} against {by_age:?}"
        );
    }
}

#[test]
fn the_forecast_wins_where_lengths_are_predictable() {
    let check = |name: &str, part: &str, factor: f64| {
        let table = TABLES.iter().find(|table| table.name == name).unwrap();
        let (by_age, adaptive) = both(table, part);
        assert!(
            adaptive.delay_s <= by_age.delay_s * factor,
            "{name}, {part}: {adaptive:?} against {by_age:?}"
        );
    };
    check(scenario::IMAGES, "all", 0.8);
    check(scenario::HABIT, "all", 0.6);
    check(scenario::WIDE, "all", 0.25);
    check(scenario::MIXTURE, "image, ready", 0.8);
    check(scenario::CHANGE, "all", 0.2);
}

#[test]
fn the_age_decides_where_lengths_are_not_predictable() {
    let check = |name: &str| {
        let table = TABLES.iter().find(|table| table.name == name).unwrap();
        let (_, adaptive) = both(table, "all");
        assert!(adaptive.by_forecast < 0.5, "{name}: {adaptive:?}");
    };
    check(scenario::LATE);
    check(scenario::ANYTHING);
}

#[test]
fn a_retraining_soon_after_an_outcome_is_notified() {
    let row = |settled| {
        let mut rows = RETRAININGS.0.iter();
        let row = rows.find(|it| it.begins == retraining::FIRST && it.settled == settled).unwrap();
        assert_eq!(row.duration.as_secs(), 20);
        row.notified
    };
    assert!(row(retraining::DEFAULT) >= 0.95, "{}", row(retraining::DEFAULT));
    assert!(row("1h") < 0.1, "with an interval of an hour it was lost");
}

/// The rows of a part for age and forecast.
fn both<'a>(table: &'a Table, part: &str) -> (&'a Row, &'a Row) {
    let row = |rule| table.rows.iter().find(|row| row.part == part && row.rule == rule).unwrap();
    (row(BY_AGE), row(ADAPTIVE))
}

/// Tolerance for differences between machines.
const LAST_DIGITS: f64 = 0.03;
/// How much the forecast may exceed the request budget: the future is not the past.
const REQUESTS_TOLERANCE: f64 = 1.03;
/// How much its mean delay may exceed that of the age: where both are equal, they differ by chance.
const DELAY_TOLERANCE: f64 = 1.02;
