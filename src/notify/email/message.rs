//! The mail itself: RFC 5322 bytes about one event for one recipient.
//!
//! Rendered once and stored; the same arguments always give the same bytes, down to the
//! boundary. Nothing in it can fail: addresses and domains were checked when they were parsed, and
//! no header is read again. Foreign text never becomes a header, a line or a tag of its own. No
//! pictures, no links to follow, no tracking.

use std::time::{Duration, SystemTime};

use askama::Template;
use lettre::Address;
use lettre::message::header::{self, HeaderName, HeaderValue, Headers};
use lettre::message::{Mailbox, Mailboxes, MultiPart, SinglePart};

use crate::domain::avatar::AvatarId;
use crate::domain::condition::ConditionSubject;
use crate::domain::delivery::DeliveryId;
use crate::domain::delivery::channel::ChannelName;
use crate::domain::event::{Event, Subject};
use crate::domain::mail::address::MailAddress;
use crate::domain::mail::domain::MailDomain;
use crate::domain::time::timestamp::Timestamp;
use crate::notify::content::Content;
use crate::notify::content::render;
use crate::notify::email::config::{MailStyle, Threading};

/// What stands on every mail of a channel.
pub(super) struct MessageHeaders {
    /// Who writes.
    pub(super) from: MailAddress,
    /// The rest.
    pub(super) style: MailStyle,
}

impl MessageHeaders {
    /// The mail about that event to that recipient.
    pub(super) fn write(
        &self,
        event: &Event,
        delivery: &DeliveryId,
        to: &MailAddress,
        now: Timestamp,
    ) -> Vec<u8> {
        let letter = render::letter(event);
        let MailStyle { message_id_domain: domain, subject_prefix, .. } = &self.style;
        let subject = format!("{subject_prefix} {}", letter.subject);
        let mut headers = Headers::new();
        headers.set::<header::From>(mailboxes(Some(SENDER), &self.from).into());
        headers.set::<header::To>(mailboxes(None, to).into());
        headers.set(header::Subject::from(undecodable(subject.trim_start())));
        headers.set(header::Date::from(date(now)));
        headers.set(header::MessageId::from(format!("<{}.{delivery}@{domain}>", event.id)));
        if let Some(reply_to) = &self.style.reply_to {
            headers.set::<header::ReplyTo>(mailboxes(None, reply_to).into());
        }
        if let (Threading::Avatar, Some(topic)) = (self.style.threading, topic(&event.subject)) {
            // A root that no mail has: programs show all mails about one thing as one thread.
            let root = format!("<{topic}@{domain}>");
            headers.set(header::InReplyTo::from(root.clone()));
            headers.set(header::References::from(root));
        }
        match &event.subject {
            Subject::Transition { .. } => {
                raw(&mut headers, STATUS, &undecodable(&letter.status));
            }
            Subject::Condition(condition) => raw(&mut headers, STATE, condition.phase.name()),
            Subject::DeadLetter(_) | Subject::Ping { .. } => {}
        }
        raw(&mut headers, AUTO_SUBMITTED, "auto-generated");
        raw(&mut headers, AUTO_RESPONSE, "All");
        raw(&mut headers, LIST_ID, &list_id(domain));
        if let Some(url) = &self.style.list_unsubscribe {
            raw(&mut headers, LIST_UNSUBSCRIBE, &format!("<{url}>"));
        }
        raw(&mut headers, EVENT, event.id.as_str());
        raw(&mut headers, KIND, event.kind.name());
        headers.set(header::MIME_VERSION_1_0);
        let body = MultiPart::alternative()
            .boundary(format!("{BOUNDARY}{delivery}"))
            .singlepart(SinglePart::plain(text(&letter)))
            .singlepart(SinglePart::html(html(&letter)));
        // The builder of whole messages would read the addresses again, by narrower rules.
        let mut message = headers.to_string().into_bytes();
        message.extend(body.formatted());
        message
    }
}

/// The content type of the rendered mail.
pub(super) const CONTENT_TYPE: &str = "message/rfc822";

#[derive(Template)]
#[template(path = "mail.txt", config = "src/notify/askama.toml")]
struct TextMail<'a> {
    letter: &'a Content,
}

#[derive(Template)]
#[template(path = "mail.html", config = "src/notify/askama.toml")]
struct HtmlMail<'a> {
    letter: &'a Content,
    /// What to do, without the words that say so.
    advice: Option<String>,
}

/// A template fails only when its writer does, and memory does not; if one did, the news would be
/// told without its form.
fn text(letter: &Content) -> String {
    TextMail { letter }.render().unwrap_or_else(|_| letter.bare())
}

fn html(letter: &Content) -> String {
    let advice = letter.meaning.strip_prefix(ADVICE).map(capitalised);
    let bare =
        |_| format!("<pre>{}</pre>", letter.bare().replace('&', "&amp;").replace('<', "&lt;"));
    HtmlMail { letter, advice }.render().unwrap_or_else(bare)
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// An address as the library writes it. It was checked by the one parser that there is for
/// addresses; the library's own takes fewer.
fn mailboxes(name: Option<&str>, address: &MailAddress) -> Mailboxes {
    let checked = Address::new_dangerous(address.local_part(), address.domain().as_str());
    Mailbox::new(name.map(str::to_owned), checked).into()
}

/// The id of what our mails would be a list of (RFC 2919); it has no room for addresses.
fn list_id(domain: &MailDomain) -> String {
    let domain = if domain.is_literal() { "localhost" } else { domain.as_str() };
    format!("avatar-watch <avatar-watch.{domain}>")
}

fn raw(headers: &mut Headers, name: &'static str, value: &str) {
    headers.insert_raw(HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned()));
}

/// Foreign text that looks like an encoded word (RFC 2047) would be decoded by the reader's
/// program, line ends and all, because the library sends visible ASCII as it is.
fn undecodable(text: &str) -> String {
    text.replace("=?", "= ?")
}

/// The moment as the library takes it, within the years that a `Date` can hold.
fn date(now: Timestamp) -> SystemTime {
    let millis = u64::try_from(now.as_millis()).unwrap_or(0).min(DATE_MILLIS_MAX);
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

/// The thread of a mail: what it is about.
fn topic(subject: &Subject) -> Option<String> {
    match subject {
        Subject::Transition { transition, .. } => Some(avatar_topic(&transition.avatar_id)),
        Subject::Condition(condition) => Some(match &condition.subject {
            ConditionSubject::Avatar { id, .. } => avatar_topic(id),
            ConditionSubject::Account { name, .. } => format!("account.{}", atom(name.as_str())),
            ConditionSubject::Config => "config".to_owned(),
            ConditionSubject::Channel { name, .. } => channel_topic(name),
        }),
        Subject::DeadLetter(letter) => Some(channel_topic(&letter.channel)),
        Subject::Ping { .. } => None,
    }
}

fn channel_topic(name: &ChannelName) -> String {
    format!("channel.{}", atom(name.as_str()))
}

fn avatar_topic(id: &AvatarId) -> String {
    format!("avatar.{}", atom(id.as_str()))
}

/// A text as it can stand in a message id (`dot-atom-text` of RFC 5322, section 3.2.3).
fn atom(text: &str) -> String {
    let safe = |char: char| if char.is_ascii_alphanumeric() { char } else { '-' };
    text.chars().map(safe).collect()
}

const ADVICE: &str = "What to do: ";
/// Mail programs know no other fonts than their own.
const FONT: &str = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif";
const SENDER: &str = "Avatar Watch";
const STATUS: &str = "X-Avatar-Watch-Status";
const STATE: &str = "X-Avatar-Watch-State";
const EVENT: &str = "X-Avatar-Watch-Event";
const KIND: &str = "X-Avatar-Watch-Type";
const AUTO_SUBMITTED: &str = "Auto-Submitted";
const AUTO_RESPONSE: &str = "X-Auto-Response-Suppress";
const LIST_ID: &str = "List-Id";
const LIST_UNSUBSCRIBE: &str = "List-Unsubscribe";
const BOUNDARY: &str = "=_avatar-watch-";
/// The last second of the year 9998.
const DATE_MILLIS_MAX: u64 = 253_370_764_799_000;
