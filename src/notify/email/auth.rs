//! Logging in to a mail server: with a password, or with a token that a program prints.
//!
//! What always holds: neither shows in an outcome, in whatever form it was sent; nothing that
//! the program said is repeated, since it may hold either. What it prints is cleaned and refused by
//! the one rule of `text/secret_text.rs`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::notify::email::config::{CredentialSource, LoginMethod, LoginSpec};
use crate::notify::email::sendmail::start_class;
use crate::notify::subprocess::{self, ExitReason, ProcessOutput};
use crate::notify::transport_error::failed_outcome;
use crate::secret::Secret;
use crate::text::secret_text::{SecretKind, clean};

/// How to log in.
pub(super) struct Auth(LoginSpec);

/// What one try logs in with.
pub(super) struct Credential {
    method: LoginMethod,
    user: String,
    secret: Secret,
}

/// A way of logging in (RFC 4954).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    Plain,
    Login,
    Xoauth2,
}

impl Mechanism {
    /// Its name on the wire.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::Xoauth2 => "XOAUTH2",
        }
    }
}

impl Credential {
    /// The ways to log in, best first.
    pub(super) const fn mechanisms(&self) -> &'static [Mechanism] {
        match self.method {
            LoginMethod::Password => &[Mechanism::Plain, Mechanism::Login],
            LoginMethod::Xoauth2 => &[Mechanism::Xoauth2],
        }
    }

    /// What is said, line by line: the command, and what answers each question of the server,
    /// whatever its words are.
    pub(super) fn lines(&self, mechanism: Mechanism) -> Vec<String> {
        let encoded = || match mechanism {
            Mechanism::Plain => plain(&self.user, &self.secret),
            Mechanism::Login => STANDARD.encode(&self.user),
            Mechanism::Xoauth2 => bearer(&self.user, &self.secret),
        };
        let begin = |initial: &str| format!("AUTH {}{initial}", mechanism.name());
        match mechanism {
            // One that asks for what was said has not read it; one that asks again wants nothing.
            Mechanism::Plain => {
                vec![begin(&format!(" {}", encoded())), encoded(), String::new()]
            }
            Mechanism::Login => {
                vec![begin(""), encoded(), STANDARD.encode(self.secret.expose())]
            }
            // Not a question but the reason, which an empty line asks the verdict for.
            Mechanism::Xoauth2 => vec![begin(&format!(" {}", encoded())), String::new()],
        }
    }

    /// How it would look if a server sent it back.
    pub(super) fn hidden(&self) -> [String; 4] {
        let Self { user, secret: proof, .. } = self;
        let given = proof.expose();
        [given.to_owned(), STANDARD.encode(given), plain(user, proof), bearer(user, proof)]
    }
}

impl Auth {
    pub(super) const fn new(spec: LoginSpec) -> Self {
        Self(spec)
    }

    /// Fetches what this try logs in with; a program gets `limit` for it.
    pub(super) async fn pass(&self, limit: Duration) -> Result<Credential, Outcome> {
        let LoginSpec { user, method, credential: proof } = &self.0;
        let proof = match proof {
            CredentialSource::Given(secret) => secret.clone(),
            CredentialSource::Command(program) => {
                let ran = subprocess::run(program, &[], b"", limit).await;
                command_output(program.name(), &ran, kind(*method))?
            }
        };
        Ok(Credential { method: *method, user: user.clone(), secret: proof })
    }
}

/// What can be in what logs in; a bearer token is ASCII (RFC 6750, section 2.1).
const fn kind(method: LoginMethod) -> SecretKind {
    match method {
        LoginMethod::Password => SecretKind::Password,
        LoginMethod::Xoauth2 => SecretKind::Key,
    }
}

/// What a program printed, if it is a password or a token.
fn command_output(name: &str, ran: &ProcessOutput, kind: SecretKind) -> Result<Secret, Outcome> {
    let wrong = |class, said: String| {
        Err(failed_outcome(
            class,
            TOKEN,
            format!("`{name}`, which gives the password or token, {said}"),
        ))
    };
    match &ran.exit {
        ExitReason::Exit(0) => {}
        ExitReason::Exit(TEMP_FAIL) => {
            return wrong(OutcomeClass::Local, format!("exited with {TEMP_FAIL} (later)"));
        }
        ExitReason::Exit(code) => {
            return wrong(OutcomeClass::Misconfigured, format!("exited with {code}"));
        }
        ExitReason::Signal { signal, .. } => {
            return wrong(OutcomeClass::Local, format!("was killed by signal {signal}"));
        }
        ExitReason::TimedOut { .. } => {
            return wrong(OutcomeClass::Local, "did not end in time".to_owned());
        }
        ExitReason::TooMuchOutput { .. } => {
            let said = "printed more than a mebibyte, and was killed".to_owned();
            return wrong(OutcomeClass::Misconfigured, said);
        }
        ExitReason::NotStarted(error) => {
            return wrong(start_class(error), subprocess::not_started(name, error));
        }
    }
    clean(&ran.stdout, kind).map(Secret::new).or_else(|fault| {
        let said = format!("printed one that {fault} ({})", fault.help());
        wrong(OutcomeClass::Misconfigured, said)
    })
}

/// What `PLAIN` says (RFC 4616).
fn plain(user: &str, proof: &Secret) -> String {
    STANDARD.encode(format!("\0{user}\0{}", proof.expose()))
}

/// What `XOAUTH2` says.
fn bearer(user: &str, proof: &Secret) -> String {
    STANDARD.encode(format!("user={user}\x01auth=Bearer {}\x01\x01", proof.expose()))
}

/// The phase of a try that has nothing to log in with.
const TOKEN: &str = "token";
/// `EX_TEMPFAIL` of `sysexits.h`.
const TEMP_FAIL: i32 = 75;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_good_line_is_a_token_and_nothing_said_is_repeated() {
        let check = |end: ExitReason, said: &[u8], expected: Result<&str, OutcomeClass>| {
            let ran =
                ProcessOutput { exit: end, stdout: said.to_vec(), stderr: b"CANARY".to_vec() };
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
        check(ExitReason::Signal { signal: 9, fed: true }, b"", Err(OutcomeClass::Local));
        check(ExitReason::TimedOut { fed: true }, b"", Err(OutcomeClass::Local));
        check(ExitReason::TooMuchOutput { fed: true }, b"CANARY", misconfigured);
        check(ExitReason::NotStarted(std::io::ErrorKind::NotFound.into()), b"", misconfigured);
    }

    #[test]
    fn what_a_program_printed_is_refused_by_its_name() {
        let check = |said: &[u8], kind: SecretKind, expected: &str| {
            let ran = ProcessOutput {
                exit: ExitReason::Exit(0),
                stdout: said.to_vec(),
                stderr: Vec::new(),
            };
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
