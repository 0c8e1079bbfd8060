//! E-mail against a mail server that behaves and misbehaves at every step: what each end of a
//! try means, and what is never said in plain.

use std::time::Duration;

use avatar_watch::domain::delivery::channel::ChannelName;
use avatar_watch::domain::delivery::{Outcome, OutcomeClass};
use avatar_watch::domain::mail::address::MailAddress;
use avatar_watch::domain::mail::domain::MailDomain;
use avatar_watch::files::program::Program;
use avatar_watch::files::trust::Trust;
use avatar_watch::notify::channel::Channel;
use avatar_watch::notify::email::channel::Email;
use avatar_watch::notify::email::config::{
    Bounces, CredentialSource, EmailSpec, LoginMethod, LoginSpec, MailStyle, PhaseTimeouts,
    SmtpSpec, SmtpTls, TransportConfig,
};
use avatar_watch::notify::message::OutboundMessage;
use avatar_watch::secret::Secret;

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

/// The same, with the login that the mailbox knows.
fn with_login(smtp: SmtpSpec) -> SmtpSpec {
    let (method, proof) = (LoginMethod::Password, CredentialSource::Given(Secret::new(CANARY)));
    SmtpSpec {
        login: Some(LoginSpec { user: "watch".to_owned(), method, credential: proof }),
        ..smtp
    }
}

fn program(command: Vec<String>) -> Program {
    Program::new(command, Trust::for_named())
}

fn spec_of(post: TransportConfig) -> EmailSpec {
    EmailSpec {
        channel: ChannelName::parse("studio-mail").unwrap(),
        from: MailAddress::parse("watch@example.com").unwrap(),
        to: vec![MailAddress::parse(TO).unwrap()],
        bounces: Bounces::Sender,
        style: MailStyle::plain(MailDomain::parse("watch.example.com").unwrap()),
        post,
    }
}

fn email_to(to: &[&str], smtp: SmtpSpec) -> Channel {
    let to = to.iter().map(|to| MailAddress::parse(to).unwrap()).collect();
    Channel::Email(Email::new(EmailSpec { to, ..spec_of(TransportConfig::Smtp(smtp)) }).unwrap())
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

async fn check(step: Step, upset: Upset, expected: (OutcomeClass, &str, Option<u16>)) {
    let (outcome, _) = outcome_of(vec![(step, upset.clone())]).await;
    let found = (outcome.class, outcome.phase, outcome.code);
    assert_eq!(found, expected, "for {upset:?} at {step:?}: {outcome:?}");
    assert_eq!(outcome.error.is_none(), outcome.class == OutcomeClass::Delivered);
}

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
    let mailbox = Mailbox::start(Security::Plain, None).await;
    let channel = email_to(&[TO, "boss@example.com"], spec(&mailbox, SmtpTls::None));
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

#[tokio::test]
async fn a_temporary_refusal_is_throttled_at_every_step() {
    for (step, phase) in STEPS {
        check(step, Upset::Reply("421 later"), (OutcomeClass::Throttled, phase, Some(421))).await;
    }
    let greylisted = Upset::Reply("451 4.7.1 greylisted");
    check(Step::Rcpt, greylisted, (OutcomeClass::Throttled, "rcpt", Some(451))).await;
    let full = Upset::Reply("452 4.2.2 mailbox full");
    check(Step::Rcpt, full, (OutcomeClass::Throttled, "rcpt", Some(452))).await;
    let policy = Upset::Reply("454 4.7.5 not just now");
    check(Step::Mail, policy, (OutcomeClass::Throttled, "mail", Some(454))).await;
}

#[tokio::test]
async fn a_refusal_is_of_the_recipient_the_mail_or_the_settings() {
    let check = async |step, reply: &'static str, class, phase| {
        let code = reply[..3].parse().unwrap();
        check(step, Upset::Reply(reply), (class, phase, Some(code))).await;
    };
    check(Step::Rcpt, "550 5.1.1 no such user", OutcomeClass::Rejected, "rcpt").await;
    check(Step::Data, "554 no", OutcomeClass::Throttled, "data").await;
    check(Step::Dot, "552 5.3.4 too big", OutcomeClass::Rejected, "dot").await;
    check(Step::Dot, "554 5.7.1 no", OutcomeClass::Throttled, "dot").await;
    check(Step::Dot, "554 5.7.1 a virus", OutcomeClass::Rejected, "dot").await;
    check(Step::Dot, "550 5.7.60 not permitted to send as", OutcomeClass::Misconfigured, "dot")
        .await;
    check(Step::Rcpt, "550 relay not permitted", OutcomeClass::Misconfigured, "rcpt").await;
    check(Step::Greeting, "554 no service", OutcomeClass::Misconfigured, "hello").await;
    check(Step::Ehlo, "550 who?", OutcomeClass::Misconfigured, "hello").await;
    check(Step::Auth, "535 wrong", OutcomeClass::Misconfigured, "auth").await;
    check(Step::Auth, "534 use another way", OutcomeClass::Misconfigured, "auth").await;
    check(Step::Mail, "553 not your address", OutcomeClass::Misconfigured, "mail").await;
    check(Step::Rcpt, "530 log in first", OutcomeClass::Misconfigured, "rcpt").await;
    check(Step::Rcpt, "550 5.1.8 no such sender", OutcomeClass::Misconfigured, "rcpt").await;
}

#[tokio::test]
async fn a_wrong_port_or_tls_mode_is_reported_with_a_fix() {
    let help = async |security, tls, plan: Plan| {
        let mailbox = Mailbox::start(security, None).await;
        mailbox.script([plan]);
        let channel = email(impatient(Step::Greeting, spec(&mailbox, tls)));
        let outcome = attempt(&channel).await;
        assert_ne!(outcome.class, OutcomeClass::Delivered, "{outcome:?}");
        outcome.help.unwrap_or_else(|| panic!("no help: {outcome:?}"))
    };
    let plain_at_once = help(Security::Plain, SmtpTls::Implicit, vec![]).await;
    assert!(plain_at_once.contains("`tls = \"starttls\"`"), "{plain_at_once}");
    for (security, tls) in
        [(Security::Implicit, SmtpTls::Starttls), (Security::Implicit, SmtpTls::None)]
    {
        let waits_for_us = help(security, tls, vec![]).await;
        assert!(waits_for_us.contains("`tls = \"implicit\"`"), "{waits_for_us}");
    }
    for reply in [&b"220 go on\r\n250 and on, in the clear\r\n"[..], b"501 5.5.4 no\r\n"] {
        let plan = vec![(Step::Starttls, Upset::Raw(reply))];
        let in_between = help(Security::Starttls, SmtpTls::Starttls, plan).await;
        assert!(in_between.contains("in between"), "{in_between}");
    }
    let none = help(Security::Plain, SmtpTls::Starttls, vec![]).await;
    assert!(none.contains("in between"), "{none}");
    // A port that is right needs none.
    let mailbox = Mailbox::start(Security::Plain, None).await;
    assert_eq!(attempt(&email(spec(&mailbox, SmtpTls::None))).await.help, None);
}

#[tokio::test]
async fn cloud_metadata_addresses_are_blocked_for_mail() {
    let mailbox = Mailbox::start(Security::Plain, None).await;
    for host in ["169.254.169.254", "fd00:ec2::254", "::ffff:100.100.100.200"] {
        let channel = email(SmtpSpec { host: host.to_owned(), ..spec(&mailbox, SmtpTls::None) });
        for outcome in [attempt(&channel).await, channel.probe().await] {
            assert_eq!(
                (outcome.class, outcome.phase),
                (OutcomeClass::Misconfigured, "connect"),
                "{outcome:?}"
            );
            assert!(
                outcome.error.unwrap().starts_with(&format!("`{host}` was not connected to: "))
            );
        }
    }
}

#[tokio::test]
async fn a_reply_out_of_sequence_is_no_success() {
    let odd = |reply| Upset::Reply(reply);
    check(Step::Data, odd("250 ok"), (OutcomeClass::Retryable, "data", Some(250))).await;
    check(Step::Mail, odd("354 go"), (OutcomeClass::Retryable, "mail", Some(354))).await;
    check(Step::Dot, odd("354 go"), (OutcomeClass::Ambiguous, "dot", Some(354))).await;
}

#[tokio::test]
async fn failures_after_acceptance_do_not_matter() {
    let taken = (OutcomeClass::Delivered, "dot", Some(250));
    check(Step::Dot, Upset::ReplyThenDrop, taken).await;
    check(Step::Quit, Upset::Drop, taken).await;
    check(Step::Quit, Upset::Reply("500 no"), taken).await;
}

#[tokio::test]
async fn a_refused_recipient_does_not_harm_the_others() {
    let mailbox = Mailbox::start(Security::Plain, None).await;
    mailbox.script([vec![(Step::Rcpt, Upset::Reply("550 <studio@example.com> unknown"))]]);
    let channel = email_to(&[TO, "boss@example.com"], spec(&mailbox, SmtpTls::None));
    let mut classes = Vec::new();
    for message in sample_events::messages(&channel, &sample_events::settled(None, "REFUSED")) {
        let outcome = channel.deliver(&message, sample_events::DETECTED_AT).await;
        assert!(!format!("{outcome:?}").contains(TO), "{outcome:?}");
        classes.push(outcome.class);
    }
    assert_eq!(classes, [OutcomeClass::Rejected, OutcomeClass::Delivered]);
    assert_eq!(mailbox.wait_for(1).await[0].to, "boss@example.com");
}

/// Regression of delivery.md, finding 0.1: with a pooled connection, the answers to the second
/// mail were read one step behind, and a refused mail was reported as sent.
#[tokio::test]
async fn a_mail_refused_after_a_timeout_at_the_dot_is_reported_as_refused() {
    let mailbox = Mailbox::start(Security::Plain, None).await;
    mailbox.script([
        vec![(Step::Dot, Upset::Stall)],
        vec![(Step::Dot, Upset::Reply("552 5.3.4 too big"))],
    ]);
    let channel = email(impatient(Step::Dot, spec(&mailbox, SmtpTls::None)));
    let first = attempt(&channel).await;
    assert_eq!((first.class, first.phase), (OutcomeClass::Ambiguous, "dot"));
    let second = attempt(&channel).await;
    assert_eq!((second.class, second.code), (OutcomeClass::Rejected, Some(552)));
    assert_eq!(mailbox.sessions(), 2);
}

#[tokio::test]
async fn the_steps_before_the_mail_have_a_limit_together() {
    let mailbox = Mailbox::start(Security::Plain, None).await;
    mailbox.script([vec![(Step::Rcpt, Upset::Stall)]]);
    let mut spec = spec(&mailbox, SmtpTls::None);
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
        vec![(Step::Ehlo, Upset::NoStarttls)],
        vec![(Step::Starttls, Upset::Reply("454 not now"))],
        vec![(Step::Starttls, Upset::Stall)],
        vec![(Step::Starttls, Upset::Smuggle("250 AUTH PLAIN"))],
    ]);
    let channel = email(with_login(impatient(Step::Starttls, spec(&mailbox, SmtpTls::Starttls))));
    for (class, said) in [
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
async fn the_wrong_tls_mode_times_out_and_names_the_step() {
    let implicit = Mailbox::start(Security::Implicit, None).await;
    let outcome =
        attempt(&email(impatient(Step::Greeting, spec(&implicit, SmtpTls::Starttls)))).await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "hello"));
    let starttls = Mailbox::start(Security::Starttls, None).await;
    let outcome =
        attempt(&email(impatient(Step::Starttls, spec(&starttls, SmtpTls::Implicit)))).await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "tls"));
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
        let mailbox = Mailbox::start(Security::Plain, None).await;
        mailbox.script([vec![(Step::Dot, upset)]]);
        let channel = email(impatient(Step::Dot, spec(&mailbox, SmtpTls::None)));
        let message = message(&channel);
        let mut classes = Vec::new();
        for _ in 0..2 {
            classes.push(channel.deliver(&message, sample_events::DETECTED_AT).await.class);
        }
        assert_eq!(classes, [OutcomeClass::Ambiguous, OutcomeClass::Delivered]);
        let mails = mailbox.wait_for(2).await;
        assert_eq!(mails[0].data, mails[1].data);
        let id = format!(".{}@watch.example.com>", message.delivery_id);
        assert!(String::from_utf8(mails[0].data.clone()).unwrap().contains(&id));
        assert_eq!(mailbox.sessions(), 2);
    }
}

#[tokio::test]
async fn a_busy_server_accepts_the_mail_later() {
    let mailbox = Mailbox::start(Security::Plain, None).await;
    mailbox.script([vec![(Step::Dot, Upset::Reply("451 4.3.0 busy"))]]);
    let channel = email(spec(&mailbox, SmtpTls::None));
    let classes = [attempt(&channel).await.class, attempt(&channel).await.class];
    assert_eq!(classes, [OutcomeClass::Throttled, OutcomeClass::Delivered]);
    assert_eq!((mailbox.mails().len(), mailbox.sessions()), (1, 2));
}

#[tokio::test]
async fn bounces_go_to_the_configured_address() {
    let bounces = MailAddress::parse("bounces@example.com").unwrap();
    for (bounces, expected) in [
        (Bounces::Sender, "watch@example.com"),
        (Bounces::To(bounces), "bounces@example.com"),
        (Bounces::Nowhere, ""),
    ] {
        let mailbox = Mailbox::start(Security::Plain, None).await;
        let post = TransportConfig::Smtp(spec(&mailbox, SmtpTls::None));
        let channel = Channel::Email(Email::new(EmailSpec { bounces, ..spec_of(post) }).unwrap());
        assert_eq!(attempt(&channel).await.class, OutcomeClass::Delivered);
        let mail = mailbox.wait_for(1).await.remove(0);
        assert_eq!(mail.from, expected);
        let text = String::from_utf8(mail.data).unwrap();
        assert!(text.contains("From: \"Avatar Watch\" <watch@example.com>\r\n"));
        assert!(
            mailbox.talk().contains(&format!("MAIL FROM:<{expected}>")),
            "{:?}",
            mailbox.talk()
        );
    }
}

#[tokio::test]
async fn the_limit_after_the_dot_can_be_longer() {
    let usual = PhaseTimeouts::default();
    assert_eq!(PhaseTimeouts::with_dot(usual.dot), usual);
    let patient = PhaseTimeouts::with_dot(Duration::from_secs(600));
    assert_eq!(patient, PhaseTimeouts { dot: Duration::from_secs(600), ..usual });
    let mailbox = Mailbox::start(Security::Plain, None).await;
    mailbox.script([vec![(Step::Dot, Upset::Slow(Duration::from_millis(800)))]]);
    let spec = impatient(Step::Data, spec(&mailbox, SmtpTls::None));
    assert_eq!(attempt(&email(spec)).await.class, OutcomeClass::Delivered);
}

#[tokio::test]
async fn slow_steps_and_quit_do_not_shorten_the_limit_after_the_dot() {
    let mailbox = Mailbox::start(Security::Plain, None).await;
    let slow = Upset::Slow(Duration::from_secs(3));
    mailbox.script([vec![(Step::Dot, slow), (Step::Quit, Upset::Stall)]]);
    let mut spec = spec(&mailbox, SmtpTls::None);
    spec.timeouts.opening = Duration::from_secs(2);
    let outcome = attempt(&email(spec)).await;
    let found = (outcome.class, outcome.phase, outcome.code);
    assert_eq!(found, (OutcomeClass::Delivered, "dot", Some(250)), "{outcome:?}");
}
