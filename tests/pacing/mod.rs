//! A simulation of polling: the same seeded trainings, polled by several rules, and what each
//! way cost and brought. `cargo bench --bench pacing` prints it, `docs/polling.md` shows it, and
//! `tests/it/poller/intervals.rs` holds the two together.
//!
//! Every wait, every jitter and every lesson is the product's own; only what Argil does, and when
//! somebody notices that a training began, is made up here.

use std::thread;

pub(crate) mod dice;
pub(crate) mod poll;
pub(crate) mod retraining;
pub(crate) mod table;
pub(crate) mod way;
pub(crate) mod world;

use table::Table;
use way::Way;
use world::World;

/// Lives every world in every way, and makes a table of each.
pub(crate) fn tables() -> Vec<Table> {
    thread::scope(|scope| {
        let worlds: Vec<_> =
            World::all().into_iter().map(|world| scope.spawn(|| table(world))).collect();
        worlds.into_iter().map(|world| world.join().unwrap()).collect()
    })
}

fn table(world: World) -> Table {
    let polls = Way::all(world.max).map(|way| (way.name, poll::live(&world.trainings, &way)));
    Table::of(&world, &polls)
}
