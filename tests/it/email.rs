//! E-mail against a mail server that behaves and misbehaves at every step: what each end of a
//! try means, and what is never said in plain.

use std::time::Duration;

use avatar_watch::domain::channel::ChannelName;
use avatar_watch::domain::delivery::{Outcome, OutcomeClass};
use avatar_watch::domain::mail_address::MailAddress;
use avatar_watch::notify::channels::{Channel, Parcel};
use avatar_watch::notify::email::mailer::{Email, EmailSpec, PhaseTimeouts, SmtpSpec, SmtpTls};
use avatar_watch::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::harness::news;
use crate::harness::smtp::{Mailbox, Plan, Security, Step, Upset};

const TO: &str = "studio@example.com";
const CANARY: &str = "C4N4RYPASS";
const LOGIN: Option<(&str, &str)> = Some(("watch", CANARY));

fn spec(mailbox: &Mailbox, tls: SmtpTls, to: &[&str]) -> EmailSpec {
    EmailSpec {
        channel: ChannelName::parse("studio-mail").unwrap(),
        from: MailAddress::parse("watch@example.com").unwrap(),
        to: to.iter().map(|to| MailAddress::parse(to).unwrap()).collect(),
        message_id_domain: "watch.example.com".to_owned(),
        smtp: SmtpSpec {
            host: "localhost".to_owned(),
            port: mailbox.port(),
            tls,
            login: None,
            ca_pem: Some(mailbox.ca_pem()),
            hello_name: None,
        },
        timeouts: PhaseTimeouts::default(),
    }
}

fn email(spec: EmailSpec) -> Channel {
    Channel::Email(Email::new(spec).unwrap())
}

fn impatient(mut spec: EmailSpec) -> EmailSpec {
    let short = Duration::from_millis(250);
    spec.timeouts = PhaseTimeouts {
        connect: short,
        hello: short,
        mail: short,
        data: short,
        dot: short,
        whole: Duration::from_secs(5),
    };
    spec
}

fn parcel(channel: &Channel) -> Parcel {
    news::parcels(channel, &news::settled(Some("Jane, English"), "IDLE")).remove(0)
}

async fn try_once(channel: &Channel) -> Outcome {
    channel.deliver(&parcel(channel), news::DETECTED_AT).await
}

/// One try at a server that follows that plan; an impatient one, where it stalls.
async fn outcome_of(plan: Plan) -> (Outcome, Mailbox) {
    let mailbox = Mailbox::start(Security::Plain, LOGIN).await;
    let mut spec = spec(&mailbox, SmtpTls::None, &[TO]);
    if plan.iter().any(|(_, upset)| matches!(upset, Upset::Stall)) {
        spec = impatient(spec);
    }
    mailbox.script([plan]);
    spec.smtp.login = Some(("watch".to_owned(), Secret::new(CANARY)));
    let outcome = try_once(&email(spec)).await;
    assert_eq!(mailbox.sessions(), 1, "one try is one session");
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
    let channel = email(spec(&mailbox, SmtpTls::None, &[TO, "boss@example.com"]));
    let parcels = news::parcels(&channel, &news::settled(Some(".Jane"), "IDLE"));
    assert_eq!(parcels.len(), 2);
    assert_ne!(parcels[0].delivery_id, parcels[1].delivery_id);
    for parcel in &parcels {
        let outcome = channel.deliver(parcel, news::DETECTED_AT).await;
        assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Delivered, "dot"));
        assert_eq!(outcome.code, Some(250));
        assert_eq!(outcome.snippet.as_deref(), Some("2.0.0 queued as 4711"));
    }
    for (mail, parcel) in mailbox.wait_for(2).await.iter().zip(&parcels) {
        assert_eq!((mail.from.as_str(), &mail.to), ("watch@example.com", &parcel.recipient));
        assert_eq!(mail.data, parcel.body);
    }
    assert_eq!(mailbox.sessions(), 2, "a connection is used once");
}

#[tokio::test]
async fn a_step_without_an_answer_is_a_loss_and_after_the_dot_a_doubt() {
    for (step, phase) in STEPS {
        let class = match step {
            Step::Dot => OutcomeClass::Ambiguous,
            _ => OutcomeClass::Retryable,
        };
        check(step, Upset::Stall, (class, phase, None)).await;
        check(step, Upset::Drop, (class, phase, None)).await;
    }
}

#[tokio::test]
async fn a_server_that_asks_to_wait_is_obeyed_at_every_step() {
    for (step, phase) in STEPS {
        check(step, Upset::Reply("421 later"), (OutcomeClass::Throttled, phase, Some(421))).await;
    }
    let greylisted = Upset::Reply("451 4.7.1 greylisted");
    check(Step::Rcpt, greylisted, (OutcomeClass::Throttled, "rcpt", Some(451))).await;
    let full = Upset::Reply("452 4.2.2 mailbox full");
    check(Step::Rcpt, full, (OutcomeClass::Retryable, "rcpt", Some(452))).await;
}

#[tokio::test]
async fn a_refusal_is_final_only_for_this_recipient_or_this_mail() {
    let check = async |step, reply: &'static str, class, phase| {
        let code = reply[..3].parse().unwrap();
        check(step, Upset::Reply(reply), (class, phase, Some(code))).await;
    };
    check(Step::Rcpt, "550 5.1.1 no such user", OutcomeClass::Rejected, "rcpt").await;
    check(Step::Data, "554 no", OutcomeClass::Rejected, "data").await;
    check(Step::Dot, "552 5.3.4 too big", OutcomeClass::Rejected, "dot").await;
    check(Step::Greeting, "554 no service", OutcomeClass::Retryable, "hello").await;
    check(Step::Ehlo, "550 who?", OutcomeClass::Retryable, "hello").await;
    check(Step::Auth, "535 wrong", OutcomeClass::Retryable, "auth").await;
    check(Step::Mail, "553 not your address", OutcomeClass::Retryable, "mail").await;
    check(Step::Rcpt, "530 log in first", OutcomeClass::Retryable, "rcpt").await;
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_no_yes() {
    let odd = |reply| Upset::Reply(reply);
    check(Step::Data, odd("250 ok"), (OutcomeClass::Retryable, "data", Some(250))).await;
    check(Step::Mail, odd("354 go"), (OutcomeClass::Retryable, "mail", Some(354))).await;
    check(Step::Dot, odd("354 go"), (OutcomeClass::Ambiguous, "dot", Some(354))).await;
}

#[tokio::test]
async fn what_happens_after_the_mail_was_taken_does_not_matter() {
    let taken = (OutcomeClass::Delivered, "dot", Some(250));
    check(Step::Dot, Upset::ReplyThenDrop, taken).await;
    check(Step::Quit, Upset::Drop, taken).await;
    check(Step::Quit, Upset::Reply("500 no"), taken).await;
}

#[tokio::test]
async fn a_refused_recipient_does_not_harm_the_others() {
    let mailbox = Mailbox::start(Security::Plain, None).await;
    mailbox.script([vec![(Step::Rcpt, Upset::Reply("550 <studio@example.com> unknown"))]]);
    let channel = email(spec(&mailbox, SmtpTls::None, &[TO, "boss@example.com"]));
    let mut classes = Vec::new();
    for parcel in news::parcels(&channel, &news::settled(None, "REFUSED")) {
        let outcome = channel.deliver(&parcel, news::DETECTED_AT).await;
        assert!(!format!("{outcome:?}").contains(TO), "{outcome:?}");
        classes.push(outcome.class);
    }
    assert_eq!(classes, [OutcomeClass::Rejected, OutcomeClass::Delivered]);
    assert_eq!(mailbox.wait_for(1).await[0].to, "boss@example.com");
}

/// Regression of delivery.md, finding 0.1: with a pooled connection, the answers to the second
/// mail were read one step behind, and a refused mail was reported as sent.
#[tokio::test]
async fn a_late_answer_is_never_taken_for_the_answer_to_the_next_mail() {
    let mailbox = Mailbox::start(Security::Plain, None).await;
    mailbox.script([
        vec![(Step::Dot, Upset::Stall)],
        vec![(Step::Dot, Upset::Reply("554 5.7.1 refused"))],
    ]);
    let channel = email(impatient(spec(&mailbox, SmtpTls::None, &[TO])));
    let first = try_once(&channel).await;
    assert_eq!((first.class, first.phase), (OutcomeClass::Ambiguous, "dot"));
    let second = try_once(&channel).await;
    assert_eq!((second.class, second.code), (OutcomeClass::Rejected, Some(554)));
    assert_eq!(mailbox.sessions(), 2);
}

#[tokio::test]
async fn the_whole_session_has_a_limit_of_its_own() {
    let mailbox = Mailbox::start(Security::Plain, None).await;
    mailbox.script([vec![(Step::Rcpt, Upset::Stall)]]);
    let mut spec = spec(&mailbox, SmtpTls::None, &[TO]);
    spec.timeouts.whole = Duration::from_millis(250);
    let outcome = try_once(&email(spec)).await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "rcpt"));
}

#[tokio::test]
async fn both_kinds_of_tls_work_with_the_right_root_and_fail_without() {
    let pairs = [(Security::Starttls, SmtpTls::Starttls), (Security::Implicit, SmtpTls::Implicit)];
    for (security, tls) in pairs {
        let mailbox = Mailbox::start(security, LOGIN).await;
        let mut trusting = spec(&mailbox, tls, &[TO]);
        trusting.smtp.login = Some(("watch".to_owned(), Secret::new(CANARY)));
        let mut distrusting = trusting.clone();
        distrusting.smtp.ca_pem = None;
        let channel = email(trusting);
        let probed = channel.probe().await;
        assert_eq!((probed.class, probed.phase), (OutcomeClass::Delivered, "auth"));
        assert!(mailbox.mails().is_empty());
        assert_eq!(try_once(&channel).await.class, OutcomeClass::Delivered);
        let mail = mailbox.wait_for(1).await.remove(0);
        assert!(mail.encrypted);
        assert_eq!(mail.user.as_deref(), Some("watch"));
        let said = mailbox.talk().len();
        let outcome = try_once(&email(distrusting)).await;
        assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "tls"), "{tls:?}");
        assert!(outcome.error.unwrap().contains("certificate"));
        let rest = mailbox.talk().split_off(said);
        assert!(rest.iter().all(|line| !line.contains("AUTH") && !line.contains("MAIL")));
    }
}

#[tokio::test]
async fn without_the_tls_that_was_asked_for_nothing_is_said() {
    let mailbox = Mailbox::start(Security::Starttls, LOGIN).await;
    mailbox.script([
        vec![(Step::Ehlo, Upset::NoStarttls)],
        vec![(Step::Starttls, Upset::Reply("454 not now"))],
        vec![(Step::Starttls, Upset::Stall)],
        vec![(Step::Starttls, Upset::Smuggle("250 AUTH PLAIN"))],
    ]);
    let mut spec = impatient(spec(&mailbox, SmtpTls::Starttls, &[TO]));
    spec.smtp.login = Some(("watch".to_owned(), Secret::new(CANARY)));
    let channel = email(spec);
    for said in ["does not offer STARTTLS", "answered 454", "said nothing", "does not speak TLS"] {
        let outcome = try_once(&channel).await;
        assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "tls"), "{outcome:?}");
        assert!(outcome.error.as_ref().unwrap().contains(said), "{outcome:?}");
    }
    let talk = mailbox.talk();
    assert!(talk.iter().all(|line| line.starts_with("EHLO") || line.len() <= 8), "{talk:?}");
}

#[tokio::test]
async fn the_wrong_kind_of_tls_ends_in_time_and_says_where() {
    let implicit = Mailbox::start(Security::Implicit, None).await;
    let outcome = try_once(&email(impatient(spec(&implicit, SmtpTls::Starttls, &[TO])))).await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "hello"));
    let starttls = Mailbox::start(Security::Starttls, None).await;
    let outcome = try_once(&email(impatient(spec(&starttls, SmtpTls::Implicit, &[TO])))).await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "tls"));
}

#[tokio::test]
async fn every_way_of_logging_in_works_or_says_why_not() {
    for (mechanisms, expected) in [
        ("PLAIN", OutcomeClass::Delivered),
        ("LOGIN", OutcomeClass::Delivered),
        ("GSSAPI", OutcomeClass::Retryable),
    ] {
        let mailbox = Mailbox::start(Security::Plain, LOGIN).await;
        mailbox.offer_auth(mechanisms);
        let mut spec = spec(&mailbox, SmtpTls::None, &[TO]);
        spec.smtp.login = Some(("watch".to_owned(), Secret::new(CANARY)));
        let outcome = try_once(&email(spec)).await;
        assert_eq!(outcome.class, expected, "for {mechanisms}: {outcome:?}");
    }
    let mailbox = Mailbox::start(Security::Plain, Some(("watch", "another"))).await;
    let mut wrong = spec(&mailbox, SmtpTls::None, &[TO]);
    wrong.smtp.login = Some(("watch".to_owned(), Secret::new(CANARY)));
    let outcome = email(wrong).probe().await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "auth"));
    assert_eq!(outcome.code, Some(535));
}

#[tokio::test]
async fn a_password_that_the_server_sends_back_is_not_shown() {
    for encoded in [STANDARD.encode(CANARY), STANDARD.encode(format!("\0watch\0{CANARY}"))] {
        let mailbox = Mailbox::start(Security::Plain, LOGIN).await;
        let reply = Box::leak(format!("535 no: AUTH PLAIN {encoded}").into_boxed_str());
        mailbox.script([vec![(Step::Auth, Upset::Reply(reply))]]);
        let mut spec = spec(&mailbox, SmtpTls::None, &[TO]);
        spec.smtp.login = Some(("watch".to_owned(), Secret::new(CANARY)));
        let shown = format!("{:?}", try_once(&email(spec)).await);
        assert!(shown.contains("AUTH PLAIN ***"), "{shown}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_tried_again() {
    let mailbox = Mailbox::start(Security::Plain, None).await;
    for tls in [SmtpTls::None, SmtpTls::Implicit] {
        let mut gone = spec(&mailbox, tls, &[TO]);
        gone.smtp.port = 1;
        let outcome = try_once(&email(gone)).await;
        assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "connect"));
        let mut unknown = spec(&mailbox, tls, &[TO]);
        unknown.smtp.host = "no-such-host.invalid".to_owned();
        assert_eq!(try_once(&email(unknown)).await.phase, "resolve");
    }
}
