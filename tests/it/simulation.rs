//! A seeded simulation of world, crash and clock: both loops on a real store, between an API
//! and receivers that behave as the seed wants, killed at any await, reloaded, stopped, their
//! clock set; and an oracle that judges what came of it.
//!
//! One thread a world and no time but the hand's. The seed fixes the world and what is done to
//! it. One thing it cannot fix: the store writes on a thread of its own, so when the loops are
//! killed between two of its answers, how far it had come may differ from run to run. A write
//! that was handed over is always made, as after a kill that came just later; a torn write is for
//! the tests with real processes. In exchange, a failing seed nearly always fails again:
//!
//! - `AVATAR_WATCH_SIM_SEEDS=2000` runs as many seeds,
//! - `AVATAR_WATCH_SIM_SEED=17` runs that one.

use std::env;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use avatar_watch::domain::time::monotonic::Monotonic;

mod history;
mod oracle;
mod oracle_conditions;
mod oracle_delivery;
mod oracle_rate_limits;
mod oracle_tests;
mod oracle_trainings;
mod action;
mod random;
mod environment;

use history::History;

/// Lives one seed to its end.
fn simulate(seed: u64) -> History {
    // One task at a turn, so that a crash can fall between any two.
    let runtime = tokio::runtime::Builder::new_current_thread().event_interval(1).build();
    runtime.unwrap().block_on(action::Stage::play(seed))
}

#[test]
fn nothing_is_lost_or_invented_or_notified_twice_in_any_seeded_world() {
    let seeds: Vec<u64> = match (number("SIM_SEED"), number("SIM_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, count) => (0..count.unwrap_or(SEEDS)).collect(),
    };
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(THREADS_MAX);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(*seed, &simulate(*seed));
                }
            });
        }
    });
}

#[track_caller]
fn check(seed: u64, history: &History) {
    let violations = oracle::judge(history);
    assert!(
        violations.is_empty(),
        "seed {seed}: {violations:#?}\nrun it again with AVATAR_WATCH_SIM_SEED={seed}"
    );
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(format!("AVATAR_WATCH_{name}")).ok()?;
    Some(text.parse().unwrap())
}

/// Hours between two moments.
fn hours(from: Monotonic, to: Monotonic) -> f64 {
    to.since(from).as_secs_f64() / 3600.0
}

/// As many as a debug build does in some seconds.
const SEEDS: u64 = 100;
/// Worlds at once; each has its own thread.
const THREADS_MAX: usize = 4;
