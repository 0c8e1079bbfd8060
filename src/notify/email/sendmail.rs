//! Mail by way of a program that takes it as `sendmail` does: the message on its standard
//! input, the recipient as an argument.
//!
//! The exit status is the verdict, read as `sysexits.h` means it, unless the program quotes the
//! reply of a mail server: then that is. msmtp, for one, exits with 65 whomever the server refused.
//! One run is one attempt.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use crate::domain::delivery::{Outcome, OutcomeClass, Scope};
use crate::domain::mail::address::MailAddress;
use crate::domain::mail::smtp_refusal::RefusalClass;
use crate::notify::email::config::SendmailSpec;
use crate::notify::email::smtp::error::{SmtpEnvelope, SmtpPhase};
use crate::notify::excerpt;
use crate::notify::subprocess::{self, ExitReason, ProcessOutput};
use crate::notify::transport_error::failed_outcome;

/// The program.
pub(super) struct Sendmail {
    spec: SendmailSpec,
}

impl Sendmail {
    pub(super) const fn new(spec: SendmailSpec) -> Self {
        Self { spec }
    }

    /// How long one try takes at most.
    pub(super) const fn attempt_timeout(&self) -> Duration {
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
        let sender = from.as_deref().unwrap_or_default();
        let arguments = ["-i", "-f", sender, "--", &to];
        // The program writes to a mailbox of this system, whose lines end as all lines here do.
        let message = with_unix_lines(message);
        let SendmailSpec { program, timeout } = &self.spec;
        let ran = subprocess::run(program, &arguments, &message, *timeout).await;
        // The first argument of a program of many names, like that of busybox, is no secret.
        let arguments =
            program.command.iter().enumerate().skip(1).filter_map(|(number, argument)| {
                secret_of(argument).filter(|_| number > 1 || argument.starts_with('-'))
            });
        let hidden: Vec<String> = [to.clone()].into_iter().chain(arguments).collect();
        let known =
            SmtpEnvelope { sender: sender.to_owned(), recipient: to, ..SmtpEnvelope::default() };
        self.classify(&ran, &known, &hidden)
    }

    /// Whether there is such a program, and whether we may run it; nothing is run.
    pub(super) fn probe(&self) -> Outcome {
        let may_run = |path: &Path| {
            path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
        };
        let text = match self.spec.program.check() {
            Err(distrust) => format!("`{}` {distrust}", self.name()),
            Ok(()) if may_run(Path::new(self.name())) => {
                return Outcome::new(OutcomeClass::Delivered, SENDMAIL);
            }
            Ok(()) => format!("`{}` is no program that can be run", self.name()),
        };
        failed_outcome(OutcomeClass::Misconfigured, SENDMAIL, text)
    }

    fn name(&self) -> &str {
        self.spec.program.name()
    }

    fn classify(&self, ran: &ProcessOutput, known: &SmtpEnvelope, hidden: &[String]) -> Outcome {
        let name = self.name();
        let complaint = String::from_utf8_lossy(&ran.stderr);
        let snippet = excerpt::redacted_excerpt(&ran.stderr, hidden);
        let (class, said) = match &ran.exit {
            ExitReason::Exit(code) => {
                let ruling = ruling(*code, &complaint, known);
                let outcome = match ruling.class {
                    OutcomeClass::Delivered => Outcome::new(OutcomeClass::Delivered, SENDMAIL),
                    class => {
                        let text = format!("`{name}` exited with {code}{}", sysexits_text(*code));
                        failed_outcome(class, SENDMAIL, text)
                    }
                };
                let taken = ruling.class == OutcomeClass::Delivered;
                let code = reply_in(&complaint).filter(|_| !taken).map(|reply| reply.code);
                return Outcome { code, scope: ruling.scope, snippet, ..outcome };
            }
            ExitReason::Signal { signal, fed: true } => {
                let text = format!("was killed by signal {signal}; it may have taken the mail");
                (OutcomeClass::Ambiguous, text)
            }
            ExitReason::Signal { signal, fed: false } => {
                (OutcomeClass::Local, format!("was killed by signal {signal}"))
            }
            ExitReason::TooMuchOutput { fed: true } => {
                let text =
                    "printed more than a mebibyte, and was killed; it may have taken the mail";
                (OutcomeClass::Ambiguous, text.to_owned())
            }
            ExitReason::TooMuchOutput { fed: false } => {
                let text =
                    "printed more than a mebibyte before it had read the mail, and was killed";
                (OutcomeClass::Misconfigured, text.to_owned())
            }
            ExitReason::TimedOut { fed: true } => {
                let text = "did not end in time, and was killed; it may have taken the mail";
                (OutcomeClass::Ambiguous, text.to_owned())
            }
            ExitReason::TimedOut { fed: false } => {
                (OutcomeClass::Retryable, "did not read the mail in time".to_owned())
            }
            ExitReason::NotStarted(error) => {
                (start_class(error), subprocess::not_started(name, error))
            }
        };
        Outcome { snippet, ..failed_outcome(class, SENDMAIL, format!("`{name}` {said}")) }
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
        // No program of this machine: a script without its first line, or of another processor.
        _ if rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::NOEXEC) => {
            OutcomeClass::Misconfigured
        }
        _ => OutcomeClass::Local,
    }
}

/// What an exit status and the complaint with it mean.
fn ruling(code: i32, complaint: &str, known: &SmtpEnvelope) -> RefusalClass {
    let said = complaint.to_lowercase();
    if said.contains("bad recipient") {
        // busybox exits with 0 even so, and does not say what it was told.
        return RefusalClass { class: OutcomeClass::Throttled, scope: Scope::Unclear };
    }
    match (code, reply_in(complaint)) {
        (0, _) => RefusalClass { class: OutcomeClass::Delivered, scope: Scope::Channel },
        (_, Some(Quoted { phase, code, text })) => known.ruling(phase, code, &text),
        // Postfix, for one, exits with 75 then.
        (_, None) if USAGE_WORDS.iter().any(|words| said.contains(words)) => {
            RefusalClass { class: OutcomeClass::Misconfigured, scope: Scope::Channel }
        }
        (code, None) => ruling_of_status(code),
    }
}

/// What an exit status means by itself (`sysexits.h`; 126 and 127 are those of shells).
const fn ruling_of_status(code: i32) -> RefusalClass {
    let (class, scope) = match code {
        DATA_ERR | NO_USER => (OutcomeClass::Rejected, Scope::Recipient),
        // Of the recipient's domain, or of the server that it hands mails to.
        NO_HOST => (OutcomeClass::Misconfigured, Scope::Recipient),
        USAGE | SOFTWARE | NO_PERM | CONFIG | NOT_EXECUTABLE | NOT_FOUND => {
            (OutcomeClass::Misconfigured, Scope::Channel)
        }
        _ => (OutcomeClass::Retryable, Scope::Channel),
    };
    RefusalClass { class, scope }
}

/// The reply of a mail server, as a program quotes it.
struct Quoted {
    phase: SmtpPhase,
    code: u16,
    text: String,
}

/// The last reply of 4yz or 5yz in a complaint, all its lines together: `server message: 550 no`
/// of msmtp, `RCPT TO:<…> (550 no)` of ssmtp.
fn reply_in(complaint: &str) -> Option<Quoted> {
    let begins = |line: &str| -> Option<(u16, String)> {
        let starts = line.match_indices(['4', '5']).map(|(at, _)| at);
        let is_apart =
            |at: usize| at == 0 || line[..at].ends_with('(') || line[..at].ends_with(": ");
        starts.filter(|at| is_apart(*at)).find_map(|at| {
            let code = line.get(at..at + 3)?;
            let text = line.get(at + 3..)?;
            let is_reply = matches!(code.as_bytes(), [_, b'0'..=b'7', b'0'..=b'9'])
                && (text.is_empty() || text.starts_with([' ', '-', ')']));
            let text = text.trim_start_matches([' ', '-']).trim_end_matches(')');
            is_reply.then_some((code.parse().ok()?, text.to_owned()))
        })
    };
    let lines: Vec<(u16, String)> = complaint.lines().filter_map(begins).collect();
    let code = lines.last()?.0;
    let texts: Vec<&str> =
        lines.iter().filter(|line| line.0 == code).map(|(_, text)| text.as_str()).collect();
    let said = complaint.to_lowercase();
    let phase = if said.contains("envelope from address") || said.contains("mail from:<") {
        SmtpPhase::Mail
    } else if said.contains("recipient address") || said.contains("rcpt to") {
        SmtpPhase::Rcpt
    } else if said.contains("authenticat") {
        SmtpPhase::Auth
    } else {
        SmtpPhase::Dot
    };
    Some(Quoted { phase, code, text: texts.join(" ") })
}

/// The word for an exit status, where it has one.
const fn sysexits_text(code: i32) -> &'static str {
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
/// Shorter values are words, not secrets.
const SECRET_BYTES_MIN: usize = 6;
const USAGE: i32 = 64;
const DATA_ERR: i32 = 65;
const NO_USER: i32 = 67;
const NO_HOST: i32 = 68;
const SOFTWARE: i32 = 70;
const NO_PERM: i32 = 77;
const CONFIG: i32 = 78;
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;
/// What programs say of arguments that they do not take, and exit with a status of their own.
const USAGE_WORDS: [&str; 10] = [
    "usage:",
    "unrecognized option",
    "unrecognised option",
    "unknown option",
    "invalid option",
    "illegal option",
    "incomplete option",
    "bad option",
    "requires an argument",
    "applet not found",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn ruled(code: i32, complaint: &str) -> (OutcomeClass, Scope) {
        let known = SmtpEnvelope {
            sender: "a@example.com".to_owned(),
            recipient: "to@example.com".to_owned(),
            ..SmtpEnvelope::default()
        };
        let RefusalClass { class, scope } = ruling(code, complaint, &known);
        (class, scope)
    }

    #[test]
    fn a_file_that_is_no_program_is_a_matter_of_the_settings() {
        let no_program = io::Error::from_raw_os_error(rustix::io::Errno::NOEXEC.raw_os_error());
        assert_eq!(start_class(&no_program), OutcomeClass::Misconfigured);
        let no_memory = io::Error::from_raw_os_error(rustix::io::Errno::NOMEM.raw_os_error());
        assert_eq!(start_class(&no_memory), OutcomeClass::Local);
    }

    #[test]
    fn every_exit_status_means_one_thing() {
        let check = |codes: &[i32], expected| {
            for &code in codes {
                assert_eq!(ruled(code, "no\n"), expected, "for {code}");
            }
        };
        check(&[0], (OutcomeClass::Delivered, Scope::Channel));
        check(&[65, 67], (OutcomeClass::Rejected, Scope::Recipient));
        check(&[68], (OutcomeClass::Misconfigured, Scope::Recipient));
        check(&[64, 70, 77, 78, 126, 127], (OutcomeClass::Misconfigured, Scope::Channel));
        let rest = [1, 2, 66, 69, 71, 72, 73, 74, 75, 76, 255];
        check(&rest, (OutcomeClass::Retryable, Scope::Channel));
    }

    #[test]
    fn arguments_that_are_not_taken_are_settings_whatever_the_status() {
        // As msmtp, Postfix, Exim, OpenSMTPD, busybox and others with a getopt of glibc or musl
        // say.
        for (code, complaint) in [
            (1, "x: unrecognized option '--badoption'\n"),
            (2, "sendmail: invalid option -- 'Z'\nusage: sendmail …\n"),
            (1, "Usage: mailer [options]\n"),
            (1, "mailer: illegal option -- Z\n"),
            (255, "option requires an argument -- 'f'\n"),
            (1, "sendmail: applet not found\n"),
            (75, "sendmail: invalid option -- 'Z'\nsendmail: fatal: usage: sendmail [options]\n"),
            (1, "exim abandoned: unknown, malformed, or incomplete option --no-such\n"),
        ] {
            let settings = (OutcomeClass::Misconfigured, Scope::Channel);
            assert_eq!(ruled(code, complaint), settings, "for {complaint}");
        }
    }

    /// As msmtp 1.8.23, ssmtp 2.64 and busybox said it on the day that this was written.
    #[test]
    fn a_reply_of_a_server_that_a_program_quotes_is_judged_as_one() {
        let check = |code, complaint: &str, expected| {
            assert_eq!(ruled(code, complaint), expected, "for {complaint}");
        };
        let msmtp = |what: &str, reply: &str| {
            format!(
                "msmtp: {what} not accepted by the server\nmsmtp: server message: {reply}\n\
                     msmtp: could not send mail\n"
            )
        };
        let dead = (OutcomeClass::Rejected, Scope::Recipient);
        let waits = (OutcomeClass::Misconfigured, Scope::Recipient);
        let to = "recipient address to@example.com";
        check(65, &msmtp(to, "550 5.1.1 <to@example.com> no such user"), dead);
        check(65, &msmtp(to, "553 5.7.1 <a@example.com>: Sender address rejected"), waits);
        let standing = (OutcomeClass::Misconfigured, Scope::Standing);
        check(65, &msmtp("envelope from address a@example.com", "553 no"), standing);
        check(69, &msmtp(to, "450 later"), (OutcomeClass::Throttled, Scope::Recipient));
        let dot = "msmtp: the server did not accept the mail\nmsmtp: server message: ";
        check(69, &format!("{dot}554 5.2.252 SendAsDenied\n"), waits);
        check(69, &format!("{dot}451 4.3.0 no\n"), (OutcomeClass::Throttled, Scope::Channel));
        let lines = "554-5.7.1 no\nmsmtp: server message: 554 5.7.1 relaying denied\n";
        check(69, &format!("{dot}{lines}"), waits);
        check(1, "ssmtp: RCPT TO:<to@example.com> (550 5.1.1 no)\n", dead);
        check(1, "ssmtp: 554 5.2.252 no\n", waits);
        check(
            77,
            "msmtp: authentication failed (method PLAIN)\nmsmtp: server message: 535 no\n",
            (OutcomeClass::Misconfigured, Scope::Channel),
        );
        let unclear = (OutcomeClass::Throttled, Scope::Unclear);
        check(0, "sendmail: Bad recipient: <to@example.com>\n", unclear);
        // No replies.
        for complaint in ["port 5432: no\n", "554", "x4500 no", "é550é", "(5"] {
            check(0, complaint, (OutcomeClass::Delivered, Scope::Channel));
        }
        for complaint in ["cannot connect to port 587: refused", "gave up after 500 ms", "x: 599 y"]
        {
            assert!(reply_in(complaint).is_none(), "{complaint}");
        }
    }

    #[test]
    fn lines_end_as_they_do_on_this_system() {
        assert_eq!(with_unix_lines(b"a\r\n\r\nb\rc\r\n"), b"a\n\nb\rc\n");
    }
}
