//! A channel of type `email`: a transport and recipients.
//!
//! Each recipient gets a separate mail and delivery, so that one refused address does not affect
//! the others.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::delivery::{DeliveryId, Outcome, OutcomeClass};
use crate::domain::event::Event;
use crate::domain::mail::address::MailAddress;
use crate::domain::random::RandomBits;
use crate::domain::time::timestamp::Timestamp;
use crate::notify::build_error::BuildError;
use crate::notify::email::config::{EmailSpec, SendmailSpec, SmtpSpec, TransportConfig};
use crate::notify::email::file_transport;
use crate::notify::email::message::{CONTENT_TYPE, MessageHeaders};
use crate::notify::email::smtp::error::{self, SmtpPhase};
use crate::notify::email::smtp::extensions::Extensions;
use crate::notify::email::smtp::session::{Server, Transaction};
use crate::notify::email::smtp::tls::Tls;
use crate::notify::message::{OutboundMessage, RenderedMessage};
use crate::notify::transport_error::failed_outcome;
use crate::notify::webhook::signature;

/// A mail channel with its transport and recipients.
pub struct Email {
    headers: MessageHeaders,
    /// The sender of the envelope; the null path without.
    bounces: Option<MailAddress>,
    to: Vec<MailAddress>,
    transport: Transport,
}

enum Transport {
    Smtp(Box<Server>),
    Sendmail(SendmailSpec),
    File(PathBuf),
}

impl Email {
    /// Builds the channel; nothing is connected to.
    ///
    /// # Errors
    /// When there are no recipients, the host can have no certificate, or the certificates cannot
    /// be read.
    pub fn new(spec: EmailSpec) -> Result<Self, BuildError> {
        let channel = spec.channel.as_str();
        let mut to: Vec<MailAddress> = Vec::new();
        for recipient in spec.to {
            if !to.contains(&recipient) {
                to.push(recipient);
            }
        }
        if to.is_empty() {
            return Err(BuildError::NoRecipients { channel: channel.to_owned() });
        }
        Ok(Self {
            bounces: spec.bounces,
            transport: match spec.post {
                TransportConfig::Smtp(spec) => {
                    let tls = Tls::new(channel, &spec.host, spec.ca_pem.as_deref())?;
                    Transport::Smtp(Box::new(Server { spec, tls }))
                }
                TransportConfig::Sendmail(spec) => Transport::Sendmail(spec),
                TransportConfig::File(folder) => Transport::File(folder),
            },
            headers: MessageHeaders { from: spec.from, style: spec.style, context: spec.context },
            to,
        })
    }

    /// Renders the event, once for each recipient.
    pub fn render(
        &self,
        event: &Event,
        now: Timestamp,
        random: RandomBits,
    ) -> Vec<RenderedMessage> {
        let ids = (0..).map(|salt| DeliveryId::mint(now, random.derive(salt)));
        self.to
            .iter()
            .zip(ids)
            .map(|(to, id)| RenderedMessage {
                body: self.headers.render(event, &id, to, now),
                id,
                recipient: to.to_string(),
                content_type: CONTENT_TYPE.to_owned(),
                fallback: None,
            })
            .collect()
    }

    /// Makes exactly one attempt: one session, one recipient.
    pub async fn deliver(&self, message: &OutboundMessage) -> Outcome {
        let Ok(to) = MailAddress::parse(&message.recipient) else {
            let text = "the recipient is not an address that a mail can go to".to_owned();
            return failed_outcome(OutcomeClass::Rejected, "rcpt", text);
        };
        let from = self.bounces.as_ref();
        match &self.transport {
            Transport::Smtp(server) => {
                server.deliver(Transaction { from, to: &to, message: &message.body }).await
            }
            Transport::Sendmail(sendmail) => sendmail.deliver(from, &to, &message.body).await,
            Transport::File(folder) => {
                file_transport::deliver(folder, from.map(ToString::to_string), message).await
            }
        }
    }

    /// Checks the transport without sending a mail: logs in to the server, or checks the program or
    /// the folder.
    pub async fn probe(&self) -> Outcome {
        match &self.transport {
            Transport::Smtp(server) => {
                let (outcome, offers) = server.probe().await;
                match outcome.class {
                    OutcomeClass::Delivered => self.unsupported(server, &offers).unwrap_or(outcome),
                    _ => outcome,
                }
            }
            Transport::Sendmail(sendmail) => sendmail.probe(),
            Transport::File(folder) => file_transport::check(folder).await,
        }
    }

    /// Why mails would fail with the extensions that the server offers. Names recipients.
    fn unsupported(&self, server: &Server, offers: &Extensions) -> Option<Outcome> {
        if offers.support_international() {
            return None;
        }
        let MessageHeaders { from, style, .. } = &self.headers;
        let ours = [Some(from), style.reply_to.as_ref(), self.bounces.as_ref()];
        let host = &server.spec.host;
        if ours.into_iter().flatten().any(MailAddress::needs_smtputf8) {
            return Some(error::unsupported(host, SmtpPhase::Mail, error::NO_SMTPUTF8_FOR_US));
        }
        let affected = self.to.iter().filter(|to| to.needs_smtputf8());
        let affected: Vec<String> = affected.map(|to| format!("`{to}`")).collect();
        (!affected.is_empty()).then(|| {
            let recipients = affected.join(", ");
            let text = format!(
                "`{host}` does not offer SMTPUTF8 with 8BITMIME, so it accepts no mail to \
                 {recipients}"
            );
            failed_outcome(OutcomeClass::Rejected, SmtpPhase::Rcpt.name(), text)
        })
    }

    /// The longest duration of one attempt.
    pub fn attempt_timeout(&self) -> Duration {
        match &self.transport {
            Transport::Smtp(server) => server.attempt_timeout(),
            Transport::Sendmail(sendmail) => sendmail.timeout,
            Transport::File(_) => WRITE_TIMEOUT,
        }
    }

    /// A hash of the transport and the recipients, which does not reveal them.
    pub fn fingerprint(&self) -> String {
        let transport = match &self.transport {
            Transport::Smtp(server) => {
                let SmtpSpec { host, port, .. } = &server.spec;
                vec!["email".to_owned(), host.clone(), port.to_string()]
            }
            Transport::Sendmail(sendmail) => {
                [&["sendmail".to_owned()], sendmail.program.command.as_slice()].concat()
            }
            Transport::File(folder) => vec!["file".to_owned(), folder.display().to_string()],
        };
        let mut recipients: Vec<&str> = self.to.iter().map(MailAddress::as_str).collect();
        recipients.sort_unstable();
        let transport = transport.iter().map(String::as_str);
        signature::fingerprint(&transport.chain(recipients).collect::<Vec<_>>())
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Email");
        match &self.transport {
            Transport::Smtp(server) => shown.field("host", &server.spec.host),
            Transport::Sendmail(sendmail) => shown.field("sendmail", sendmail),
            Transport::File(folder) => shown.field("file", folder),
        };
        shown.finish_non_exhaustive()
    }
}

/// An estimate of the longest write; nothing enforces it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::channel_name::ChannelName;
    use crate::domain::mail::domain::MailDomain;
    use crate::domain::mail::options::{LoginMethod, SmtpTls};
    use crate::files::program::Program;
    use crate::files::trust::Trust;
    use crate::notify::email::config::{LoginSpec, MailStyle, PhaseTimeouts};
    use crate::notify::message_context::MessageContext;
    use crate::secret::{CredentialSource, Secret};

    fn smtp() -> SmtpSpec {
        SmtpSpec {
            host: "mail.example.com".to_owned(),
            port: 587,
            tls: SmtpTls::Starttls,
            login: Some(LoginSpec {
                user: "watch".to_owned(),
                method: LoginMethod::Password,
                credential: CredentialSource::Given(Secret::new("CANARY")),
            }),
            ca_pem: None,
            hello_name: None,
            timeouts: PhaseTimeouts::default(),
        }
    }

    fn spec_with(to: &[&str], transport: TransportConfig) -> EmailSpec {
        EmailSpec {
            channel: ChannelName::parse("studio-mail").unwrap(),
            from: MailAddress::parse("watch@example.com").unwrap(),
            to: to.iter().map(|to| MailAddress::parse(to).unwrap()).collect(),
            bounces: None,
            style: MailStyle::plain(MailDomain::parse("example.com").unwrap()),
            context: MessageContext::PLAIN,
            post: transport,
        }
    }

    fn spec(to: &[&str]) -> EmailSpec {
        spec_with(to, TransportConfig::Smtp(smtp()))
    }

    #[test]
    fn invalid_settings_are_refused() {
        let check = |spec: EmailSpec, expected: &str| {
            let error = Email::new(spec).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!format!("{error:?}").contains("CANARY"));
        };
        check(spec(&[]), "no recipients");
        let host = "x.example\r\nMAIL FROM:<x>".to_owned();
        let injected = TransportConfig::Smtp(SmtpSpec { host, ..smtp() });
        check(spec_with(&["a@example.com"], injected), "smtp.host");
        let ca_pem = Some(b"-----BEGIN CERTIFICATE-----\nxx\n".to_vec());
        let garbled = TransportConfig::Smtp(SmtpSpec { ca_pem, ..smtp() });
        check(spec_with(&["a@example.com"], garbled), "TLS");
    }

    #[test]
    fn a_fingerprint_changes_with_the_recipients_but_not_with_their_order() {
        let of = |to: &[&str]| Email::new(spec(to)).unwrap().fingerprint();
        assert_eq!(
            of(&["a@example.com", "b@example.com"]),
            of(&["b@example.com", "a@example.com"])
        );
        assert_ne!(of(&["a@example.com"]), of(&["b@example.com"]));
        let of_transport =
            |it| Email::new(spec_with(&["a@example.com"], it)).unwrap().fingerprint();
        let sendmail = |command: &str| {
            let program = Program::new(vec![command.to_owned()], Trust::for_named());
            of_transport(TransportConfig::Sendmail(SendmailSpec {
                program,
                timeout: Duration::ZERO,
            }))
        };
        let file = of_transport(TransportConfig::File("/a".into()));
        let all = [of(&["a@example.com"]), sendmail("/a"), sendmail("/b"), file];
        for (at, one) in all.iter().enumerate() {
            assert!(all.iter().skip(at + 1).all(|other| other != one));
        }
    }

    #[test]
    fn a_repeated_recipient_gets_one_mail_and_no_secret_is_shown() {
        let email = Email::new(spec(&["a@example.com", "a@example.com"])).unwrap();
        assert_eq!(email.to.len(), 1);
        assert_eq!(format!("{email:?}"), "Email { host: \"mail.example.com\", .. }");
    }
}
