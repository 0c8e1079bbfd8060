//! `avatar-watch init`: writes a starter config; never over another file.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use crate::cli::args::InitArgs;
use crate::cli::exit::Exit;
use crate::cli::output::{complain, print};
use crate::config::starter::{StarterAnswers, starter};

/// Writes the config.
pub fn init(args: &InitArgs) -> Exit {
    let answers = StarterAnswers {
        avatar_id: args.avatar.clone(),
        webhook_url: args.webhook.clone(),
        mail_to: args.mail_to.clone(),
    };
    let path = args.path.display();
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE_MODE)
        .open(&args.path)
        .and_then(|mut file| file.write_all(starter(&answers).as_bytes()));
    match written {
        Ok(()) => {
            print(&next_steps(&path.to_string()));
            Exit::Good
        }
        Err(error) => {
            complain(&format!("avatar-watch: cannot write `{path}`: {error}"));
            Exit::Bad
        }
    }
}

fn next_steps(path: &str) -> String {
    format!(
        "Wrote `{path}`. Next:
  export ARGIL_API_KEY=…                                          # of your Argil workspace
  export AVATAR_WATCH_WEBHOOK_SECRET=\"$(avatar-watch secret)\"     # your receiver needs it, too
  avatar-watch --config {path} check --online
  avatar-watch --config {path} run
"
    )
}

const PRIVATE_MODE: u32 = 0o600;
