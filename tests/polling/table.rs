//! The figures of each polling rule in a scenario, as Markdown.

use std::fmt;
use std::time::Duration;

use super::scenario::{Part, Scenario};
use super::simulation::SimulatedTraining;

/// The result of a scenario.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    text: &'static str,
    pub(crate) rows: Vec<Row>,
}

/// The result of a group of trainings with one rule.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) part: &'static str,
    pub(crate) rule: &'static str,
    /// From the end of a training to the poll that shows it, mean.
    pub(crate) delay_s: f64,
    /// The same, 99th percentile.
    pub(crate) delay_p99_s: f64,
    /// The polls of a training after the one that first showed it, mean.
    pub(crate) requests: f64,
    /// The share of trainings that were polled by a forecast.
    pub(crate) by_forecast: f64,
}

impl Table {
    /// The table of a scenario, from the simulation with each rule.
    pub(crate) fn of(
        scenario: &Scenario,
        rules: &[(&'static str, Vec<SimulatedTraining>)],
    ) -> Self {
        let row = |part: &Part, rule, polls: &[SimulatedTraining]| {
            let of_part = scenario.trainings.iter().zip(polls).enumerate();
            let polls = of_part
                .filter(|(number, (training, _))| (part.holds)(*number, training))
                .map(|(_, (_, poll))| *poll);
            Row::of(part.name, rule, &polls.collect::<Vec<_>>())
        };
        let rows = scenario
            .parts
            .iter()
            .flat_map(|part| rules.iter().map(move |(rule, polls)| row(part, *rule, polls)));
        Self { name: scenario.name, text: scenario.text, rows: rows.collect() }
    }
}

impl Row {
    fn of(part: &'static str, rule: &'static str, polls: &[SimulatedTraining]) -> Self {
        let count = polls.len() as f64;
        let delays = polls.iter().map(|poll| poll.delay).collect();
        let (delay_s, delay_p99_s) = mean_and_p99(delays).unwrap();
        Self {
            part,
            rule,
            delay_s,
            delay_p99_s,
            requests: polls.iter().map(|poll| f64::from(poll.requests)).sum::<f64>() / count,
            by_forecast: polls.iter().filter(|poll| poll.by_forecast).count() as f64 / count,
        }
    }
}

/// The mean and the 99th percentile, in seconds; `None` without any.
pub(crate) fn mean_and_p99(mut delays: Vec<Duration>) -> Option<(f64, f64)> {
    delays.sort();
    let count = delays.len() as f64;
    let rank = (count * 0.99).ceil() as usize;
    let p99 = delays.get(rank.checked_sub(1)?)?;
    Some((delays.iter().sum::<Duration>().as_secs_f64() / count, p99.as_secs_f64()))
}

/// The heading, the description and the table.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n\n{}\n", self.name, self.text)?;
        writeln!(f, "| trainings | polled | delay, mean | delay, p99 | requests | by forecast |")?;
        writeln!(f, "| --- | --- | ---: | ---: | ---: | ---: |")?;
        for Row { part, rule, delay_s, delay_p99_s, requests, by_forecast } in &self.rows {
            let (mean, p99, requests) = (short(*delay_s), short(*delay_p99_s), short(*requests));
            let share = by_forecast * 100.0;
            writeln!(f, "| {part} | {rule} | {mean} s | {p99} s | {requests} | {share:.0} % |")?;
        }
        Ok(())
    }
}

/// Rounded to the digits that are significant.
pub(crate) fn short(figure: f64) -> String {
    let digits = if figure < 9.995 { 2 } else { usize::from(figure < 99.95) };
    format!("{figure:.digits$}")
}
