//! Logging in: with a password, with a token, with what a program prints; and what is never
//! shown of either.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

#[tokio::test]
async fn every_login_method_works_or_is_explained() {
    for (mechanisms, expected) in [
        ("PLAIN", OutcomeClass::Delivered),
        ("LOGIN", OutcomeClass::Delivered),
        ("GSSAPI XOAUTH2", OutcomeClass::Misconfigured),
    ] {
        let mailbox = Mailbox::start(Security::Plain, LOGIN).await;
        mailbox.offer_auth(mechanisms);
        let outcome = attempt(&email(with_login(spec(&mailbox, SmtpTls::None)))).await;
        assert_eq!(outcome.class, expected, "for {mechanisms}: {outcome:?}");
    }
    let mailbox = Mailbox::start(Security::Plain, Some(("watch", "another"))).await;
    let outcome = email(with_login(spec(&mailbox, SmtpTls::None))).probe().await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Misconfigured, "auth"));
    assert_eq!(outcome.code, Some(535));
}

#[tokio::test]
async fn a_password_that_the_server_echoes_is_masked() {
    for encoded in [STANDARD.encode(CANARY), STANDARD.encode(format!("\0watch\0{CANARY}"))] {
        let mailbox = Mailbox::start(Security::Plain, LOGIN).await;
        let reply = Box::leak(format!("535 no: AUTH PLAIN {encoded}").into_boxed_str());
        mailbox.script([vec![(Step::Auth, Upset::Reply(reply))]]);
        let channel = email(with_login(spec(&mailbox, SmtpTls::None)));
        let shown = format!("{:?}", attempt(&channel).await);
        assert!(shown.contains("AUTH PLAIN ***"), "{shown}");
    }
}

/// A login with a token, for a mailbox that knows the usual one.
fn with_token(mailbox: &Mailbox, proof: CredentialSource) -> Channel {
    mailbox.offer_auth("XOAUTH2 PLAIN");
    email(login_by(LoginMethod::Xoauth2, proof, spec(mailbox, SmtpTls::None)))
}

fn shell(script: &str) -> CredentialSource {
    CredentialSource::Command(program(["/bin/sh", "-c", script].map(str::to_owned).into()))
}

#[tokio::test]
async fn a_token_works_from_the_config_and_from_a_program() {
    let given = CredentialSource::Given(Secret::new(CANARY));
    for proof in [given, shell(&format!("echo '{CANARY}'; echo noise >&2"))] {
        let mailbox = Mailbox::start(Security::Plain, LOGIN).await;
        let outcome = attempt(&with_token(&mailbox, proof)).await;
        assert_eq!(outcome.class, OutcomeClass::Delivered, "{outcome:?}");
        assert_eq!(mailbox.wait_for(1).await[0].user.as_deref(), Some("watch"));
        let bearer = STANDARD.encode(format!("user=watch\x01auth=Bearer {CANARY}\x01\x01"));
        assert!(mailbox.talk().contains(&format!("AUTH XOAUTH2 {bearer}")));
    }
}

#[tokio::test]
async fn an_invalid_token_is_a_refused_login() {
    let mailbox = Mailbox::start(Security::Plain, Some(("watch", "another"))).await;
    let channel = with_token(&mailbox, CredentialSource::Given(Secret::new(CANARY)));
    let outcome = attempt(&channel).await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Misconfigured, "auth"));
    assert_eq!(outcome.code, Some(535));
    let shown = format!("{outcome:?}");
    // The reason came as a question, and was answered with an empty line.
    assert!(mailbox.talk().contains(&String::new()), "{:?}", mailbox.talk());
    let bearer = STANDARD.encode(format!("user=watch\x01auth=Bearer {CANARY}\x01\x01"));
    assert!(!shown.contains(CANARY) && !shown.contains(&bearer), "{shown}");
    mailbox.offer_auth("PLAIN LOGIN");
    let outcome = attempt(&channel).await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Misconfigured, "auth"));
    assert!(outcome.error.unwrap().contains("XOAUTH2"));
}

#[tokio::test]
async fn a_program_without_a_token_is_named_and_nothing_is_connected_to() {
    let mailbox = Mailbox::start(Security::Plain, LOGIN).await;
    for (proof, class) in [
        (shell(&format!("echo {CANARY} >&2; exit 1")), OutcomeClass::Misconfigured),
        (shell(&format!("echo {CANARY}; exit 75")), OutcomeClass::Local),
        (shell("exit 0"), OutcomeClass::Misconfigured),
        (
            CredentialSource::Command(program(vec!["/no/such/program".to_owned()])),
            OutcomeClass::Misconfigured,
        ),
    ] {
        let outcome = attempt(&with_token(&mailbox, proof)).await;
        assert_eq!((outcome.class, outcome.phase), (class, "token"), "{outcome:?}");
        assert!(!format!("{outcome:?}").contains(CANARY), "{outcome:?}");
    }
    let slow = impatient(Step::Auth, spec(&mailbox, SmtpTls::None));
    let slow = login_by(LoginMethod::Password, shell("sleep 600"), slow);
    let outcome = attempt(&email(slow)).await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Local, "token"), "{outcome:?}");
    assert_eq!(mailbox.sessions(), 0);
}

#[tokio::test]
async fn a_password_can_be_printed_by_a_program_too() {
    let mailbox = Mailbox::start(Security::Plain, LOGIN).await;
    let (method, proof) = (LoginMethod::Password, shell(&format!("echo {CANARY}")));
    let channel = email(login_by(method, proof, spec(&mailbox, SmtpTls::None)));
    assert_eq!(channel.probe().await.class, OutcomeClass::Delivered);
}

#[tokio::test]
async fn a_mechanism_that_equals_our_password_is_masked() {
    let offers = Upset::Raw(b"250-h\r\n250 AUTH C4N4RYPASS XC4N4RYPASS\r\n");
    let (outcome, _) = outcome_of(vec![(Step::Ehlo, offers)]).await;
    let said = outcome.error.unwrap();
    assert!(said.contains("it offers: ***"), "{said}");
}
