//! The program's door: parses the command line, runs the command, exits with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    avatar_watch::cli::dispatch::main().code().into()
}
