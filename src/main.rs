//! The binary: runs the command line and exits with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    avatar_watch::cli::dispatch::main()
}
