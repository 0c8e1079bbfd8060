//! `avatar-watch secret`: prints a new secret for signing webhooks.

use std::io;

use crate::cli::exit::Exit;
use crate::cli::output::{failed, line};
use crate::signing_secret::{FRESH_BYTES, SigningSecret};

pub(crate) fn secret() -> Exit {
    match fresh() {
        Ok(secret) => {
            line(&secret.reveal());
            Exit::Ok
        }
        Err(error) => failed(&error, Exit::Disk),
    }
}

/// A secret of random bytes.
pub(super) fn fresh() -> io::Result<SigningSecret> {
    let mut bytes = [0; FRESH_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(SigningSecret::from_random(bytes))
}
