//! `avatar-watch demo`: the whole product on one screen.

use crate::cli::args::DemoArgs;
use crate::cli::exit::Exit;
use crate::cli::output::complain_of;
use crate::cli::runtime::block_on;
use crate::daemon::chance::Chance;
use crate::demo::tour::{TourError, Wishes, tour};

/// Makes the tour.
pub fn demo(args: &DemoArgs) -> Exit {
    match try_demo(args) {
        Ok(true) => Exit::Good,
        Ok(false) => Exit::Bad,
        Err(error) => {
            complain_of(&error);
            Exit::Bad
        }
    }
}

fn try_demo(args: &DemoArgs) -> Result<bool, TourError> {
    let seed = match args.seed {
        Some(seed) => seed,
        None => u64::from(Chance::from_entropy()?.roll().bits() as u32),
    };
    block_on(tour(Wishes {
        avatars: args.avatars,
        speed: args.speed,
        seed,
        until_settled: args.until_settled,
    }))?
}
