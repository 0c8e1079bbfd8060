//! `avatar-watch init`: writes a starter config; never over another file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::cli::args::InitArgs;
use crate::cli::exit::Exit;
use crate::cli::output::{complain, print};
use crate::config::starter::{StarterAnswers, starter};
use crate::domain::avatar::AvatarId;

/// Writes the config.
pub fn init(config: Option<&Path>, args: &InitArgs) -> Exit {
    if let Some(Err(error)) = args.avatar.as_deref().map(AvatarId::parse) {
        complain(&format!("avatar-watch: {error}"));
        return Exit::Problems;
    }
    let target = args.path.as_deref().or(config).unwrap_or(Path::new(DEFAULT_PATH));
    let answers = StarterAnswers {
        avatar_id: args.avatar.clone(),
        webhook_url: args.webhook.clone(),
        mail_to: args.mail_to.clone(),
    };
    let path = target.display();
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE_MODE)
        .open(target)
        .and_then(|mut file| file.write_all(starter(&answers).as_bytes()));
    match written {
        Ok(()) => {
            print(&next_steps(&path.to_string(), args));
            Exit::Good
        }
        Err(error) => {
            complain(&format!("avatar-watch: cannot write `{path}`: {error}"));
            if error.kind() == ErrorKind::AlreadyExists {
                complain("  help: name another path, or move that file away");
            }
            Exit::Bad
        }
    }
}

fn next_steps(path: &str, args: &InitArgs) -> String {
    let mut steps = format!("Wrote `{path}`. Next:\n  export ARGIL_API_KEY=…\n");
    if args.webhook.is_some() {
        steps.push_str("  export AVATAR_WATCH_WEBHOOK_SECRET=\"$(avatar-watch secret)\"");
        steps.push_str("   # your receiver needs it, too\n");
    }
    if args.mail_to.is_some() {
        steps.push_str("  export SMTP_PASSWORD=…\n");
    }
    steps.push_str(&format!("  avatar-watch --config {path} check --online\n"));
    steps.push_str(&format!("  avatar-watch --config {path} run\n"));
    steps
}

const DEFAULT_PATH: &str = "avatar-watch.toml";
const PRIVATE_MODE: u32 = 0o600;
