//! The figures of each polling rule in a world, as Markdown.

use std::fmt;
use std::time::Duration;

use super::poll::Poll;
use super::world::{Part, World};

/// What came of a world.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    says: &'static str,
    pub(crate) rows: Vec<Row>,
}

/// What came of a part of a world in one way.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) part: &'static str,
    pub(crate) way: &'static str,
    /// From the end of a training to the poll that shows it, on average.
    pub(crate) delay_s: f64,
    /// The same for the training that is later than 99 of 100.
    pub(crate) delay_p99_s: f64,
    /// The polls of a training, on average, after the one that first showed it.
    pub(crate) requests: f64,
    /// The share of trainings that were polled by a forecast.
    pub(crate) by_forecast: f64,
}

impl Table {
    /// Of what was seen of a world in each way.
    pub(crate) fn of(world: &World, ways: &[(&'static str, Vec<Poll>)]) -> Self {
        let row = |part: &Part, way, polls: &[Poll]| {
            let of_part = world.trainings.iter().zip(polls).enumerate();
            let polls = of_part
                .filter(|(number, (training, _))| (part.holds)(*number, training))
                .map(|(_, (_, poll))| *poll);
            Row::of(part.name, way, &polls.collect::<Vec<_>>())
        };
        let rows = world
            .parts
            .iter()
            .flat_map(|part| ways.iter().map(move |(way, polls)| row(part, *way, polls)));
        Self { name: world.name, says: world.says, rows: rows.collect() }
    }
}

impl Row {
    fn of(part: &'static str, way: &'static str, polls: &[Poll]) -> Self {
        let count = polls.len() as f64;
        let mut delays: Vec<Duration> = polls.iter().map(|poll| poll.delay).collect();
        delays.sort();
        let rank = (count * 0.99).ceil() as usize;
        Self {
            part,
            way,
            delay_s: delays.iter().sum::<Duration>().as_secs_f64() / count,
            delay_p99_s: delays[rank - 1].as_secs_f64(),
            requests: polls.iter().map(|poll| f64::from(poll.requests)).sum::<f64>() / count,
            by_forecast: polls.iter().filter(|poll| poll.by_forecast).count() as f64 / count,
        }
    }
}

/// A heading, what it is about, and the table.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n\n{}\n", self.name, self.says)?;
        writeln!(f, "| trainings | polled | delay, mean | delay, p99 | requests | by forecast |")?;
        writeln!(f, "| --- | --- | ---: | ---: | ---: | ---: |")?;
        for Row { part, way, delay_s, delay_p99_s, requests, by_forecast } in &self.rows {
            let (mean, p99, requests) = (short(*delay_s), short(*delay_p99_s), short(*requests));
            let share = by_forecast * 100.0;
            writeln!(f, "| {part} | {way} | {mean} s | {p99} s | {requests} | {share:.0} % |")?;
        }
        Ok(())
    }
}

/// With as many digits as mean something.
pub(crate) fn short(figure: f64) -> String {
    let digits = if figure < 9.995 { 2 } else { usize::from(figure < 99.95) };
    format!("{figure:.digits$}")
}
