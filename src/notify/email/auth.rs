//! Authentication at a mail server: a password, or a token that a program prints.
//!
//! Invariants: no outcome contains either of them, in any form in which it was sent, nor any output
//! of the program. The output is checked by the rules of `text/secret_input.rs`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::domain::mail::options::LoginMethod;
use crate::notify::email::config::LoginSpec;
use crate::notify::email::sendmail::start_class;
use crate::notify::subprocess::{self, ExitReason, ProcessOutput};
use crate::notify::transport_error::failed_outcome;
use crate::secret::{CredentialSource, Secret};
use crate::text::secret_input::{SecretKind, clean};

/// The credentials of one attempt.
pub(super) struct Credential {
    method: LoginMethod,
    user: String,
    secret: Secret,
}

/// A SASL mechanism (RFC 4954).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    Plain,
    Login,
    Xoauth2,
}

impl Mechanism {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::Xoauth2 => "XOAUTH2",
        }
    }
}

impl Credential {
    /// In order of preference.
    pub(super) const fn mechanisms(&self) -> &'static [Mechanism] {
        match self.method {
            LoginMethod::Password => &[Mechanism::Plain, Mechanism::Login],
            LoginMethod::Xoauth2 => &[Mechanism::Xoauth2],
        }
    }

    /// The lines of the client: the command, then one reply for each challenge of the server.
    pub(super) fn lines(&self, mechanism: Mechanism) -> Vec<String> {
        let Self { user, secret, .. } = self;
        let command = format!("AUTH {}", mechanism.name());
        match mechanism {
            // Some servers ignore the initial response and ask for it; a further challenge is
            // answered with an empty line.
            Mechanism::Plain => {
                let initial = plain(user, secret);
                vec![format!("{command} {initial}"), initial, String::new()]
            }
            Mechanism::Login => {
                vec![command, STANDARD.encode(user), STANDARD.encode(secret.expose())]
            }
            // A challenge contains the reason of a refusal; an empty line requests the reply.
            Mechanism::Xoauth2 => {
                vec![format!("{command} {}", bearer(user, secret)), String::new()]
            }
        }
    }

    /// The forms in which a server could echo the credentials.
    pub(super) fn hidden(&self) -> [String; 4] {
        let Self { user, secret, .. } = self;
        let given = secret.expose();
        [given.to_owned(), STANDARD.encode(given), plain(user, secret), bearer(user, secret)]
    }
}

/// Fetches the credentials for one attempt; a program may take `limit`.
pub(super) async fn credential(login: &LoginSpec, limit: Duration) -> Result<Credential, Outcome> {
    let LoginSpec { user, method, credential } = login;
    let secret = match credential {
        CredentialSource::Given(secret) => secret.clone(),
        CredentialSource::Command(program) => {
            let kind = match method {
                LoginMethod::Password => SecretKind::Password,
                // A bearer token is ASCII (RFC 6750, section 2.1).
                LoginMethod::Xoauth2 => SecretKind::Key,
            };
            let ran = subprocess::run(program, &[], b"", limit).await;
            command_output(program.name(), &ran, kind)?
        }
    };
    Ok(Credential { method: *method, user: user.clone(), secret })
}

/// The password or token in the output of a program.
fn command_output(name: &str, ran: &ProcessOutput, kind: SecretKind) -> Result<Secret, Outcome> {
    let (class, text) = match &ran.exit {
        ExitReason::Exit(0) => match clean(&ran.stdout, kind) {
            Ok(secret) => return Ok(Secret::new(secret)),
            Err(error) => {
                let text = format!("printed one that {error} ({})", error.help());
                (OutcomeClass::Misconfigured, text)
            }
        },
        ExitReason::Exit(TEMP_FAIL) => {
            (OutcomeClass::Local, format!("exited with {TEMP_FAIL} (temporary failure)"))
        }
        ExitReason::Exit(code) => (OutcomeClass::Misconfigured, format!("exited with {code}")),
        ExitReason::Signal(signal) => {
            (OutcomeClass::Local, format!("was killed by signal {signal}"))
        }
        ExitReason::TimedOut => (OutcomeClass::Local, "did not end in time".to_owned()),
        ExitReason::TooMuchOutput => {
            (OutcomeClass::Misconfigured, "printed more than a mebibyte, and was killed".to_owned())
        }
        ExitReason::NotStarted(error) => (start_class(error), subprocess::not_started(name, error)),
    };
    let text = format!("`{name}`, which prints the password or token, {text}");
    Err(failed_outcome(class, TOKEN, text))
}

/// The initial response of `PLAIN` (RFC 4616).
fn plain(user: &str, secret: &Secret) -> String {
    STANDARD.encode(format!("\0{user}\0{}", secret.expose()))
}

/// The initial response of `XOAUTH2`.
fn bearer(user: &str, secret: &Secret) -> String {
    STANDARD.encode(format!("user={user}\x01auth=Bearer {}\x01\x01", secret.expose()))
}

/// The phase of an attempt without credentials.
const TOKEN: &str = "token";
/// `EX_TEMPFAIL` of `sysexits.h`.
const TEMP_FAIL: i32 = 75;

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(exit: ExitReason, stdout: &[u8]) -> ProcessOutput {
        ProcessOutput { exit, fed: true, stdout: stdout.to_vec(), stderr: b"CANARY".to_vec() }
    }

    #[test]
    fn only_one_valid_line_is_a_token_and_no_output_is_shown() {
        let check = |exit: ExitReason, stdout: &[u8], expected: Result<&str, OutcomeClass>| {
            let ran = printed(exit, stdout);
            let found = command_output("/bin/token", &ran, SecretKind::Password);
            if let Err(outcome) = &found {
                assert_eq!(outcome.phase, TOKEN);
                assert!(!format!("{outcome:?}").contains("CANARY"), "{outcome:?}");
            }
            let found = found.map(|token| token.expose().to_owned());
            assert_eq!(found.map_err(|it| it.class), expected.map(str::to_owned));
        };
        let misconfigured = Err(OutcomeClass::Misconfigured);
        check(ExitReason::Exit(0), b"\xef\xbb\xbftok 3n\r\n", Ok("tok 3n"));
        check(ExitReason::Exit(0), "pässword\n".as_bytes(), Ok("pässword"));
        check(ExitReason::Exit(0), b"\n", misconfigured);
        check(ExitReason::Exit(0), b" CANARY\n", misconfigured);
        check(ExitReason::Exit(0), b"C\0A\0N\0A\0R\0Y\0", misconfigured);
        check(ExitReason::Exit(0), b"CANARY\nCANARY", misconfigured);
        check(ExitReason::Exit(0), b"CANARY\x01auth", misconfigured);
        check(ExitReason::Exit(0), b"CANARY\xff", misconfigured);
        check(ExitReason::Exit(0), &[b'x'; 8 * 1024 + 1], misconfigured);
        check(ExitReason::Exit(1), b"CANARY", misconfigured);
        check(ExitReason::Exit(75), b"CANARY", Err(OutcomeClass::Local));
        check(ExitReason::Signal(9), b"", Err(OutcomeClass::Local));
        check(ExitReason::TimedOut, b"", Err(OutcomeClass::Local));
        check(ExitReason::TooMuchOutput, b"CANARY", misconfigured);
        check(ExitReason::NotStarted(std::io::ErrorKind::NotFound.into()), b"", misconfigured);
    }

    #[test]
    fn invalid_output_is_refused_with_its_reason() {
        let check = |stdout: &[u8], kind: SecretKind, expected: &str| {
            let ran = printed(ExitReason::Exit(0), stdout);
            let reason = command_output("/bin/token", &ran, kind).unwrap_err().error.unwrap();
            assert!(reason.contains(expected) && !reason.contains("CANARY"), "{reason}");
        };
        check(
            b"CANARY\nlogin: me\n",
            SecretKind::Password,
            "printed one that has more than one line",
        );
        check(b"CANARY \n", SecretKind::Password, "printed one that ends with a blank");
        check("CANÄRY".as_bytes(), SecretKind::Key, "has a character beyond ASCII in it");
        check(b"", SecretKind::Key, "printed one that is empty");
    }
}
