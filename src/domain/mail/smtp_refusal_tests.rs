//! What real servers say, each with where it was found: their source or documentation, or a
//! report of somebody who met it.

use proptest::prelude::*;

use super::*;

const SENDER: &str = "watch@example.com";
const RECIPIENT: &str = "studio@example.net";

fn refusal(step: SmtpStep, reply: &str) -> RefusalClass {
    let (code, text) = reply.split_at(3);
    let said = SmtpRefusal {
        step,
        code: code.parse().unwrap(),
        text: text.trim_start_matches([' ', '-']),
        sender: SENDER,
        recipient: RECIPIENT,
        hello_name: "[127.0.0.1]",
    };
    said.classify()
}

const ALL: [SmtpStep; 7] = [
    SmtpStep::Hello,
    SmtpStep::Tls,
    SmtpStep::Auth,
    SmtpStep::Mail,
    SmtpStep::Rcpt,
    SmtpStep::Data,
    SmtpStep::Dot,
];
/// Where a refusal of us may hide behind a refusal of the recipient or the mail.
const LATE: [SmtpStep; 3] = [SmtpStep::Rcpt, SmtpStep::Data, SmtpStep::Dot];

fn check(steps: &[SmtpStep], replies: &[&str], class: OutcomeClass, scope: Scope) {
    for &step in steps {
        for reply in replies {
            assert_eq!(
                refusal(step, reply),
                RefusalClass { class, scope },
                "`{reply}` at {step:?}"
            );
        }
    }
}

/// Of our sender, our name, our login, our right to relay, our address or domain.
const OF_US: &[&str] = &[
    // Exchange Online, "Email non-delivery reports in Exchange Online"; issues of its users.
    "554 5.2.252 SendAsDenied; watch@example.com not allowed to send as info@example.com",
    "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; \
     Failed to process message due to a permanent exception",
    "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
    "550 5.7.1 Client does not have permissions to send as this sender",
    "530 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM",
    "550 5.7.64 TenantAttribution; Relay Access Denied",
    "550 5.4.1 studio@example.net: Relay access denied",
    "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP",
    "550 5.7.750 Service unavailable. Client blocked from sending from unregistered domains.",
    "550 5.7.509 Access denied, sending domain example.com does not pass DMARC verification",
    "550 5.7.606 Access denied, banned sending IP [192.0.2.1]",
    "550 5.7.511 Access denied, banned sender[192.0.2.1]",
    "550 5.7.501 Service unavailable. Spam abuse detected",
    "550 5.1.8 Access denied, bad outbound sender",
    "550 5.7.1 Unable to relay",
    "550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using Spamhaus. To request \
     removal from this list see https://www.spamhaus.org/query/ip/192.0.2.1 (AS3130)",
    // "Gmail SMTP errors and codes".
    "550 5.7.26 This mail is unauthenticated, which poses a security risk to the sender and \
     Gmail users, and has been blocked. The sender must authenticate with at least one of SPF or \
     DKIM.",
    "550 5.7.26 Unauthenticated email from example.com is not accepted due to domain's DMARC \
     policy.",
    "550 5.7.25 The IP address sending this message does not have a PTR record setup",
    "550 5.7.0 Mail relay denied",
    "550 5.7.1 Invalid credentials for relay",
    "550 5.7.1 The IP you're using to send mail is not authorized to send email directly to our \
     servers. Please use the SMTP relay at your service provider instead.",
    "550 5.7.1 Unauthenticated email is not accepted from this domain.",
    "553 5.1.7 The sender address is not a valid RFC 5321 address.",
    // "Amazon SES: SMTP response codes", and its knowledge base.
    "554 Message rejected: Email address is not verified. The following identities failed the \
     check in region EU-WEST-1: watch@example.com",
    "554 Message rejected: Sending suspended for this account. Your account is under review",
    "530 Authentication required",
    // SendGrid: sahat/hackathon-starter 1083; its "SMTP errors and troubleshooting".
    "550 The from address does not match a verified Sender Identity. Mail cannot be sent until \
     this error is resolved.",
    "550 Unauthenticated senders not allowed",
    // Mailgun: mailgun/wordpress-plugin 68.
    "550 5.7.1 Relaying denied",
    "554 Free accounts are for test purposes only. Please upgrade or add the address to your \
     authorized recipients.",
    // Proofpoint: LukeSmithxyz/emailwiz 233, docker-mailserver 22.
    "550 5.7.0 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1",
    // Postfix, smtpd_check.c.
    "554 5.7.1 <studio@example.net>: Relay access denied",
    "553 5.7.1 <watch@example.com>: Sender address rejected: not owned by user watch",
    "553 5.7.1 <watch@example.com>: Sender address rejected: not logged in",
    "550 5.1.0 <watch@example.com>: Sender address rejected: User unknown in local recipient table",
    "554 5.7.1 <watch@example.com>: Sender address rejected: Access denied",
    "504 5.5.2 <[127.0.0.1]>: Helo command rejected: need fully-qualified hostname",
    "504 5.5.2 <watch>: Helo command rejected: need fully-qualified hostname",
    "554 5.7.1 <[192.0.2.1]>: Helo command rejected: Access denied",
    "554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied",
    "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
    "530 5.7.0 Must issue a STARTTLS command first",
    // Exim, its default configuration and specification.
    "550 relay not permitted",
    "550 relay not permitted, authentication required",
    "550 Sender verify failed",
    "550 Verification failed for <watch@example.com> No Such User Here Sender verify failed",
    "550 HELO required before MAIL",
    "550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)",
    // Sendmail, proto.m4; qmail, qmail-smtpd.c.
    "550 5.7.1 <studio@example.net>... Relaying denied. Proper authentication required.",
    "553 5.1.8 <watch@example.com>... Domain of sender address watch@example.com does not exist",
    "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
    "553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)",
    // Cisco, Barracuda (getconversio/email-deep-validator 20), Yahoo, QQ, Orange.
    "554 Your access to this mail system has been rejected due to the sending MTA's poor \
     reputation.",
    "554 Service unavailable; Client host [192.0.2.1] blocked using Barracuda Reputation",
    "553 Mail from must equal authorized user",
    "550 Emetteur invalide. Invalid Sender. OFR_305 [305]",
    "550 5.7.1 SPF check failed: 192.0.2.1 is not allowed to send mail from example.com",
    "554 5.7.5 Permanent error evaluating DMARC policy",
    "550 5.7.20 No passing DKIM signature found",
    "550 5.7.9 Message not accepted for policy reasons: authentication",
    "550 <watch@example.com> is not welcome here",
    "550 User has no permission",
    "550 5.2.1 sending account disabled",
    "550 sending account disabled",
];

#[test]
fn a_refusal_of_us_waits_wherever_it_is_said() {
    for &step in &LATE {
        check(&[step], OF_US, OutcomeClass::Misconfigured, Scope::Recipient);
    }
    check(&[SmtpStep::Hello, SmtpStep::Mail], OF_US, OutcomeClass::Misconfigured, Scope::Sender);
    check(&[SmtpStep::Auth, SmtpStep::Tls], OF_US, OutcomeClass::Misconfigured, Scope::Channel);
}

#[test]
fn a_limit_of_ours_is_waited_for_whatever_the_first_digit() {
    let limits = [
        "550 5.4.5 Daily user sending limit exceeded. For more information on Gmail sending limits",
        "550 5.4.5 Daily SMTP relay limit exceeded for customer.",
        "550 5.7.1 Our system has detected an unusual rate of unsolicited mail originating from \
         your IP address.",
        "550 5.7.28 There is an unusual rate of unsolicited mail originating from your DKIM domain",
        "550 5.1.90 Your message can't be sent because you've reached your daily limit for \
         message recipients",
        "550 5.7.705 Access denied, tenant has exceeded threshold",
        "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit",
        "554 5.2.2 STOREDRV.Submission.Exception:QuotaExceeded; Submission quota exceeded",
        "554 Throttling failure: Daily message quota exceeded.",
        "550 Maximum credits exceeded",
        "550 Domain example.com has exceeded the max emails per hour (100/100) allowed",
        "550 5.7.1 This mail has been rate limited because of its age",
        "550 5.5.3 Too many recipients",
        "550 Domain frequency limited",
        "550 Limit reached",
        "552 5.2.2 sender over quota",
        "550 5.2.2 your account is full",
    ];
    check(&LATE, &limits, OutcomeClass::Throttled, Scope::Recipient);
    check(&[SmtpStep::Mail], &limits, OutcomeClass::Throttled, Scope::Sender);
    check(
        &[SmtpStep::Hello],
        &["554 Too many connections"],
        OutcomeClass::Throttled,
        Scope::Sender,
    );
    // Amazon SES: no enhanced code, and no RFC 5321 code of a limit.
    let ses = ["454 Throttling failure: Maximum sending rate exceeded."];
    check(&[SmtpStep::Mail, SmtpStep::Dot], &ses, OutcomeClass::Throttled, Scope::Channel);
}

#[test]
fn a_refusal_of_this_recipient_is_final_for_it_alone() {
    let replies = [
        "551",
        "556",
        "550 5.1.1 <studio@example.net>: Recipient address rejected: User unknown in virtual \
         mailbox table",
        "550 5.1.1 <studio@example.net>: Recipient address rejected: User unknown in relay \
         recipient table",
        "550 5.1.1 The email account that you tried to reach does not exist. Please try \
         double-checking the recipient's email address for typos or unnecessary spaces.",
        "550 5.2.1 The email account that you tried to reach is disabled.",
        "550 5.2.1 The email account that you tried to reach is inactive.",
        "552 5.2.2 The recipient's inbox is out of storage space and inactive.",
        "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
        "550 5.4.1 Recipient address rejected: Access denied. [AM6EUR05FT063.eop-eur05]",
        "550 5.5.0 Requested action not taken: mailbox unavailable",
        "550 5.0.0 <studio@example.net>... User unknown",
        "550 Requested action not taken: mailbox unavailable",
        "550 No Such User Here",
        "550 Unrouteable address",
        "550 <studio@example.net>... User unknown",
        "550 sorry, no mailbox here by that name. (#5.1.1)",
        "552 Mailbox full",
        "550 Mailbox quota exceeded",
        "551 User not local; please try <studio@example.org>",
        "550 5.7.505 Access denied, banned recipient",
        "556 5.1.10 Domain does not accept mail (nullMX)",
        "501 5.1.3 Bad recipient address syntax",
        "524 5.2.4 Mailing list expansion problem: <studio@example.net>",
        "550 account of <studio@example.net> disabled",
    ];
    check(&[SmtpStep::Rcpt], &replies, OutcomeClass::Rejected, Scope::Recipient);
    check(&[SmtpStep::Dot], &replies[2..14], OutcomeClass::Rejected, Scope::Recipient);
}

#[test]
fn a_refusal_of_this_mail_is_final_for_it_alone() {
    let replies = [
        "552 5.3.4 Message size exceeds fixed limit",
        "552 5.3.4 Your message exceeded Google's message size limits.",
        "552 5.2.3 RESOLVER.RST.SendSizeLimit.Sender; message too large for this sender",
        "554 5.6.0 Mail message is malformed. Not accepted.",
        "550 5.6.1 8BITMIME not supported",
        "552 5.7.0 This message was blocked because its content presents a potential security \
         issue",
        "554 5.7.1 Virus found in message",
        "552 Message too large",
    ];
    check(&LATE, &replies, OutcomeClass::Rejected, Scope::Recipient);
    let sizes = ["552 5.3.4 Message size exceeds fixed limit", "552 Message too big", "552"];
    check(&[SmtpStep::Mail], &sizes, OutcomeClass::Rejected, Scope::Recipient);
    check(
        &[SmtpStep::Data, SmtpStep::Dot],
        &["550", "552", "554"],
        OutcomeClass::Rejected,
        Scope::Recipient,
    );
}

#[test]
fn what_may_be_meant_for_us_for_the_recipient_or_for_the_mail_waits() {
    let replies = [
        "550 5.7.1 Message rejected",
        "550 5.7.1 Delivery not authorized, message refused",
        "550 5.7.1 Our system has detected that this message is likely unsolicited mail.",
        "550 5.7.1 This message violates example.com email policy. - gcdp x - gsmtp",
        "554 5.7.1 <studio@example.net>: Recipient address rejected: Access denied",
        "554 5.7.0 Reject, id=04711-01 - spam",
        "554 5.7.1 Spam message rejected",
        "550 5.7.367 Remote server returned not permitted to forward",
        "550 Administrative prohibition",
        // A loop is none of this mail, which has passed no server.
        "554 5.4.6 Message exceeded 50 hops, this may indicate a mail loop",
        "554 5.4.14 Hop count exceeded - possible mail loop",
        // Words and languages that are not known.
        "550 Versand nicht erlaubt",
        "550 Domaine refus\u{e9}",
        "553 \u{62d2}\u{7edd}",
        "550 <studio@example.net> is quite odd",
        // A state without a recipient.
        "550 Account suspended",
        "550 User disabled",
        "552 quota exceeded",
        // OpenSMTPD 6.8 of whatever no rule of it takes; who is unknown gets a status code.
        "550 Invalid recipient: <studio@example.net>",
        "550 Access denied",
        "554 Message not allowed - [PH01] Email not accepted for policy reasons.",
        "554 5.3.5 Local configuration error",
        "554 5.5.1 Error: no valid recipients",
        "503 5.5.1 Bad sequence of commands",
        "521 5.3.2 Host does not accept mail",
        "500 what?",
        "554 no",
    ];
    check(&LATE, &replies, OutcomeClass::Throttled, Scope::SenderOrRecipient);
    check(
        &[SmtpStep::Rcpt],
        &["550", "552", "553", "554"],
        OutcomeClass::Throttled,
        Scope::SenderOrRecipient,
    );
}

#[test]
fn a_transient_reply_is_never_final_and_has_a_scope() {
    check(&ALL, &["421 4.7.0 Try again later", "421"], OutcomeClass::Throttled, Scope::Channel);
    let greylisted = ["451 4.7.1 greylisted", "450 4.2.0 Greylisted", "452 4.2.2 Mailbox full"];
    check(&[SmtpStep::Rcpt], &greylisted, OutcomeClass::Throttled, Scope::Recipient);
    check(&[SmtpStep::Dot], &greylisted[1..], OutcomeClass::Throttled, Scope::Recipient);
    let full = ["452 4.3.1 Insufficient system storage", "451"];
    check(&[SmtpStep::Mail, SmtpStep::Dot], &full, OutcomeClass::Throttled, Scope::Channel);
    // The first digit outweighs the words: Postfix sends this when a DNS query fails.
    let unknown = ["450 4.1.8 <watch@example.com>: Sender address rejected: Domain not found"];
    check(&[SmtpStep::Rcpt], &unknown, OutcomeClass::Throttled, Scope::Recipient);
    check(&[SmtpStep::Rcpt], &["471 later"], OutcomeClass::Retryable, Scope::Recipient);
    check(&[SmtpStep::Auth], &["454 4.7.0 later"], OutcomeClass::Throttled, Scope::Channel);
    check(&[SmtpStep::Auth], &["454 4.3.0 later"], OutcomeClass::Retryable, Scope::Channel);
}

#[test]
fn a_status_is_three_numbers_at_the_beginning_or_what_qmail_writes_at_the_end() {
    assert_eq!(status(550, "5.1.1 no such user"), Some((1, 1)));
    assert_eq!(status(550, "#5.1.0 Address rejected."), Some((1, 0)));
    assert_eq!(status(550, "sorry (#5.1.1)"), Some((1, 1)));
    assert_eq!(status(471, "4.7.500"), Some((7, 500)));
    for text in ["", "no", "see 5.1.1", "5.1", "5.1.1.1 x", "3.1.1", "5.+1.1", "5.1.1234", "4.1.1"]
    {
        assert_eq!(status(550, text), None, "for `{text}`");
    }
}

proptest! {
    /// Whatever a server says: one that may be asked again is, and nothing panics.
    #[test]
    fn every_reply_has_a_ruling(step in 0..ALL.len(), code in 400..600_u16, text in ".{0,80}") {
        let said = SmtpRefusal {
            step: ALL[step],
            code,
            text: &text,
            sender: SENDER,
            recipient: RECIPIENT,
            hello_name: "watch.example.com",
        };
        let RefusalClass { class, scope } = said.classify();
        prop_assert!(code >= 500 || class != OutcomeClass::Rejected);
        prop_assert!(code >= 500 || class != OutcomeClass::Misconfigured);
        if matches!(said.step, SmtpStep::Hello | SmtpStep::Tls | SmtpStep::Auth) {
            prop_assert!(class != OutcomeClass::Rejected && scope != Scope::Recipient);
        }
    }

    /// Our own addresses are no words of a server.
    #[test]
    fn a_name_of_ours_decides_nothing(step in 3..ALL.len(), word in "[a-z]{1,12}") {
        let recipient = format!("{word}-spf-sender-helo@example.net");
        let text = format!("5.1.1 <{recipient}>: Recipient address rejected: User unknown");
        let hello_name = "watch.example.com";
        let said = SmtpRefusal {
            step: ALL[step],
            code: 550,
            text: &text,
            sender: SENDER,
            recipient: &recipient,
            hello_name,
        };
        let expected = if ALL[step] == SmtpStep::Mail {
            OutcomeClass::Misconfigured
        } else {
            OutcomeClass::Rejected
        };
        prop_assert_eq!(said.classify().class, expected);
    }
}
