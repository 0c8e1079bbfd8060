//! `avatar-watch secret`: prints a new secret for signing webhooks.

use crate::cli::exit::Exit;
use crate::cli::output::{line, print_failure};
use crate::signing_secret::{FRESH_BYTES, SigningSecret};

pub(crate) fn secret() -> Exit {
    let mut bytes = [0; FRESH_BYTES];
    if let Err(error) = getrandom::fill(&mut bytes) {
        print_failure(&std::io::Error::from(error));
        return Exit::Disk;
    }
    line(&SigningSecret::from_random(bytes).reveal());
    Exit::Ok
}
