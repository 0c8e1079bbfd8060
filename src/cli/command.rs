//! From a parsed command line to a command and its exit code.

use clap::Parser as _;

use crate::cli::args::{Cli, Command};
use crate::cli::exit::Exit;
use crate::cli::{
    channels, check, deliveries, demo, history, init, run, schema, secret, status, test, wait,
};

/// Parses the process's command line and does what it says.
pub fn main() -> Exit {
    let cli = Cli::parse();
    let config = cli.config.as_deref();
    match &cli.command {
        Command::Demo(args) => demo::demo(args),
        Command::Run(args) => run::run(config, args),
        Command::Check(args) => check::check(config, args),
        Command::Status(args) => status::status(config, args),
        Command::History(args) => history::history(config, args),
        Command::Deliveries(args) => deliveries::deliveries(config, args),
        Command::Channels(args) => channels::channels(config, args),
        Command::Test(args) => test::test(config, args),
        Command::Wait(args) => wait::wait(config, args),
        Command::Init(args) => init::init(config, args),
        Command::Secret => secret::secret(),
        Command::Schema(args) => schema::schema(args),
    }
}
