//! The mail itself, read back line by line by other means than those that wrote it.

use avatar_watch::domain::channel::ChannelName;
use avatar_watch::domain::event::Event;
use avatar_watch::domain::mail_address::MailAddress;
use avatar_watch::notify::channels::{Channel, Parcel};
use avatar_watch::notify::email::mailer::{Email, EmailSpec, PhaseTimeouts, SmtpSpec, SmtpTls};

use crate::harness::news;

const TO: &str = "studio@example.com";

/// The headers of a mail, unfolded.
fn headers(mail: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8(mail.to_vec()).unwrap();
    let head = text.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("header `{line}`"));
        (name.to_owned(), value.to_owned())
    };
    head.split("\r\n").map(header).collect()
}

fn header(mail: &[u8], name: &str) -> String {
    let all = headers(mail);
    let mut values = all.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    let value = values.next().unwrap_or_else(|| panic!("no `{name}`"));
    assert!(values.next().is_none(), "`{name}` is there twice");
    value.1.clone()
}

/// What holds for every mail.
fn assert_well_formed(mail: &[u8]) {
    assert!(mail.is_ascii());
    assert!(mail.ends_with(b"\r\n"));
    assert!(mail.len() < 50_000, "{} bytes", mail.len());
    let text = String::from_utf8(mail.to_vec()).unwrap();
    for line in text.split("\r\n") {
        assert!(!line.contains(['\r', '\n', '\0']), "a bare line end in `{line}`");
        assert!(line.len() <= 998, "a line of {} bytes", line.len());
    }
    let names: Vec<String> =
        headers(mail).into_iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let mut known = names.clone();
    known.sort();
    known.dedup();
    assert_eq!(known.len(), names.len(), "a header is there twice: {names:?}");
    for name in &names {
        assert!(HEADERS.contains(&name.as_str()), "nobody asked for `{name}`");
    }
}

const HEADERS: [&str; 15] = [
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "auto-submitted",
    "x-auto-response-suppress",
    "list-id",
    "x-avatar-watch-event",
    "x-avatar-watch-type",
    "x-avatar-watch-status",
];

fn mail_about(event: &Event) -> Parcel {
    let spec = EmailSpec {
        channel: ChannelName::parse("studio-mail").unwrap(),
        from: MailAddress::parse("watch@example.com").unwrap(),
        to: vec![MailAddress::parse(TO).unwrap()],
        message_id_domain: "watch.example.com".to_owned(),
        smtp: SmtpSpec {
            host: "localhost".to_owned(),
            port: 25,
            tls: SmtpTls::None,
            login: None,
            ca_pem: None,
            hello_name: None,
        },
        timeouts: PhaseTimeouts::default(),
    };
    let channel = Channel::Email(Email::new(spec).unwrap());
    let parcel = news::parcels(&channel, event).remove(0);
    assert_eq!(parcel, news::parcels(&channel, event).remove(0), "the same bytes every time");
    assert_well_formed(&parcel.body);
    parcel
}

#[test]
fn a_mail_has_the_headers_that_were_promised() {
    let event = news::settled(Some("Jane, English"), "IDLE");
    let parcel = mail_about(&event);
    let check = |name: &str, expected: &str| {
        assert_eq!(header(&parcel.body, name), expected, "`{name}`");
    };
    check("From", "\"Avatar Watch\" <watch@example.com>");
    check("To", TO);
    check("Subject", "[avatar-watch] Jane, English: ready");
    check("Date", "Mon, 23 Nov 2026 11:15:22 +0000");
    let id = format!("<{}.{}@watch.example.com>", event.id, parcel.delivery_id);
    check("Message-ID", &id);
    check("References", &format!("<avatar.{}@watch.example.com>", news::AVATAR));
    check("In-Reply-To", &format!("<avatar.{}@watch.example.com>", news::AVATAR));
    check("MIME-Version", "1.0");
    check("Auto-Submitted", "auto-generated");
    check("X-Auto-Response-Suppress", "All");
    check("List-Id", "avatar-watch <avatar-watch.watch.example.com>");
    check("X-Avatar-Watch-Event", event.id.as_str());
    check("X-Avatar-Watch-Type", "avatar.ready");
    check("X-Avatar-Watch-Status", "IDLE");
    assert!(header(&parcel.body, "Content-Type").starts_with("multipart/alternative"));
}

#[test]
fn a_mail_says_what_happened_when_and_what_to_do() {
    for (status, word, advice) in [
        ("IDLE", "Ready", "it can be used"),
        ("TRAINING_FAILED", "Training failed", "train it again"),
        ("REFUSED", "Refused", "moderation"),
    ] {
        let parcel = mail_about(&news::settled(Some("Jane"), status));
        let text = String::from_utf8(parcel.body).unwrap();
        let (plain, html) = text.split_once("text/html").unwrap();
        for said in [word, "Jane", news::AVATAR, advice, "2026-11-23 11:15:10 UTC"] {
            assert!(plain.contains(said), "`{said}` is not in\n{plain}");
        }
        assert!(html.contains(word) && html.contains("Jane") && !html.contains("http"));
        let first = plain.split("\r\n\r\n").nth(2).unwrap();
        assert!(first.starts_with(word), "the outcome comes first, not `{first}`");
    }
}

#[test]
fn an_avatar_without_a_name_is_called_by_its_id() {
    for name in [None, Some(""), Some("\r\n\u{202e}")] {
        let parcel = mail_about(&news::settled(name, "IDLE"));
        let expected = format!("[avatar-watch] {}: ready", news::AVATAR);
        assert_eq!(header(&parcel.body, "Subject"), expected);
    }
}

#[test]
fn a_hostile_name_is_harmless() {
    let long = "x".repeat(10_000);
    let wide = "👩\u{200d}🚀".repeat(2_000);
    let names = [
        "Jane\r\nBcc: everyone@example.com\r\n\r\n<p>hi",
        "<script>alert(1)</script><img src=https://evil.example/x>",
        "\u{202e}lived\u{202c} \u{0}\u{7}",
        "--=_avatar-watch-\r\n.\r\nQUIT",
        "=?utf-8?q?J=0D=0ABcc:_x?=",
        "Zoë Müller 日本語",
        &long,
        &wide,
    ];
    for name in names {
        let parcel = mail_about(&news::settled(Some(name), "REFUSED"));
        let text = String::from_utf8(parcel.body.clone()).unwrap();
        let (_, html) = text.split_once("text/html").unwrap();
        assert!(!html.contains("<script") && !html.contains("<img"), "for {name:?}");
        let boundary = format!("\r\n--=_avatar-watch-{}", parcel.delivery_id);
        assert_eq!(text.matches(&boundary).count(), 3, "for {name:?}");
        let subject = header(&parcel.body, "Subject");
        assert!(subject.len() < 700, "for {name:?}: {subject}");
        assert!(!subject.contains("=?utf-8?q?J"), "decoded by the reader: {subject}");
        let odd = parcel.body.windows(8).any(|bytes| bytes == b"\r\nBcc: e");
        assert!(!odd, "for {name:?}");
    }
}

#[test]
fn an_unknown_status_and_a_ping_make_good_mails_too() {
    let odd = mail_about(&news::settled(Some("Jane"), "NEW\r\nX-Evil: 1"));
    assert_eq!(header(&odd.body, "Subject"), "[avatar-watch] Jane: now NEW X-Evil: 1");
    let ping = mail_about(&news::ping());
    assert_eq!(header(&ping.body, "Subject"), "[avatar-watch] test of `ops`");
    assert_eq!(header(&ping.body, "X-Avatar-Watch-Type"), "test.ping");
}
