//! Sends mail by a program with the command line of `sendmail`: the message on standard input, the
//! recipient as an argument. One run is one attempt.
//!
//! The exit status decides (`sysexits.h`), unless the program quotes the reply of a mail server;
//! then the reply decides, since msmtp exits with 65 for every refusal.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::domain::delivery::{Outcome, OutcomeClass, Scope};
use crate::domain::mail::address::MailAddress;
use crate::domain::mail::smtp_refusal::RefusalClass;
use crate::notify::email::config::SendmailSpec;
use crate::notify::email::smtp::error::{SmtpEnvelope, SmtpPhase};
use crate::notify::excerpt;
use crate::notify::subprocess::{self, ExitReason, ProcessOutput};
use crate::notify::transport_error::failed_outcome;

impl SendmailSpec {
    /// Makes exactly one attempt. Without `from`, the sender is empty.
    pub(super) async fn deliver(
        &self,
        from: Option<&MailAddress>,
        to: &MailAddress,
        message: &[u8],
    ) -> Outcome {
        let (from, to) = (from.map(ToString::to_string), to.to_string());
        let sender = from.as_deref().unwrap_or_default();
        let arguments = ["-i", "-f", sender, "--", &to];
        // Local programs expect LF line ends.
        let message = with_unix_lines(message);
        let Self { program, timeout } = self;
        let ran = subprocess::run(program, &arguments, &message, *timeout).await;
        // The first argument of a multi-call program such as busybox is not a secret.
        let arguments =
            program.command.iter().enumerate().skip(1).filter_map(|(number, argument)| {
                secret_of(argument).filter(|_| number > 1 || argument.starts_with('-'))
            });
        let hidden: Vec<String> = [to.clone()].into_iter().chain(arguments).collect();
        let known =
            SmtpEnvelope { sender: sender.to_owned(), recipient: to, ..SmtpEnvelope::default() };
        self.classify(&ran, &known, &hidden)
    }

    /// Checks that the program exists and may be executed; runs nothing.
    pub(super) fn probe(&self) -> Outcome {
        let may_run = |path: &Path| {
            path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
        };
        let text = match self.program.check() {
            Err(distrust) => format!("`{}` {distrust}", self.name()),
            Ok(()) if may_run(Path::new(self.name())) => {
                return Outcome::new(OutcomeClass::Delivered, SENDMAIL);
            }
            Ok(()) => format!("`{}` is not an executable program", self.name()),
        };
        failed_outcome(OutcomeClass::Misconfigured, SENDMAIL, text)
    }

    fn name(&self) -> &str {
        self.program.name()
    }

    fn classify(&self, ran: &ProcessOutput, known: &SmtpEnvelope, hidden: &[String]) -> Outcome {
        let name = self.name();
        let errors = String::from_utf8_lossy(&ran.stderr);
        let snippet = excerpt::redacted_excerpt(&ran.stderr, hidden);
        let (class, text) = match &ran.exit {
            ExitReason::Exit(code) => {
                let refusal = classify_exit(*code, &errors, known);
                let outcome = match refusal.class {
                    OutcomeClass::Delivered => Outcome::new(OutcomeClass::Delivered, SENDMAIL),
                    class => {
                        let text = format!("`{name}` exited with {code}{}", exit_status(*code).2);
                        failed_outcome(class, SENDMAIL, text)
                    }
                };
                let delivered = refusal.class == OutcomeClass::Delivered;
                let code = reply_in(&errors).filter(|_| !delivered).map(|reply| reply.code);
                return Outcome { code, scope: refusal.scope, snippet, ..outcome };
            }
            ExitReason::Signal(signal) => {
                (OutcomeClass::Local, format!("was killed by signal {signal}"))
            }
            ExitReason::TooMuchOutput if ran.fed => {
                (OutcomeClass::Local, "printed more than a mebibyte, and was killed".to_owned())
            }
            ExitReason::TooMuchOutput => {
                let text =
                    "printed more than a mebibyte before it had read the mail, and was killed";
                (OutcomeClass::Misconfigured, text.to_owned())
            }
            ExitReason::TimedOut if ran.fed => {
                (OutcomeClass::Local, "did not end in time, and was killed".to_owned())
            }
            ExitReason::TimedOut => {
                (OutcomeClass::Retryable, "did not read the mail in time".to_owned())
            }
            ExitReason::NotStarted(error) => {
                (start_class(error), subprocess::not_started(name, error))
            }
        };
        let (class, doubt) = if ran.fed && !matches!(ran.exit, ExitReason::NotStarted(_)) {
            (OutcomeClass::Ambiguous, "; it may have accepted the mail")
        } else {
            (class, "")
        };
        Outcome { snippet, ..failed_outcome(class, SENDMAIL, format!("`{name}` {text}{doubt}")) }
    }
}

/// The part of an argument that may be a secret, which programs echo in errors: the value of an
/// option, not its name.
fn secret_of(argument: &str) -> Option<String> {
    let value = match argument.strip_prefix('-') {
        Some(option) => option.split_once('=')?.1,
        None => argument,
    };
    (value.len() >= SECRET_BYTES_MIN).then(|| value.to_owned())
}

/// Classifies a failure to start a program: `Misconfigured`, or `Local` when the machine lacks
/// something.
pub(super) fn start_class(error: &io::Error) -> OutcomeClass {
    match error.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::NotADirectory => OutcomeClass::Misconfigured,
        // A script without `#!`, or a program for another processor.
        _ if rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::NOEXEC) => {
            OutcomeClass::Misconfigured
        }
        _ => OutcomeClass::Local,
    }
}

/// Classifies an exit status and the errors that the program printed.
fn classify_exit(code: i32, errors: &str, known: &SmtpEnvelope) -> RefusalClass {
    let lower = errors.to_lowercase();
    if lower.contains("bad recipient") {
        // busybox exits with 0 and does not quote the reply.
        return RefusalClass { class: OutcomeClass::Throttled, scope: Scope::SenderOrRecipient };
    }
    match (code, reply_in(errors)) {
        (0, _) => RefusalClass { class: OutcomeClass::Delivered, scope: Scope::Channel },
        (_, Some(Quoted { phase, code, text })) => known.classify(phase, code, &text),
        // Postfix exits with 75 in this case.
        (_, None) if USAGE_WORDS.iter().any(|words| lower.contains(words)) => {
            RefusalClass { class: OutcomeClass::Misconfigured, scope: Scope::Channel }
        }
        (code, None) => {
            let (class, scope, _) = exit_status(code);
            RefusalClass { class, scope }
        }
    }
}

/// The class, the scope and the meaning for people of an exit status (`sysexits.h`; shells use 126
/// and 127).
const fn exit_status(code: i32) -> (OutcomeClass, Scope, &'static str) {
    match code {
        64 => (OutcomeClass::Misconfigured, Scope::Channel, " (usage)"),
        65 => (OutcomeClass::Rejected, Scope::Recipient, " (bad message)"),
        67 => (OutcomeClass::Rejected, Scope::Recipient, " (no such user)"),
        // The host of the recipient's domain, or the mail server.
        68 => (OutcomeClass::Misconfigured, Scope::Recipient, " (no such host)"),
        69 => (OutcomeClass::Retryable, Scope::Channel, " (unavailable)"),
        70 => (OutcomeClass::Misconfigured, Scope::Channel, " (internal error)"),
        71 => (OutcomeClass::Retryable, Scope::Channel, " (system error)"),
        73 => (OutcomeClass::Retryable, Scope::Channel, " (cannot write)"),
        74 => (OutcomeClass::Retryable, Scope::Channel, " (I/O error)"),
        75 => (OutcomeClass::Retryable, Scope::Channel, " (temporary failure)"),
        77 => (OutcomeClass::Misconfigured, Scope::Channel, " (not permitted)"),
        78 => (OutcomeClass::Misconfigured, Scope::Channel, " (bad config)"),
        126 | 127 => (OutcomeClass::Misconfigured, Scope::Channel, ""),
        _ => (OutcomeClass::Retryable, Scope::Channel, ""),
    }
}

/// The reply of a mail server that a program quotes.
struct Quoted {
    phase: SmtpPhase,
    code: u16,
    text: String,
}

/// The last 4yz or 5yz reply in the errors, with all its lines: `server message: 550 no` of msmtp,
/// `RCPT TO:<…> (550 no)` of ssmtp.
fn reply_in(errors: &str) -> Option<Quoted> {
    let reply_of = |line: &str| -> Option<(u16, String)> {
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
    let lines: Vec<(u16, String)> = errors.lines().filter_map(reply_of).collect();
    let code = lines.last()?.0;
    let texts: Vec<&str> =
        lines.iter().filter(|line| line.0 == code).map(|(_, text)| text.as_str()).collect();
    let lower = errors.to_lowercase();
    let phase = if lower.contains("envelope from address") || lower.contains("mail from:<") {
        SmtpPhase::Mail
    } else if lower.contains("recipient address") || lower.contains("rcpt to") {
        SmtpPhase::Rcpt
    } else if lower.contains("authenticat") {
        SmtpPhase::Auth
    } else {
        SmtpPhase::Dot
    };
    Some(Quoted { phase, code, text: texts.join(" ") })
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

const SENDMAIL: &str = "sendmail";
/// Bytes; shorter values are words, not secrets.
const SECRET_BYTES_MIN: usize = 6;
/// Errors about unsupported arguments, whatever the exit status.
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

    fn classified(code: i32, errors: &str) -> (OutcomeClass, Scope) {
        let known = SmtpEnvelope {
            sender: "a@example.com".to_owned(),
            recipient: "to@example.com".to_owned(),
            ..SmtpEnvelope::default()
        };
        let RefusalClass { class, scope } = classify_exit(code, errors, &known);
        (class, scope)
    }

    #[test]
    fn a_file_that_is_not_executable_is_misconfigured() {
        let no_program = io::Error::from_raw_os_error(rustix::io::Errno::NOEXEC.raw_os_error());
        assert_eq!(start_class(&no_program), OutcomeClass::Misconfigured);
        let no_memory = io::Error::from_raw_os_error(rustix::io::Errno::NOMEM.raw_os_error());
        assert_eq!(start_class(&no_memory), OutcomeClass::Local);
    }

    #[test]
    fn each_exit_status_has_a_class() {
        let check = |codes: &[i32], expected| {
            for &code in codes {
                assert_eq!(classified(code, "no\n"), expected, "for {code}");
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
    fn unsupported_arguments_are_misconfigured_whatever_the_status() {
        // Errors of msmtp, Postfix, Exim, OpenSMTPD, busybox and programs with getopt of glibc or
        // musl.
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
            assert_eq!(classified(code, complaint), settings, "for {complaint}");
        }
    }

    /// The texts of msmtp 1.8.23, ssmtp 2.64 and busybox.
    #[test]
    fn a_quoted_reply_of_a_server_is_classified_as_a_reply() {
        let check = |code, complaint: &str, expected| {
            assert_eq!(classified(code, complaint), expected, "for {complaint}");
        };
        let msmtp = |what: &str, reply: &str| {
            format!(
                "msmtp: {what} not accepted by the server\nmsmtp: server message: {reply}\n\
                     msmtp: could not send mail\n"
            )
        };
        let rejected = (OutcomeClass::Rejected, Scope::Recipient);
        let waits = (OutcomeClass::Misconfigured, Scope::Recipient);
        let to = "recipient address to@example.com";
        check(65, &msmtp(to, "550 5.1.1 <to@example.com> no such user"), rejected);
        check(65, &msmtp(to, "553 5.7.1 <a@example.com>: Sender address rejected"), waits);
        let standing = (OutcomeClass::Misconfigured, Scope::Sender);
        check(65, &msmtp("envelope from address a@example.com", "553 no"), standing);
        check(69, &msmtp(to, "450 later"), (OutcomeClass::Throttled, Scope::Recipient));
        let dot = "msmtp: the server did not accept the mail\nmsmtp: server message: ";
        check(69, &format!("{dot}554 5.2.252 SendAsDenied\n"), waits);
        check(69, &format!("{dot}451 4.3.0 no\n"), (OutcomeClass::Throttled, Scope::Channel));
        let lines = "554-5.7.1 no\nmsmtp: server message: 554 5.7.1 relaying denied\n";
        check(69, &format!("{dot}{lines}"), waits);
        check(1, "ssmtp: RCPT TO:<to@example.com> (550 5.1.1 no)\n", rejected);
        check(1, "ssmtp: 554 5.2.252 no\n", waits);
        check(
            77,
            "msmtp: authentication failed (method PLAIN)\nmsmtp: server message: 535 no\n",
            (OutcomeClass::Misconfigured, Scope::Channel),
        );
        let unclear = (OutcomeClass::Throttled, Scope::SenderOrRecipient);
        check(0, "sendmail: Bad recipient: <to@example.com>\n", unclear);
        // Not replies.
        for complaint in ["port 5432: no\n", "554", "x4500 no", "é550é", "(5"] {
            check(0, complaint, (OutcomeClass::Delivered, Scope::Channel));
        }
        for complaint in ["cannot connect to port 587: refused", "gave up after 500 ms", "x: 599 y"]
        {
            assert!(reply_in(complaint).is_none(), "{complaint}");
        }
    }

    #[test]
    fn lines_end_with_lf() {
        assert_eq!(with_unix_lines(b"a\r\n\r\nb\rc\r\n"), b"a\n\nb\rc\n");
    }
}
