//! `avatar-watch completions`: what a shell needs to complete our command line. The one home of
//! `clap_complete`.

use crate::cli::args::{self, CompletionsArgs};
use crate::cli::exit::Exit;
use crate::cli::output::print;

/// Prints the script for that shell.
pub fn completions(args: &CompletionsArgs) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), PROGRAM, &mut script);
    print(&String::from_utf8_lossy(&script));
    Exit::Good
}

const PROGRAM: &str = "avatar-watch";
