//! `avatar-watch completions`: prints completion scripts. `clap_complete` is used only here.

use crate::cli::args::{self, CompletionsArgs};
use crate::cli::exit::Exit;
use crate::cli::output::print;

pub(crate) fn completions(args: &CompletionsArgs) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), PROGRAM, &mut script);
    print(&String::from_utf8_lossy(&script));
    Exit::Ok
}

const PROGRAM: &str = "avatar-watch";
