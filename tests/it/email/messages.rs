//! The mail itself, read back line by line by other means than those that wrote it.

use avatar_watch::domain::account::AccountName;
use avatar_watch::domain::avatar::training::Training;
use avatar_watch::domain::condition::{ConditionSubject, OutageCause, Phase};
use avatar_watch::domain::event::{Event, EventKind, Subject};
use avatar_watch::domain::mail::options::Threading;
use avatar_watch::domain::public_url::PublicUrl;
use avatar_watch::domain::time::time_zone::TimeZone;

use proptest::prelude::*;

use super::*;

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
        assert!(HEADERS.contains(&name.as_str()), "unexpected header `{name}`");
    }
}

const HEADERS: [&str; 18] = [
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
    "list-unsubscribe",
    "reply-to",
    "x-avatar-watch-event",
    "x-avatar-watch-type",
    "x-avatar-watch-status",
    "x-avatar-watch-state",
];

/// Nothing is sent here.
fn spec() -> EmailSpec {
    spec_of(TransportConfig::File("/nowhere".into()))
}

fn mail_about(event: &Event) -> OutboundMessage {
    mail_of(spec(), event)
}

fn mail_of(spec: EmailSpec, event: &Event) -> OutboundMessage {
    let channel = build(spec);
    let [message, again] = [(), ()].map(|()| sample_events::messages(&channel, event).remove(0));
    assert_eq!(message, again, "the same bytes every time");
    assert_well_formed(&message.body);
    message
}

#[test]
fn a_mail_has_the_documented_headers() {
    let event = sample_events::settled(Some("Jane, English"), "IDLE");
    let message = mail_about(&event);
    let check = |name: &str, expected: &str| {
        assert_eq!(header(&message.body, name), expected, "`{name}`");
    };
    check("From", "\"Avatar Watch\" <watch@example.com>");
    check("To", TO);
    check("Subject", "[avatar-watch] Jane, English: ready");
    check("Date", "Mon, 23 Nov 2026 11:15:22 +0000");
    let id = format!("<{}.{}@watch.example.com>", event.id, message.delivery_id);
    check("Message-ID", &id);
    check("References", &format!("<avatar.{}@watch.example.com>", sample_events::AVATAR));
    check("In-Reply-To", &format!("<avatar.{}@watch.example.com>", sample_events::AVATAR));
    check("MIME-Version", "1.0");
    check("Auto-Submitted", "auto-generated");
    check("X-Auto-Response-Suppress", "All");
    check("List-Id", "avatar-watch <avatar-watch.watch.example.com>");
    check("X-Avatar-Watch-Event", event.id.as_str());
    check("X-Avatar-Watch-Type", "avatar.ready");
    check("X-Avatar-Watch-Status", "IDLE");
    assert!(header(&message.body, "Content-Type").starts_with("multipart/alternative"));
}

#[test]
fn a_mail_has_outcome_time_and_advice() {
    for (status, word, advice) in [
        ("IDLE", "Jane is ready", "can be used for videos now"),
        ("TRAINING_FAILED", "Jane failed in training", "train it again"),
        ("REFUSED", "Jane was refused", "moderation"),
    ] {
        let message = mail_about(&sample_events::settled(Some("Jane"), status));
        let text = String::from_utf8(message.body).unwrap();
        let (plain, html) = text.split_once("text/html").unwrap();
        for said in [word, sample_events::AVATAR, advice, "2026-11-23 11:15:10 UTC"] {
            assert!(plain.contains(said), "`{said}` is not in\n{plain}");
        }
        assert!(html.contains(word) && !html.contains("http"));
        let first = plain.split("\r\n\r\n").nth(2).unwrap();
        assert!(first.starts_with(word), "the outcome comes first, not `{first}`");
    }
}

#[test]
fn a_mail_gives_the_observed_duration_of_the_training() {
    let took = |event: &Event| {
        let (_, text) = read(&mail_about(event).body);
        let (_, rest) = text.split_once("Training took: ")?;
        Some(rest.split(" Avatar id").next().unwrap().to_owned())
    };
    let mut event = sample_events::settled(Some("Jane"), "IDLE");
    let mut check = |change: &dyn Fn(&mut Training), expected: &str| {
        let Subject::Transition { transition, .. } = &mut event.subject else { unreachable!() };
        transition.training.as_mut().map(change);
        assert_eq!(took(&event).as_deref(), Some(expected));
    };
    check(&|_| {}, "2h 59m to 3h 1m");
    check(&|it| it.start.after = Some(it.start.before), "2h 59m to 3h");
    check(&|it| it.last_seen_at = sample_events::DETECTED_AT, "about 3h");
    check(&|it| it.start.after = None, "at least 3h, its start was not observed");
    let Subject::Transition { transition, .. } = &mut event.subject else { unreachable!() };
    transition.training = None;
    assert_eq!(took(&event), None);
}

#[test]
fn headers_are_configurable() {
    let event = sample_events::settled(Some("Jane"), "IDLE");
    let style = MailStyle {
        subject_prefix: "[studio]".to_owned(),
        reply_to: Some(address("help@example.com")),
        threading: Threading::None,
        list_unsubscribe: Some("mailto:leave@example.com?subject=leave".to_owned()),
        ..spec().style
    };
    let bare = MailStyle { subject_prefix: String::new(), ..style.clone() };
    let mail = mail_of(EmailSpec { style, ..spec() }, &event).body;
    assert_eq!(header(&mail, "Subject"), "[studio] Jane: ready");
    assert_eq!(header(&mail, "Reply-To"), "help@example.com");
    assert_eq!(header(&mail, "List-Unsubscribe"), "<mailto:leave@example.com?subject=leave>");
    let names: Vec<String> = headers(&mail).into_iter().map(|(name, _)| name).collect();
    assert!(!names.iter().any(|name| name == "References" || name == "In-Reply-To"), "{names:?}");
    let mail = mail_of(EmailSpec { style: bare, ..spec() }, &event).body;
    assert_eq!(header(&mail, "Subject"), "Jane: ready");
}

#[test]
fn an_avatar_without_a_name_is_called_by_its_id() {
    for name in [None, Some(""), Some("\r\n\u{202e}")] {
        let message = mail_about(&sample_events::settled(name, "IDLE"));
        let expected = format!("[avatar-watch] {}: ready", sample_events::AVATAR);
        assert_eq!(header(&message.body, "Subject"), expected);
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
        let message = mail_about(&sample_events::settled(Some(name), "REFUSED"));
        let text = String::from_utf8(message.body.clone()).unwrap();
        let (_, html) = text.split_once("text/html").unwrap();
        assert!(!html.contains("<script") && !html.contains("<img"), "for {name:?}");
        let boundary = format!("\r\n--=_avatar-watch-{}", message.delivery_id);
        assert_eq!(text.matches(&boundary).count(), 3, "for {name:?}");
        let subject = header(&message.body, "Subject");
        assert!(subject.len() < 700, "for {name:?}: {subject}");
        assert!(!subject.contains("=?utf-8?q?J"), "decoded by the reader: {subject}");
        let odd = message.body.windows(8).any(|bytes| bytes == b"\r\nBcc: e");
        assert!(!odd, "for {name:?}");
        let about = sample_events::about_avatar(Some(name), Some(name));
        let kind = EventKind::AvatarMissing;
        let missing = sample_events::condition(kind, Phase::Firing, about, Some(name));
        let mail = mail_about(&missing).body;
        let subject = header(&mail, "Subject");
        assert!(subject.len() < 700 && !subject.contains("=?utf-8?q?J"), "{subject}");
        assert!(!mail.windows(8).any(|bytes| bytes == b"\r\nBcc: e"), "for {name:?}");
    }
}

#[test]
fn an_unknown_status_and_a_ping_are_rendered() {
    let odd = mail_about(&sample_events::settled(Some("Jane"), "NEW\r\nX-Evil: 1"));
    assert_eq!(header(&odd.body, "Subject"), "[avatar-watch] Jane: now NEW X-Evil: 1");
    let ping = mail_about(&sample_events::ping());
    assert_eq!(header(&ping.body, "Subject"), "[avatar-watch] test of channel ops");
    assert_eq!(header(&ping.body, "X-Avatar-Watch-Type"), "test.ping");
}

/// The subject, and the text for those who see no HTML, with its lines joined.
fn read(mail: &[u8]) -> (String, String) {
    let text = String::from_utf8(mail.to_vec()).unwrap();
    let (plain, html) = text.split_once("text/html").unwrap();
    assert!(!html.contains("http") && !html.contains("<script") && !html.contains("<img"));
    let plain = plain.split("\r\n\r\n").skip(2).collect::<Vec<_>>().join(" ");
    let plain = plain.replace("=\r\n", "").replace("\r\n", " ");
    (header(mail, "Subject"), plain)
}

#[test]
fn a_condition_has_a_subject_details_and_advice() {
    let account = |cause| ConditionSubject::Account { name: AccountName::default(), cause };
    let check = |kind, phase, about: ConditionSubject, reason, subject: &str, texts: &[&str]| {
        let message = mail_about(&sample_events::condition(kind, phase, about, reason));
        let (line, text) = read(&message.body);
        assert_eq!(line, format!("[avatar-watch] {subject}"));
        for said in texts.iter().chain(&["What to do: ", "2026-11-23 10:45:22"]) {
            assert!(text.contains(said), "`{said}` is not in\n{text}");
        }
        assert_eq!(header(&message.body, "X-Avatar-Watch-State"), phase.name());
        assert_eq!(header(&message.body, "X-Avatar-Watch-Type"), kind.name());
    };
    let jane = || sample_events::about_avatar(Some("Jane"), Some("TRAINING"));
    let (started, resolved) = (Phase::Firing, Phase::Resolved);
    let gone = Some("404 (no such avatar)");
    let said = [sample_events::AVATAR, "404 (no such avatar)", "Last status: TRAINING", "deleted"];
    check(EventKind::AvatarMissing, started, jane(), gone, "Jane: missing", &said);
    let never = sample_events::about_avatar(None, None);
    let subject = format!("{}: missing", sample_events::AVATAR);
    check(EventKind::AvatarMissing, started, never, gone, &subject, &["Last status: none"]);
    let (kind, said) = (EventKind::AvatarMissing, ["Jane was found again", "It was missing from "]);
    check(kind, resolved, jane(), None, "Jane: found again", &said);
    let kind = EventKind::AvatarUnreachable;
    check(
        kind,
        started,
        jane(),
        Some("403"),
        "Jane: cannot be checked",
        &["403", "The API key works"],
    );
    check(kind, resolved, jane(), None, "Jane: can be checked again", &["Polls failed from "]);
    let kind = EventKind::AvatarTrainingOverdue;
    check(kind, started, jane(), None, "Jane: training overdue", &["overdue_after", "support"]);
    let idle = sample_events::about_avatar(Some("Jane"), Some("IDLE"));
    let said = ["The overdue training ended", "Last status: IDLE"];
    check(kind, resolved, idle, None, "Jane: no longer in training", &said);
    for (cause, advice) in [
        (OutageCause::KeyRejected, "revoked"),
        (OutageCause::Throttled, "max_requests_per_second"),
        (OutageCause::Unreachable, "network"),
        (OutageCause::InvalidResponse, "base_url"),
        (OutageCause::Local, "LimitNOFILE"),
    ] {
        let said = ["so it is", advice, "reported afterwards", "Account argil cannot be checked"];
        let (kind, why) = (EventKind::AccountUnavailable, Some("so it is"));
        check(kind, started, account(cause), why, "account argil: cannot be checked", &said);
        let subject = "account argil: can be checked again";
        check(
            kind,
            resolved,
            account(cause),
            None,
            subject,
            &["Account argil can be checked again", "Polls failed from "],
        );
    }
    let kind = EventKind::ConfigRejected;
    let said = ["a.toml:3: no", "avatar-watch check", "stays active"];
    check(kind, started, ConditionSubject::Config, Some("a.toml:3: no"), "config: rejected", &said);
    check(
        kind,
        resolved,
        ConditionSubject::Config,
        None,
        "config: accepted",
        &["The config file is active"],
    );
}

#[test]
fn mails_about_one_thing_are_one_thread() {
    let thread = |event: &Event| header(&mail_about(event).body, "References");
    let of = |kind, about| thread(&sample_events::condition(kind, Phase::Firing, about, None));
    let jane = sample_events::about_avatar(Some("Jane"), None);
    let settled = thread(&sample_events::settled(Some("Jane"), "IDLE"));
    assert_eq!(of(EventKind::AvatarMissing, jane), settled);
    let name = AccountName::parse("studio_2").unwrap();
    let account = ConditionSubject::Account { name, cause: OutageCause::Local };
    let unavailable = of(EventKind::AccountUnavailable, account);
    assert_eq!(unavailable, "<account.studio-2@watch.example.com>");
    let config = of(EventKind::ConfigRejected, ConditionSubject::Config);
    assert_eq!(config, "<config@watch.example.com>");
    let channel = thread(&sample_events::dead_letter());
    assert_eq!(channel, "<channel.ops@watch.example.com>");
}

#[test]
fn the_html_suits_mail_programs_in_light_and_dark_mode() {
    for event in [
        sample_events::settled(Some("Jane"), "REFUSED"),
        sample_events::ping(),
        sample_events::dead_letter(),
    ] {
        let text = String::from_utf8(mail_about(&event).body).unwrap();
        let (_, html) = text.split_once("text/html").unwrap();
        let html = html.replace("=\r\n", "").replace("=3D", "=").replace("\r\n", "\n");
        assert!(html.contains("prefers-color-scheme: dark"), "{html}");
        // Cells have inline styles, since some programs remove style sheets.
        for cell in html.split("<td ").skip(1) {
            assert!(cell.split('>').next().unwrap().contains("style="), "<td {cell}");
        }
        assert!(html.matches("<td ").count() > 3);
        for banned in ["<script", "<img", "<link", "url(", "http:", "https:", "<form"] {
            assert!(!html.contains(banned), "`{banned}` is in {html}");
        }
        assert_eq!(html.matches("<table").count(), html.matches("</table>").count());
    }
}

/// The local part without its quotes, and the domain, by other means than those that parsed it.
fn mailbox(address: &str) -> (String, String) {
    let (local, domain) = address.rsplit_once('@').unwrap();
    let Some(quoted) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return (local.to_owned(), domain.to_owned());
    };
    let mut chars = quoted.chars();
    let mut content = String::new();
    while let Some(char) = chars.next() {
        content.push(if char == '\\' { chars.next().unwrap() } else { char });
    }
    (content, domain.to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_accepted_address_makes_a_complete_mail(
        local in "[ -~é日]{1,20}",
        domain in "example\\.com|\\[127\\.0\\.0\\.1\\]|\\[IPv6:::1\\]|ü\\.example",
    ) {
        let quoted = local.replace('\\', "\\\\").replace('"', "\\\"");
        for text in [format!("{local}@{domain}"), format!("\"{quoted}\"@{domain}")] {
            // Quotes at both ends of it would be quotes.
            let is_ours = text.starts_with(&format!("{local}@")) && local.contains('"');
            let parsed = MailAddress::parse(&text).ok();
            let Some(address) = parsed.filter(|_| !is_ours) else { continue };
            let style = MailStyle {
                reply_to: Some(address.clone()),
                ..MailStyle::plain(address.domain().clone())
            };
            let (from, to) = (address.clone(), vec![address.clone()]);
            let spec = EmailSpec { from, to, style, ..spec() };
            let event = sample_events::settled(Some("Jane"), "IDLE");
            let message = sample_events::messages(&build(spec), &event).remove(0);
            let expected = (local.clone(), address.domain().to_string());
            let from = header(&message.body, "From");
            let from = from.strip_prefix("\"Avatar Watch\" <").unwrap().strip_suffix('>').unwrap();
            for shown in [from, &header(&message.body, "To"), &header(&message.body, "Reply-To")] {
                prop_assert_eq!(mailbox(shown), expected.clone());
            }
            prop_assert!(String::from_utf8(message.body).unwrap().contains("Jane"));
        }
    }
}

#[test]
fn a_mail_shows_times_in_the_zone_and_a_link_to_the_page() {
    let context = MessageContext {
        time_zone: TimeZone::parse("Europe/Berlin").unwrap(),
        public_url: PublicUrl::new("https://watch.example.com", "/argil"),
    };
    let mail = mail_of(EmailSpec { context, ..spec() }, &sample_events::settled(Some("J"), "IDLE"));
    let text = String::from_utf8(mail.body).unwrap().replace("=\r\n", "").replace("=3D", "=");
    let url = format!("https://watch.example.com/argil/avatars/{}", sample_events::AVATAR);
    let (plain, html) = text.split_once("text/html").unwrap();
    assert!(plain.contains(&format!("Show the avatar: {url}")), "{plain}");
    assert!(html.contains(&format!("href=\"{url}\"")), "{html}");
    assert!(plain.contains("2026-11-23 12:15:10 +01:00") && !plain.contains(" UTC"), "{plain}");
    assert!(text.contains("Date: Mon, 23 Nov 2026 11:15:22 +0000"), "{text}");
}
