//! Replies as servers really give them, legal or not: what counts is their three digits, and a
//! definite answer is never a doubt.

use std::time::Duration;

use super::*;

/// A good reply in all its forms, for a code.
fn forms(code: &str) -> Vec<Vec<u8>> {
    let mut forms: Vec<Vec<u8>> = [
        "C\r\n",
        "C \r\n",
        "C\tok\r\n",
        "C ok\n",
        "C ok\r\r\n",
        "C=ok\r\n",
        "C-\r\nC\r\n",
        "C-   \r\nC-\t\r\nC  \r\n",
        "\r\n\r\nC late\r\n",
        "C-one\r\nno code\r\nC two\r\n",
        "C-2.0.0 one\r\nC\r\n",
    ]
    .iter()
    .map(|form| form.replace('C', code).into_bytes())
    .collect();
    let with = |text: &[u8]| [code.as_bytes(), b" ", text, b"\r\n"].concat();
    forms.push(with(b"2.0.0 \xfcbernommen \xff\xfe\0\x1b[2J"));
    forms.push(with(&[b'x'; 70_000]));
    forms
}

fn raw(bytes: Vec<u8>) -> Upset {
    Upset::Raw(bytes.leak())
}

#[tokio::test]
async fn a_success_is_recognized_in_every_form_at_every_step() {
    let steps = [
        (Step::Greeting, "220"),
        (Step::Ehlo, "250"),
        (Step::Mail, "250"),
        (Step::Rcpt, "250"),
        (Step::Data, "354"),
        (Step::Dot, "250"),
        (Step::Quit, "221"),
    ];
    let plans = steps
        .into_iter()
        .flat_map(|(step, code)| forms(code).into_iter().map(move |form| (step, raw(form))));
    let attempts = plans.map(async |(step, upset)| {
        let (mailbox, spec) = scripted([vec![(step, upset.clone())]]).await;
        let outcome = attempt(&email(spec)).await;
        let found = (outcome.class, outcome.code);
        assert_eq!(found, (OutcomeClass::Delivered, Some(250)), "{step:?}: {outcome:?}");
        assert_eq!(mailbox.mails().len(), 1);
    });
    futures_util::future::join_all(attempts).await;
    for form in forms("235") {
        check(Step::Auth, raw(form), DELIVERED).await;
    }
}

/// The digits make a refusal; the text decides what it refers to.
async fn check_no(step: Step, upset: Upset) {
    let (outcome, _) = outcome_of(vec![(step, upset.clone())]).await;
    assert_eq!(outcome.code, Some(554), "for {upset:?} at {step:?}: {outcome:?}");
    let class = outcome.class;
    let is_no = !matches!(class, OutcomeClass::Delivered | OutcomeClass::Ambiguous);
    assert!(is_no && outcome.error.unwrap().contains("answered 554"), "for {upset:?} at {step:?}");
}

#[tokio::test]
async fn replies_out_of_sequence_and_without_an_end_are_explained() {
    let (outcome, _) = outcome_of(vec![(Step::Mail, raw(b"354 go on\r\n".to_vec()))]).await;
    let said = outcome.error.unwrap();
    assert!(said.contains("answered 354 out of sequence while sending MAIL FROM"), "{said}");
    let endless = raw(b"250-more\r\n".repeat(100_000));
    let (_mailbox, spec) = scripted([vec![(Step::Ehlo, endless)]]).await;
    let outcome = attempt(&email(spec)).await;
    let said = outcome.error.unwrap();
    assert!(said.contains("sent a reply without an end"), "{said}");
    assert_eq!(outcome.class, OutcomeClass::Retryable);
}

#[tokio::test]
async fn a_refusal_is_recognized_in_every_form_also_after_the_dot() {
    let attempts = forms("554").into_iter().map(async |form| {
        check_no(Step::Dot, raw(form.clone())).await;
        check_no(Step::Rcpt, raw(form)).await;
    });
    futures_util::future::join_all(attempts).await;
}

#[tokio::test]
async fn a_reply_truncated_after_its_digits_counts() {
    for cut in [&b"250"[..], b"250 2.0", b"250-", b"250-2.0.0 queued\r\n", b"250-a\r\n25"] {
        check(Step::Dot, Upset::RawThenDrop(cut), DELIVERED).await;
    }
    check_no(Step::Dot, Upset::RawThenDrop(b"554-no")).await;
    for cut in [&b""[..], b"25", b"2500 what\r\n"] {
        check(Step::Dot, Upset::RawThenDrop(cut), (OutcomeClass::Ambiguous, "dot", None)).await;
    }
    // An endless reply is read until the limit of the step.
    let endless = Upset::Raw(b"250-2.0.0 queued\r\n");
    let (_mailbox, spec) = scripted([vec![(Step::Dot, endless)]]).await;
    let outcome = attempt(&email(impatient(Step::Dot, spec))).await;
    assert_eq!((outcome.class, outcome.phase, outcome.code), DELIVERED, "{outcome:?}");
}

#[tokio::test]
async fn an_unsolicited_success_is_ignored_and_a_refusal_counts() {
    for (step, twice) in [
        (Step::Greeting, &b"220 a\r\n220 b\r\n"[..]),
        (Step::Ehlo, b"250-a\r\n250 AUTH PLAIN\r\n250 b\r\n"),
        (Step::Mail, b"250 a\r\n250 b\r\n"),
        (Step::Rcpt, b"250 a\r\n250 b\r\n"),
        (Step::Data, b"354 a\r\n354 b\r\n"),
        (Step::Data, b"354 a\r\n250 b\r\n"),
    ] {
        check(step, Upset::Raw(twice), DELIVERED).await;
    }
    let closing = Upset::Raw(b"250 ok\r\n421 4.3.2 shutting down\r\n");
    check(Step::Mail, closing, (OutcomeClass::Throttled, "rcpt", Some(421))).await;
    let (outcome, mailbox) =
        outcome_of(vec![(Step::Data, Upset::Raw(b"354 go\r\n552 5.3.4 too big\r\n"))]).await;
    assert_eq!((outcome.class, outcome.code), (OutcomeClass::Rejected, Some(552)), "{outcome:?}");
    assert!(mailbox.mails().is_empty(), "the dot was sent all the same");
}

#[tokio::test]
async fn a_server_that_does_not_speak_smtp_is_reported() {
    let page = Upset::RawThenDrop(b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n<html>");
    let (outcome, _) = outcome_of(vec![(Step::Greeting, page)]).await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "hello"));
    assert!(outcome.error.unwrap().contains("not an SMTP reply"));
    assert!(outcome.snippet.unwrap().starts_with("HTTP/1.1 400 Bad Request"));
    let flood = raw(b"220-and on\r\n".repeat(40_000));
    let (outcome, _) = outcome_of(vec![(Step::Greeting, flood)]).await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Retryable, "hello"), "{outcome:?}");
}

#[tokio::test]
async fn keywords_are_parsed_in_every_case_and_form() {
    for (first, second) in [
        (&b"250-m\r\n250 starttls\r\n"[..], &b"250-m\r\n250 auth plain login\r\n"[..]),
        (b"250-m\r\n250 StartTLS\r\n", b"250-m\r\n250 Auth Plain\r\n"),
        (b"250-m\r\n250-STARTTLS \r\n250 8BITMIME\r\n", b"250-m\r\n250 AUTH=LOGIN PLAIN\r\n"),
        (b"250-STARTTLS\r\n250\r\n", b"250-AUTH LOGIN\r\n250-AUTH=LOGIN\r\n250 \r\n"),
        (b"250-m\r\n250 StartTLS x\r\n", b"250-AUTHX XOAUTH2\r\n250 AUTH\tLOGIN\t PLAIN \r\n"),
    ] {
        let mailbox = Mailbox::start(Security::Starttls, LOGIN).await;
        mailbox.script([vec![(Step::Ehlo, Upset::Raw(first)), (Step::Ehlo, Upset::Raw(second))]]);
        let outcome = attempt(&email(with_login(spec(&mailbox, SmtpTls::Starttls)))).await;
        assert_eq!(outcome.class, OutcomeClass::Delivered, "{outcome:?}");
        assert_eq!(mailbox.mails()[0].user.as_deref(), Some("watch"));
    }
}

#[tokio::test]
async fn challenges_may_have_any_text() {
    for (mechanisms, questions) in [
        ("LOGIN", &["334 RW1haWw6", "334 UGFzc3dvcnQ6"][..]),
        ("LOGIN", &["334 ", "334 "]),
        ("LOGIN", &["334", "334"]),
        ("LOGIN", &["334 Username:", "334 Password:"]),
        ("LOGIN", &["334-one\r\n334 two", "334 \u{fc}"]),
        ("PLAIN", &["334 "]),
        ("PLAIN", &["334"]),
        ("PLAIN", &["334 Go ahead"]),
    ] {
        let mailbox = Mailbox::start(Security::Plain, LOGIN).await;
        mailbox.offer_auth(mechanisms);
        mailbox.script([questions.iter().map(|&it| (Step::Auth, Upset::Ask(it))).collect()]);
        let outcome = attempt(&email(with_login(spec(&mailbox, SmtpTls::None)))).await;
        assert_eq!(outcome.class, OutcomeClass::Delivered, "for {questions:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_unimplemented_mechanism_is_followed_by_the_next() {
    let unknown = Upset::Reply("504 5.5.4 unrecognized authentication type");
    let (outcome, mailbox) = outcome_of(vec![(Step::Auth, unknown)]).await;
    assert_eq!(outcome.class, OutcomeClass::Delivered, "{outcome:?}");
    assert!(mailbox.talk().contains(&"AUTH LOGIN".to_owned()));
}

#[tokio::test]
async fn without_a_common_mechanism_the_offered_ones_are_shown() {
    for (offer, said) in [
        (&b"250-m\r\n250 AUTH GSSAPI CRAM-MD5\r\n"[..], "it offers: CRAM-MD5, GSSAPI"),
        (b"250-m\r\n250 AUTH\r\n", "it offers: none"),
        (b"250-m\r\n250 AUTHX PLAIN\r\n", "it offers: none"),
    ] {
        let mailbox = Mailbox::start(Security::Plain, LOGIN).await;
        mailbox.script([vec![(Step::Ehlo, Upset::Raw(offer))]]);
        let outcome = email(with_login(spec(&mailbox, SmtpTls::None))).probe().await;
        assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Misconfigured, "auth"));
        let error = outcome.error.unwrap();
        assert!(error.contains("PLAIN or LOGIN") && error.contains(said), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_knows_no_ehlo_is_greeted_with_helo() {
    for no in ["500 what?", "502 5.5.1 not implemented", "501 bad", "550 no"] {
        let helo = (Step::Helo, Upset::Reply("250 mailbox"));
        let (_mailbox, spec) = scripted([vec![(Step::Ehlo, Upset::Reply(no)), helo]]).await;
        let outcome = attempt(&email(spec)).await;
        assert_eq!(outcome.class, OutcomeClass::Delivered, "for {no}: {outcome:?}");
    }
    // Where TLS or a login was asked for, there is none without EHLO.
    let mailbox = Mailbox::start(Security::Starttls, None).await;
    mailbox.script([vec![
        (Step::Ehlo, Upset::Reply("502 no")),
        (Step::Helo, Upset::Reply("250 mailbox")),
    ]]);
    let outcome = attempt(&email(spec(&mailbox, SmtpTls::Starttls))).await;
    assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Misconfigured, "tls"));
}

#[tokio::test]
async fn a_refused_ehlo_names_our_name() {
    let mailbox = Mailbox::start(Security::Starttls, None).await;
    let refused = Upset::Reply("501 5.5.4 Invalid domain name");
    let good = Upset::Raw(b"250-mailbox\r\n250 STARTTLS\r\n");
    mailbox.script([vec![(Step::Ehlo, good), (Step::Ehlo, refused)]]);
    let name = MailDomain::parse("watch.example.com").unwrap();
    let smtp = SmtpSpec { hello_name: Some(name), ..spec(&mailbox, SmtpTls::Starttls) };
    let outcome = attempt(&email(smtp)).await;
    let found = (outcome.class, outcome.phase, outcome.code);
    assert_eq!(found, (OutcomeClass::Misconfigured, "hello", Some(501)), "{outcome:?}");
    assert!(outcome.error.unwrap().contains("`watch.example.com`"));
    assert!(outcome.snippet.unwrap().contains("Invalid domain name"));
}

#[tokio::test]
async fn the_default_hello_name_is_valid() {
    let (mailbox, spec) = scripted([]).await;
    email(spec).probe().await;
    let talk = mailbox.talk();
    let name = talk[0].strip_prefix("EHLO ").unwrap();
    let parsed = MailDomain::parse(name).unwrap();
    assert!(parsed.can_greet() && (parsed.is_literal() || parsed.is_full_name()), "{name}");
}

/// A reply of a few bytes must not be waited for by both ends (Nagle against delayed ACKs).
#[tokio::test]
async fn a_mail_takes_as_long_as_the_server_and_no_longer() {
    let (_mailbox, spec) = scripted([]).await;
    let channel = email(spec);
    let mut fastest = Duration::MAX;
    for _ in 0..20 {
        let begun = std::time::Instant::now();
        assert_eq!(attempt(&channel).await.class, OutcomeClass::Delivered);
        fastest = fastest.min(begun.elapsed());
    }
    assert!(fastest < Duration::from_millis(38), "{fastest:?}");
}

/// Whatever a server sends, an attempt ends with an outcome that fits the digits of the reply.
#[tokio::test]
async fn random_bytes_of_a_server_do_no_harm() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut dice = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut attempts = Vec::new();
    for number in 0..140 {
        let (step, _) = STEPS[number % STEPS.len()];
        let digits = [&b"250"[..], b"554", b"354", b"451", b"235", b"220"][(dice() % 6) as usize];
        let mut bytes = if dice() % 4 == 0 { Vec::new() } else { digits.to_vec() };
        for _ in 0..dice() % 40 {
            let byte = dice() as u8;
            bytes.push(if byte < 60 { b"\r\n-  25034"[(byte % 10) as usize] } else { byte });
        }
        attempts.push(async move {
            let shown = format!("{:?} at {step:?}", String::from_utf8_lossy(&bytes));
            let bytes = Upset::RawThenDrop(bytes.leak());
            let (outcome, _) = outcome_of(vec![(step, bytes)]).await;
            let said = outcome.error.as_deref().unwrap_or_default();
            assert!(!said.contains("bug"), "{outcome:?} for {shown}");
            let definite = match outcome.code {
                Some(200..300) if step == Step::Dot => OutcomeClass::Delivered,
                Some(400..600) if step == Step::Dot => {
                    assert_ne!(outcome.class, OutcomeClass::Ambiguous, "{outcome:?} for {shown}");
                    return;
                }
                _ => return assert_ne!(outcome.class, OutcomeClass::Delivered, "for {shown}"),
            };
            assert_eq!(outcome.class, definite, "for {shown}");
        });
    }
    futures_util::future::join_all(attempts).await;
}
