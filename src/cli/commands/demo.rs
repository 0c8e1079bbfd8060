//! `avatar-watch demo`: runs the daemon against a simulated Argil and a receiver.

use crate::cli::args::DemoArgs;
use crate::cli::exit::Exit;
use crate::cli::output::failed;
use crate::cli::runtime::block_on;
use crate::daemon::rng::Rng;
use crate::demo::runner::{DemoError, DemoOptions, run};

pub(crate) fn demo(args: &DemoArgs) -> Exit {
    match try_demo(args) {
        Ok(true) => Exit::Ok,
        Ok(false) => Exit::Failed,
        Err(error) => failed(&error, Exit::Failed),
    }
}

fn try_demo(args: &DemoArgs) -> Result<bool, DemoError> {
    let seed = match args.seed {
        Some(seed) => seed,
        None => u64::from(Rng::from_entropy()?.next_bits().bits() as u32),
    };
    block_on(run(DemoOptions {
        avatars: args.avatars,
        speed: args.speed,
        seed,
        until_settled: args.until_settled,
    }))?
}
