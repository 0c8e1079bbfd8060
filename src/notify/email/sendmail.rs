//! Mail by way of a program that takes it as `sendmail` does: the message on its standard
//! input, the recipient as an argument.
//!
//! The exit status is the verdict, read as `sysexits.h` means it; what the program complained of
//! is only quoted. One run is one try.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::domain::mail_address::MailAddress;
use crate::notify::email::program::{self, End, Ran};
use crate::notify::email::spec::SendmailSpec;
use crate::notify::fault::stopped;
use crate::notify::plain;

/// The program.
pub(super) struct Sendmail {
    spec: SendmailSpec,
}

impl Sendmail {
    pub(super) const fn new(spec: SendmailSpec) -> Self {
        Self { spec }
    }

    /// How long one try takes at most.
    pub(super) const fn attempt_max(&self) -> Duration {
        self.spec.timeout
    }

    /// Makes exactly one try. Without a sender, bounces go nowhere.
    pub(super) async fn deliver(
        &self,
        from: Option<&MailAddress>,
        to: &MailAddress,
        message: &[u8],
    ) -> Outcome {
        let (from, to) = (from.map(ToString::to_string), to.to_string());
        let sender = from.as_deref().unwrap_or(NULL_PATH);
        let arguments = ["-i", "-f", sender, "--", &to];
        // The program writes to a mailbox of this system, whose lines end as all lines here do.
        let message = with_unix_lines(message);
        let SendmailSpec { command, timeout } = &self.spec;
        let ran = program::run(command, &arguments, &message, *timeout).await;
        let arguments = command.iter().skip(1).filter_map(|argument| secret_of(argument));
        let hidden: Vec<String> = from.into_iter().chain([to]).chain(arguments).collect();
        self.judge(&ran, &hidden)
    }

    /// Whether there is such a program, and whether we may run it; nothing is run.
    pub(super) fn probe(&self) -> Outcome {
        let may_run = |path: &Path| {
            path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
        };
        if may_run(Path::new(self.name())) {
            return Outcome::new(OutcomeClass::Delivered, SENDMAIL);
        }
        let text = format!("`{}` is no program that can be run", self.name());
        stopped(OutcomeClass::Misconfigured, SENDMAIL, text)
    }

    fn name(&self) -> &str {
        self.spec.command.first().map_or("", String::as_str)
    }

    fn judge(&self, ran: &Ran, hidden: &[String]) -> Outcome {
        let name = self.name();
        let (class, said) = match &ran.end {
            End::Exit(0) => return Outcome::new(OutcomeClass::Delivered, SENDMAIL),
            End::Exit(code) => (class_of(*code), format!("exited with {code}{}", meaning(*code))),
            End::Signal { signal, fed: true } => {
                let text = format!("was killed by signal {signal}; it may have taken the mail");
                (OutcomeClass::Ambiguous, text)
            }
            End::Signal { signal, fed: false } => {
                (OutcomeClass::Local, format!("was killed by signal {signal}"))
            }
            End::Late { fed: true } => {
                let text = "did not end in time, and was killed; it may have taken the mail";
                (OutcomeClass::Ambiguous, text.to_owned())
            }
            End::Late { fed: false } => {
                (OutcomeClass::Retryable, "did not read the mail in time".to_owned())
            }
            End::NotStarted(error) => (start_class(error), format!("cannot be run: {error}")),
        };
        Outcome {
            snippet: plain::snippet(&ran.complaint, hidden),
            ..stopped(class, SENDMAIL, format!("`{name}` {said}"))
        }
    }
}

impl fmt::Debug for Sendmail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sendmail").field("program", &self.name()).finish_non_exhaustive()
    }
}

/// What of an argument may be a secret, which programs repeat when they complain: its value, not
/// its name.
fn secret_of(argument: &str) -> Option<String> {
    let value = match argument.strip_prefix('-') {
        Some(option) => option.split_once('=')?.1,
        None => argument,
    };
    (value.len() >= SECRET_BYTES_MIN).then(|| value.to_owned())
}

/// Why a program cannot be started: a human has to mend it, or this machine lacks something.
pub(super) fn start_class(error: &io::Error) -> OutcomeClass {
    match error.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::NotADirectory => OutcomeClass::Misconfigured,
        _ => OutcomeClass::Local,
    }
}

/// What an exit status means (`sysexits.h`).
const fn class_of(code: i32) -> OutcomeClass {
    match code {
        DATA_ERR | NO_USER | NO_HOST => OutcomeClass::Rejected,
        USAGE | SOFTWARE | NO_PERM | CONFIG => OutcomeClass::Misconfigured,
        _ => OutcomeClass::Retryable,
    }
}

/// The word for an exit status, where it has one.
const fn meaning(code: i32) -> &'static str {
    match code {
        USAGE => " (usage)",
        DATA_ERR => " (bad message)",
        NO_USER => " (no such user)",
        NO_HOST => " (no such host)",
        69 => " (unavailable)",
        SOFTWARE => " (error of the program)",
        71 => " (error of the system)",
        73 => " (cannot write)",
        74 => " (input or output failed)",
        75 => " (later)",
        NO_PERM => " (not permitted)",
        CONFIG => " (its settings)",
        _ => "",
    }
}

fn with_unix_lines(message: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(message.len());
    for (at, &byte) in message.iter().enumerate() {
        if byte != b'\r' || message.get(at + 1) != Some(&b'\n') {
            lines.push(byte);
        }
    }
    lines
}

/// The phase of every outcome: it is the only step there is.
const SENDMAIL: &str = "sendmail";
const NULL_PATH: &str = "<>";
/// Shorter values are words, not secrets.
const SECRET_BYTES_MIN: usize = 6;
const USAGE: i32 = 64;
const DATA_ERR: i32 = 65;
const NO_USER: i32 = 67;
const NO_HOST: i32 = 68;
const SOFTWARE: i32 = 70;
const NO_PERM: i32 = 77;
const CONFIG: i32 = 78;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_status_means_one_thing() {
        let check = |codes: &[i32], expected| {
            for &code in codes {
                assert_eq!(class_of(code), expected, "for {code}");
            }
        };
        check(&[65, 67, 68], OutcomeClass::Rejected);
        check(&[64, 70, 77, 78], OutcomeClass::Misconfigured);
        check(&[1, 2, 66, 69, 71, 72, 73, 74, 75, 76, 126, 127, 255], OutcomeClass::Retryable);
    }

    #[test]
    fn lines_end_as_they_do_on_this_system() {
        assert_eq!(with_unix_lines(b"a\r\n\r\nb\rc\r\n"), b"a\n\nb\rc\n");
    }
}
