//! Addresses of every kind on the wire: quoted, in brackets, in other scripts; and what a server
//! has to offer for them.

use super::*;

/// The same channel with other addresses.
fn channel(mailbox: &Mailbox, from: &str, reply_to: Option<&str>, to: &[&str]) -> Channel {
    let plain = spec_of(TransportConfig::Smtp(spec(mailbox, SmtpTls::None)));
    let style = MailStyle { reply_to: reply_to.map(address), ..plain.style.clone() };
    let to = to.iter().map(|to| address(to)).collect();
    let (from, bounces) = (address(from), Some(address(from)));
    build(EmailSpec { from, bounces, to, style, ..plain })
}

const FROM: &str = "watch@example.com";
const OFFERS_UTF8: Upset = Upset::Raw(b"250-mailbox\r\n250-8bitmime\r\n250 smtputf8\r\n");

#[tokio::test]
async fn an_address_of_any_kind_gets_a_whole_mail() {
    for text in [
        "\"john doe\"@example.com",
        r#""a\"b\\c"@example.com"#,
        "\"a,b\"@example.com",
        "\"a..b\"@docomo.example",
        "root@[127.0.0.1]",
        "user@[IPv6:::1]",
        "-x@example.com",
        "studio@bücher.example",
    ] {
        let mailbox = Mailbox::start(Security::Plain, None).await;
        let channel = channel(&mailbox, text, Some(text), &[text]);
        let outcome = attempt(&channel).await;
        assert_eq!(outcome.class, OutcomeClass::Delivered, "for {text}: {outcome:?}");
        let mail = mailbox.wait_for(1).await.remove(0);
        let sent = address(text);
        assert!(mailbox.talk().contains(&format!("RCPT TO:<{sent}>")), "{:?}", mailbox.talk());
        assert!(mailbox.talk().contains(&format!("MAIL FROM:<{sent}>")), "{:?}", mailbox.talk());
        assert!(mail.data.is_ascii());
        assert!(String::from_utf8(mail.data).unwrap().contains("Jane"));
    }
}

#[tokio::test]
async fn smtputf8_is_used_only_when_an_address_needs_it() {
    let mail_line = async |from: &str, reply_to: Option<&str>, to: &str| {
        let mailbox = Mailbox::start(Security::Plain, None).await;
        mailbox.script([vec![(Step::Ehlo, OFFERS_UTF8)]]);
        let outcome = attempt(&channel(&mailbox, from, reply_to, &[to])).await;
        assert_eq!(outcome.class, OutcomeClass::Delivered, "{outcome:?}");
        let talk = mailbox.talk();
        talk.into_iter().find(|line| line.starts_with("MAIL")).unwrap()
    };
    let plain = "MAIL FROM:<watch@example.com>";
    let needed = "MAIL FROM:<watch@example.com> SMTPUTF8 BODY=8BITMIME";
    assert_eq!(mail_line(FROM, None, TO).await, plain);
    assert_eq!(mail_line(FROM, Some("help@bücher.example"), "a@müller.example").await, plain);
    assert_eq!(mail_line(FROM, None, "jörg@example.com").await, needed);
    assert_eq!(mail_line(FROM, Some("jörg@example.com"), TO).await, needed);
    let ours = mail_line("jörg@bücher.example", None, TO).await;
    assert_eq!(ours, "MAIL FROM:<jörg@xn--bcher-kva.example> SMTPUTF8 BODY=8BITMIME");
}

#[tokio::test]
async fn without_smtputf8_the_recipient_or_the_channel_is_refused() {
    let outcome = async |from: &str, reply_to: Option<&str>, to: &str| {
        let mailbox = Mailbox::start(Security::Plain, None).await;
        let outcome = attempt(&channel(&mailbox, from, reply_to, &[to])).await;
        assert!(!mailbox.talk().iter().any(|line| line.starts_with("MAIL")));
        assert!(outcome.error.as_ref().unwrap().contains("SMTPUTF8"));
        (outcome.class, outcome.phase)
    };
    let refused = (OutcomeClass::Rejected, "rcpt");
    assert_eq!(outcome(FROM, None, "jörg@example.com").await, refused);
    let settings = (OutcomeClass::Misconfigured, "mail");
    assert_eq!(outcome("jörg@example.com", None, TO).await, settings);
    assert_eq!(outcome(FROM, Some("jörg@example.com"), TO).await, settings);
    assert_eq!(outcome("jörg@example.com", None, "jörg@example.com").await, settings);
}

#[tokio::test]
async fn a_probe_names_recipients_that_a_server_does_not_support() {
    let mailbox = Mailbox::start(Security::Plain, None).await;
    let mixed = ["ok@example.com", "jörg@example.com", "ok@bücher.example", "žofie@example.com"];
    let probed = channel(&mailbox, FROM, None, &mixed).probe().await;
    assert_eq!((probed.class, probed.phase), (OutcomeClass::Rejected, "rcpt"));
    let error = probed.error.unwrap();
    assert!(error.ends_with("no mail to `jörg@example.com`, `žofie@example.com`"), "{error}");
    let probed = channel(&mailbox, "jörg@example.com", None, &[TO]).probe().await;
    assert_eq!((probed.class, probed.phase), (OutcomeClass::Misconfigured, "mail"));
    let fine = ["ok@bücher.example", "\"john doe\"@example.com"];
    let probed = channel(&mailbox, FROM, Some("a@bücher.example"), &fine).probe().await;
    assert_eq!(probed.class, OutcomeClass::Delivered);
    mailbox.script([vec![(Step::Ehlo, OFFERS_UTF8)]]);
    assert_eq!(channel(&mailbox, FROM, None, &mixed).probe().await.class, OutcomeClass::Delivered);
}

#[tokio::test]
async fn an_empty_message_is_never_sent() {
    let mailbox = Mailbox::start(Security::Plain, None).await;
    let channel = email(spec(&mailbox, SmtpTls::None));
    for body in [&b""[..], b"\r\n", b" \n"] {
        let empty = OutboundMessage { body: body.to_vec(), ..message(&channel) };
        let outcome = channel.deliver(&empty, sample_events::DETECTED_AT).await;
        assert_eq!((outcome.class, outcome.phase), (OutcomeClass::Rejected, "render"));
        assert!(outcome.error.unwrap().contains("empty"));
    }
    assert_eq!(mailbox.sessions(), 0);
}
