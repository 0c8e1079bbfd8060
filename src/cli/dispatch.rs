//! Dispatch: parses the command line, runs the command, returns its exit code.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use signal_hook::consts::SIGXFSZ;

use crate::cli::args::{AvatarsAction, Cli, Command};
use crate::cli::commands::avatars;
use crate::cli::commands::channels;
use crate::cli::commands::check;
use crate::cli::commands::completions;
use crate::cli::commands::db;
use crate::cli::commands::deliveries;
use crate::cli::commands::demo;
use crate::cli::commands::forget;
use crate::cli::commands::history;
use crate::cli::commands::init;
use crate::cli::commands::man;
use crate::cli::commands::run;
use crate::cli::commands::schema;
use crate::cli::commands::secret;
use crate::cli::commands::test;
use crate::cli::commands::wait;
use crate::cli::exit::Exit;
use crate::cli::output::printed;
use crate::cli::status;
use crate::telemetry::output_queue;
use crate::telemetry::panic_hook;

/// Runs the command that the command line names.
pub fn main() -> ExitCode {
    protect_memory();
    panic_hook::install_hook();
    // Without a handler, a write beyond the limit of a file's size would end the process.
    drop(signal_hook::flag::register(SIGXFSZ, Arc::default()));
    let exit = catch_panic(|| match Cli::try_parse() {
        Ok(cli) => command(&cli),
        Err(error) if error.use_stderr() => error.exit(),
        // The help or the version; clap colours it on a terminal.
        Err(help) => printed(help.print()),
    });
    output_queue::finish();
    exit.code().into()
}

/// Turns a panic into an exit code. Unwind safe, because the process ends without using the
/// state of the command.
fn catch_panic(run: impl FnOnce() -> Exit) -> Exit {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(Exit::Software)
}

fn command(cli: &Cli) -> Exit {
    let config = cli.config.as_deref();
    match &cli.command {
        Command::Demo(args) => demo::demo(args),
        Command::Run(args) => run::run(config, args),
        Command::Check(args) => check::check(config, args),
        Command::Avatars(args) => match &args.action {
            None => avatars::avatars(config, args),
            Some(AvatarsAction::Forget(args)) => forget::forget(config, args),
        },
        Command::Status(args) => status::status(config, args),
        Command::History(args) => history::history(config, args),
        Command::Deliveries(args) => deliveries::deliveries(config, args),
        Command::Channels(args) => channels::channels(config, args),
        Command::Db(args) => db::db(config, args),
        Command::Test(args) => test::test(config, args),
        Command::Wait(args) => wait::wait(config, args),
        Command::Init(args) => init::init(config, args),
        Command::Secret => secret::secret(),
        Command::Schema(args) => schema::schema(args),
        Command::Completions(args) => completions::completions(args),
        Command::Man(args) => man::man(args),
    }
}

/// Disables core dumps of this process and its children, and keeps other processes of the same
/// user from attaching to this one or reading its memory (`PR_SET_DUMPABLE`, prctl(2)). Errors
/// are ignored: the program works without it.
fn protect_memory() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // A core handler behind a pipe ignores the limit; it obeys `PR_SET_DUMPABLE`.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_exit_code_and_no_abort() {
        assert_eq!(
            catch_panic(|| std::panic::resume_unwind(Box::new("as the test asked for"))),
            Exit::Software
        );
        assert_eq!(catch_panic(|| Exit::TempFail), Exit::TempFail);
    }
}
