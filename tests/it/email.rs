//! E-mail against a mail server that behaves and misbehaves at every step: what each end of a
//! try means, and what is never said in plain.

use std::time::Duration;

use avatar_watch::domain::delivery::channel_name::ChannelName;
use avatar_watch::domain::delivery::{Outcome, OutcomeClass};
use avatar_watch::domain::mail::address::MailAddress;
use avatar_watch::domain::mail::domain::MailDomain;
use avatar_watch::domain::mail::options::{LoginMethod, SmtpTls};
use avatar_watch::files::program::Program;
use avatar_watch::files::trust::Trust;
use avatar_watch::notify::channel::Channel;
use avatar_watch::notify::email::channel::Email;
use avatar_watch::notify::email::config::{
    EmailSpec, LoginSpec, MailStyle, PhaseTimeouts, SmtpSpec, TransportConfig,
};
use avatar_watch::notify::message::OutboundMessage;
use avatar_watch::notify::message_context::MessageContext;
use avatar_watch::secret::{CredentialSource, Secret};

use crate::harness::sample_events;
use crate::harness::smtp::{Mailbox, Plan, Security, Step, Upset};

mod addresses;
mod login;
mod replies;
mod messages;
mod transports;
mod local;

const TO: &str = "studio@example.com";
const CANARY: &str = "C4N4RYPASS";
const LOGIN: Option<(&str, &str)> = Some(("watch", CANARY));

fn spec(mailbox: &Mailbox, tls: SmtpTls) -> SmtpSpec {
    SmtpSpec {
        host: "localhost".to_owned(),
        port: mailbox.port(),
        tls,
        login: None,
        ca_pem: Some(mailbox.ca_pem()),
        hello_name: None,
        timeouts: PhaseTimeouts::default(),
    }
}

/// The same, with this login.
fn login_by(method: LoginMethod, credential: CredentialSource, smtp: SmtpSpec) -> SmtpSpec {
    SmtpSpec { login: Some(LoginSpec { user: "watch".to_owned(), method, credential }), ..smtp }
}

/// The same, with the login that the mailbox knows.
fn with_login(smtp: SmtpSpec) -> SmtpSpec {
    login_by(LoginMethod::Password, CredentialSource::Given(Secret::new(CANARY)), smtp)
}

fn program(command: Vec<String>) -> Program {
    Program::new(command, Trust::for_named())
}

fn address(text: &str) -> MailAddress {
    MailAddress::parse(text).unwrap()
}

fn spec_of(post: TransportConfig) -> EmailSpec {
    EmailSpec {
        channel: ChannelName::parse("studio-mail").unwrap(),
        from: address("watch@example.com"),
        to: vec![address(TO)],
        bounces: Some(address("watch@example.com")),
        style: MailStyle::plain(MailDomain::parse("watch.example.com").unwrap()),
        context: MessageContext::PLAIN,
        post,
    }
}

fn build(spec: EmailSpec) -> Channel {
    Channel::Email(Email::new(spec).unwrap())
}

fn email_to(to: &[&str], smtp: SmtpSpec) -> Channel {
    let to = to.iter().map(|to| address(to)).collect();
    build(EmailSpec { to, ..spec_of(TransportConfig::Smtp(smtp)) })
}

fn email(smtp: SmtpSpec) -> Channel {
    email_to(&[TO], smtp)
}

/// Patient with every step but that one.
fn impatient(step: Step, smtp: SmtpSpec) -> SmtpSpec {
    let (short, long) = (Duration::from_millis(500), Duration::from_secs(30));
    let limit = |of: &[Step]| if of.contains(&step) { short } else { long };
    let timeouts = PhaseTimeouts {
        connect: long,
        hello: limit(&[Step::Greeting, Step::Ehlo, Step::Starttls, Step::Auth]),
        mail: limit(&[Step::Mail, Step::Rcpt]),
        data: limit(&[Step::Data]),
        opening: long,
        dot: limit(&[Step::Dot]),
    };
    SmtpSpec { timeouts, ..smtp }
}

fn message(channel: &Channel) -> OutboundMessage {
    sample_events::messages(channel, &sample_events::settled(Some("Jane, English"), "IDLE"))
        .remove(0)
}

async fn attempt(channel: &Channel) -> Outcome {
    channel.deliver(&message(channel), sample_events::DETECTED_AT).await
}

/// A server without a login or TLS, with a session for each plan, and its settings.
async fn scripted(plans: impl IntoIterator<Item = Plan>) -> (Mailbox, SmtpSpec) {
    let mailbox = Mailbox::start(Security::Plain, None).await;
    mailbox.script(plans);
    let spec = spec(&mailbox, SmtpTls::None);
    (mailbox, spec)
}

/// Class, phase and code of an outcome.
type Found = (OutcomeClass, &'static str, Option<u16>);

/// Two attempts at the same mail.
async fn two_attempts(channel: &Channel) -> Vec<Found> {
    let mut found = Vec::new();
    for _ in 0..2 {
        let outcome = attempt(channel).await;
        found.push((outcome.class, outcome.phase, outcome.code));
    }
    found
}

/// One attempt at a server with this script; with short limits where it stalls.
async fn outcome_of(plan: Plan) -> (Outcome, Mailbox) {
    let mailbox = Mailbox::start(Security::Plain, LOGIN).await;
    let mut spec = spec(&mailbox, SmtpTls::None);
    let stalled = plan.iter().find(|(_, upset)| matches!(upset, Upset::Stall));
    if let Some((step, _)) = stalled {
        spec = impatient(*step, spec);
    }
    mailbox.script([plan]);
    let outcome = attempt(&email(with_login(spec))).await;
    assert_eq!(mailbox.sessions(), 1, "one attempt is one session");
    let shown = format!("{outcome:?}");
    assert!(!shown.contains(CANARY) && !shown.contains(TO), "{shown}");
    (outcome, mailbox)
}

async fn check(step: Step, upset: Upset, expected: Found) {
    let (outcome, _) = outcome_of(vec![(step, upset.clone())]).await;
    let found = (outcome.class, outcome.phase, outcome.code);
    assert_eq!(found, expected, "for {upset:?} at {step:?}: {outcome:?}");
    assert_eq!(outcome.error.is_none(), outcome.class == OutcomeClass::Delivered);
}

const DELIVERED: Found = (OutcomeClass::Delivered, "dot", Some(250));

const STEPS: [(Step, &str); 7] = [
    (Step::Greeting, "hello"),
    (Step::Ehlo, "hello"),
    (Step::Auth, "auth"),
    (Step::Mail, "mail"),
    (Step::Rcpt, "rcpt"),
    (Step::Data, "data"),
    (Step::Dot, "dot"),
];

#[tokio::test]
async fn a_mail_arrives_byte_for_byte_with_one_recipient_each() {
    let (mailbox, spec) = scripted([]).await;
    let channel = email_to(&[TO, "boss@example.com"], spec);
    let parcels = sample_events::messages(&channel, &sample_events::settled(Some(".Jane"), "IDLE"));
    assert_eq!(parcels.len(), 2);
    assert_ne!(parcels[0].delivery_id, parcels[1].delivery_id);
    for message in &parcels {
        let outcome = channel.deliver(message, sample_events::DETECTED_AT).await;
        assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Delivered, "dot"));
        assert_eq!(outcome.code, Some(250));
        assert_eq!(outcome.snippet.as_deref(), Some("2.0.0 queued as 4711"));
    }
    for (mail, message) in mailbox.wait_for(2).await.iter().zip(&parcels) {
        assert_eq!((mail.from.as_str(), &mail.to), ("watch@example.com", &message.recipient));
        assert_eq!(mail.data, message.body);
    }
    assert_eq!(mailbox.sessions(), 2, "a connection is used once");
}

#[tokio::test]
async fn a_lost_connection_is_retried_and_after_the_dot_ambiguous() {
    let checks = STEPS.map(async |(step, phase)| {
        let class = match step {
            Step::Dot => OutcomeClass::Ambiguous,
            _ => OutcomeClass::Retryable,
        };
        check(step, Upset::Stall, (class, phase, None)).await;
        check(step, Upset::Drop, (class, phase, None)).await;
    });
    futures_util::future::join_all(checks).await;
}

/// What each text means is tested where it is decided, in `domain::mail`.
#[tokio::test]
async fn a_refusal_is_temporary_or_of_the_recipient_the_mail_or_the_settings() {
    for (step, phase) in STEPS {
        check(step, Upset::Reply("421 later"), (OutcomeClass::Throttled, phase, Some(421))).await;
    }
    for (step, reply, class, phase) in [
        (Step::Rcpt, "452 4.2.2 mailbox full", OutcomeClass::Throttled, "rcpt"),
        (Step::Rcpt, "550 5.1.1 no such user", OutcomeClass::Rejected, "rcpt"),
        (Step::Data, "554 no", OutcomeClass::Throttled, "data"),
        (Step::Dot, "451 4.3.0 busy", OutcomeClass::Throttled, "dot"),
        (Step::Dot, "552 5.3.4 too big", OutcomeClass::Rejected, "dot"),
        (Step::Dot, "554 5.7.1 no", OutcomeClass::Throttled, "dot"),
        (Step::Greeting, "554 no service", OutcomeClass::Misconfigured, "hello"),
        (Step::Ehlo, "550 who?", OutcomeClass::Misconfigured, "hello"),
        (Step::Auth, "535 wrong", OutcomeClass::Misconfigured, "auth"),
        (Step::Mail, "553 not your address", OutcomeClass::Misconfigured, "mail"),
        (Step::Rcpt, "550 5.1.8 no such sender", OutcomeClass::Misconfigured, "rcpt"),
        // Out of sequence, which is no success.
        (Step::Data, "250 ok", OutcomeClass::Retryable, "data"),
        (Step::Mail, "354 go", OutcomeClass::Retryable, "mail"),
        (Step::Dot, "354 go", OutcomeClass::Ambiguous, "dot"),
    ] {
        let code = reply[..3].parse().unwrap();
        check(step, Upset::Reply(reply), (class, phase, Some(code))).await;
    }
}

#[tokio::test]
async fn a_wrong_port_or_tls_mode_is_reported_with_a_fix() {
    let (starttls, implicit) = ("`tls = \"starttls\"`", "`tls = \"implicit\"`");
    let clear = Upset::Raw(b"220 go on\r\n250 and on, in the clear\r\n");
    for (security, tls, replies, phase, help) in [
        (Security::Plain, SmtpTls::Implicit, None, "tls", starttls),
        (Security::Starttls, SmtpTls::Implicit, None, "tls", starttls),
        (Security::Implicit, SmtpTls::Starttls, None, "hello", implicit),
        (Security::Implicit, SmtpTls::None, None, "hello", implicit),
        (Security::Starttls, SmtpTls::Starttls, Some(clear), "tls", "in between"),
        (Security::Starttls, SmtpTls::Starttls, Some(Upset::Reply("501 no")), "tls", "in between"),
        (Security::Plain, SmtpTls::Starttls, None, "tls", "in between"),
    ] {
        let mailbox = Mailbox::start(security, None).await;
        mailbox.script([replies.map(|reply| (Step::Starttls, reply)).into_iter().collect()]);
        let outcome = attempt(&email(impatient(Step::Greeting, spec(&mailbox, tls)))).await;
        let found = (outcome.phase, outcome.help.is_some_and(|it| it.contains(help)));
        assert_eq!(found, (phase, true), "{outcome:?}");
        assert!(matches!(outcome.class, OutcomeClass::Retryable | OutcomeClass::Misconfigured));
    }
    // A port that is right needs none.
    assert_eq!(attempt(&email(scripted([]).await.1)).await.help, None);
}

#[tokio::test]
async fn cloud_metadata_addresses_are_blocked_for_mail() {
    let (_mailbox, spec) = scripted([]).await;
    for host in ["169.254.169.254", "fd00:ec2::254", "::ffff:100.100.100.200"] {
        let channel = email(SmtpSpec { host: host.to_owned(), ..spec.clone() });
        for outcome in [attempt(&channel).await, channel.probe().await] {
            let found = (outcome.class, outcome.phase);
            assert_eq!(found, (OutcomeClass::Misconfigured, "connect"), "{outcome:?}");
            let said = format!("`{host}` was not connected to: ");
            assert!(outcome.error.unwrap().starts_with(&said));
        }
    }
}

#[tokio::test]
async fn failures_after_acceptance_do_not_matter() {
    check(Step::Dot, Upset::RawThenDrop(b"250 queued\r\n"), DELIVERED).await;
    check(Step::Quit, Upset::Drop, DELIVERED).await;
    check(Step::Quit, Upset::Reply("500 no"), DELIVERED).await;
}

/// Regression of delivery.md, finding 0.1: with a pooled connection, the answers to the second
/// mail were read one step behind, and a refused mail was reported as sent.
#[tokio::test]
async fn a_mail_refused_after_a_timeout_at_the_dot_is_reported_as_refused() {
    let too_big = Upset::Reply("552 5.3.4 too big");
    let plans = [vec![(Step::Dot, Upset::Stall)], vec![(Step::Dot, too_big)]];
    let (mailbox, spec) = scripted(plans).await;
    let found = two_attempts(&email(impatient(Step::Dot, spec))).await;
    let refused = (OutcomeClass::Rejected, "dot", Some(552));
    assert_eq!(found, [(OutcomeClass::Ambiguous, "dot", None), refused]);
    assert_eq!(mailbox.sessions(), 2);
}

#[tokio::test]
async fn the_steps_before_the_mail_have_a_limit_together() {
    let (_mailbox, mut spec) = scripted([vec![(Step::Rcpt, Upset::Stall)]]).await;
    spec.timeouts.opening = Duration::from_millis(250);
    let outcome = attempt(&email(spec)).await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "rcpt"));
}

#[tokio::test]
async fn both_kinds_of_tls_work_with_the_right_root_and_fail_without() {
    let pairs = [(Security::Starttls, SmtpTls::Starttls), (Security::Implicit, SmtpTls::Implicit)];
    for (security, tls) in pairs {
        let mailbox = Mailbox::start(security, LOGIN).await;
        let trusting = with_login(spec(&mailbox, tls));
        let distrusting = SmtpSpec { ca_pem: None, ..trusting.clone() };
        let channel = email(trusting);
        let probed = channel.probe().await;
        assert_eq!((probed.class, probed.phase), (OutcomeClass::Delivered, "auth"));
        assert!(mailbox.mails().is_empty());
        assert_eq!(attempt(&channel).await.class, OutcomeClass::Delivered);
        let mail = mailbox.wait_for(1).await.remove(0);
        assert!(mail.encrypted);
        assert_eq!(mail.user.as_deref(), Some("watch"));
        let said = mailbox.talk().len();
        let outcome = attempt(&email(distrusting)).await;
        assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "tls"), "{tls:?}");
        assert!(outcome.error.unwrap().contains("certificate"));
        let rest = mailbox.talk().split_off(said);
        assert!(rest.iter().all(|line| !line.contains("AUTH") && !line.contains("MAIL")));
    }
}

#[tokio::test]
async fn without_the_configured_tls_nothing_is_sent() {
    let mailbox = Mailbox::start(Security::Starttls, LOGIN).await;
    mailbox.script([
        vec![(Step::Ehlo, Upset::Raw(b"250-m\r\n250 8BITMIME\r\n"))],
        vec![(Step::Ehlo, Upset::Raw(b"250-m\r\n250 XSTARTTLS\r\n"))],
        vec![(Step::Starttls, Upset::Reply("454 not now"))],
        vec![(Step::Starttls, Upset::Stall)],
        vec![(Step::Starttls, Upset::Raw(b"220 go\r\n250 AUTH PLAIN\r\n"))],
    ]);
    let channel = email(with_login(impatient(Step::Starttls, spec(&mailbox, SmtpTls::Starttls))));
    for (class, said) in [
        (OutcomeClass::Misconfigured, "does not offer STARTTLS"),
        (OutcomeClass::Misconfigured, "does not offer STARTTLS"),
        (OutcomeClass::Retryable, "answered 454"),
        (OutcomeClass::Retryable, "did not respond"),
        (OutcomeClass::Retryable, "plain text followed the reply to STARTTLS"),
    ] {
        let outcome = attempt(&channel).await;
        assert_eq!((outcome.class, outcome.phase), (class, "tls"), "{outcome:?}");
        assert!(outcome.error.as_ref().unwrap().contains(said), "{outcome:?}");
    }
    let talk = mailbox.talk();
    assert!(talk.iter().all(|line| line.starts_with("EHLO") || line.len() <= 8), "{talk:?}");
}

#[tokio::test]
async fn an_absent_server_is_retried() {
    let mailbox = Mailbox::start(Security::Plain, None).await;
    for tls in [SmtpTls::None, SmtpTls::Implicit] {
        let mut gone = spec(&mailbox, tls);
        gone.port = 1;
        let outcome = attempt(&email(gone)).await;
        assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "connect"));
        let mut unknown = spec(&mailbox, tls);
        unknown.host = "no-such-host.invalid".to_owned();
        assert_eq!(attempt(&email(unknown)).await.phase, "resolve");
    }
}

/// A repeat after an ambiguous attempt has the same id, so that a mailbox can recognize it.
#[tokio::test]
async fn a_mail_without_a_reply_is_sent_again_with_the_same_id() {
    for upset in [Upset::Drop, Upset::Stall] {
        let (mailbox, spec) = scripted([vec![(Step::Dot, upset)]]).await;
        let channel = email(impatient(Step::Dot, spec));
        let found = two_attempts(&channel).await;
        assert_eq!(found, [(OutcomeClass::Ambiguous, "dot", None), DELIVERED]);
        let mails = mailbox.wait_for(2).await;
        assert_eq!(mails[0].data, mails[1].data);
        let id = format!(".{}@watch.example.com>", message(&channel).delivery_id);
        assert!(String::from_utf8(mails[0].data.clone()).unwrap().contains(&id));
        assert_eq!(mailbox.sessions(), 2);
    }
}

#[tokio::test]
async fn bounces_go_to_the_configured_address() {
    for expected in ["watch@example.com", "bounces@example.com", ""] {
        let (mailbox, spec) = scripted([]).await;
        let channel = build(EmailSpec {
            bounces: MailAddress::parse(expected).ok(),
            ..spec_of(TransportConfig::Smtp(spec))
        });
        assert_eq!(attempt(&channel).await.class, OutcomeClass::Delivered);
        let mail = mailbox.wait_for(1).await.remove(0);
        assert_eq!(mail.from, expected);
        let text = String::from_utf8(mail.data).unwrap();
        assert!(text.contains("From: \"Avatar Watch\" <watch@example.com>\r\n"));
        let talk = mailbox.talk();
        assert!(talk.contains(&format!("MAIL FROM:<{expected}>")), "{talk:?}");
    }
}

#[tokio::test]
async fn the_limit_after_the_dot_can_be_longer() {
    let slow = Upset::Slow(Duration::from_millis(800));
    let (_mailbox, spec) = scripted([vec![(Step::Dot, slow)]]).await;
    let outcome = attempt(&email(impatient(Step::Data, spec))).await;
    assert_eq!(outcome.class, OutcomeClass::Delivered);
}

#[tokio::test]
async fn slow_steps_and_quit_do_not_shorten_the_limit_after_the_dot() {
    let slow = Upset::Slow(Duration::from_secs(3));
    let plan = vec![(Step::Dot, slow), (Step::Quit, Upset::Stall)];
    let (_mailbox, mut spec) = scripted([plan]).await;
    spec.timeouts.opening = Duration::from_secs(2);
    let outcome = attempt(&email(spec)).await;
    let found = (outcome.class, outcome.phase, outcome.code);
    assert_eq!(found, DELIVERED, "{outcome:?}");
}
