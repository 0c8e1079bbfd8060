//! Renders the mail of one event for one recipient (RFC 5322).
//!
//! The same arguments give the same bytes, down to the boundary. Rendering cannot fail: addresses
//! and domains were checked when they were parsed. Text from outside never adds a header, a line or
//! a tag. No images, links or tracking.

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

/// The parts that all mails of a channel share.
pub(super) struct MessageHeaders {
    pub(super) from: MailAddress,
    pub(super) style: MailStyle,
}

impl MessageHeaders {
    pub(super) fn render(
        &self,
        event: &Event,
        delivery: &DeliveryId,
        to: &MailAddress,
        now: Timestamp,
    ) -> Vec<u8> {
        let content = render::content(event);
        let MailStyle { message_id_domain: domain, subject_prefix, .. } = &self.style;
        let subject = format!("{subject_prefix} {}", content.subject);
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
            // No mail has this id as its own; mail programs show all replies to it as one thread.
            let root = format!("<{topic}@{domain}>");
            headers.set(header::InReplyTo::from(root.clone()));
            headers.set(header::References::from(root));
        }
        match &event.subject {
            Subject::Transition { .. } => {
                raw(&mut headers, STATUS, &undecodable(&content.status));
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
            .singlepart(SinglePart::plain(text(&content)))
            .singlepart(SinglePart::html(html(&content)));
        // The library's builder of whole messages would parse the addresses again, more strictly.
        let mut message = headers.to_string().into_bytes();
        message.extend(body.formatted());
        message
    }
}

pub(super) const CONTENT_TYPE: &str = "message/rfc822";

#[derive(Template)]
#[template(path = "mail.txt", config = "src/notify/askama.toml")]
struct TextMail<'a> {
    content: &'a Content,
}

#[derive(Template)]
#[template(path = "mail.html", config = "src/notify/askama.toml")]
struct HtmlMail<'a> {
    content: &'a Content,
    /// The advice without the prefix "What to do".
    advice: Option<String>,
}

/// Rendering into memory does not fail; if it did, the plain text would be sent.
fn text(content: &Content) -> String {
    TextMail { content }.render().unwrap_or_else(|_| content.plain())
}

fn html(content: &Content) -> String {
    let advice = content.advice.strip_prefix(ADVICE).map(capitalised);
    let plain =
        |_| format!("<pre>{}</pre>", content.plain().replace('&', "&amp;").replace('<', "&lt;"));
    HtmlMail { content, advice }.render().unwrap_or_else(plain)
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// An address for the library, without its parser, which accepts fewer addresses than ours.
fn mailboxes(name: Option<&str>, address: &MailAddress) -> Mailboxes {
    let checked = Address::new_dangerous(address.local_part(), address.domain().as_str());
    Mailbox::new(name.map(str::to_owned), checked).into()
}

/// The value of `List-Id` (RFC 2919), which cannot contain an address literal.
fn list_id(domain: &MailDomain) -> String {
    let domain = if domain.is_literal() { "localhost" } else { domain.as_str() };
    format!("avatar-watch <avatar-watch.{domain}>")
}

fn raw(headers: &mut Headers, name: &'static str, value: &str) {
    headers.insert_raw(HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned()));
}

/// Breaks text that resembles an encoded word (RFC 2047). The library sends visible ASCII as it is,
/// so mail programs would decode it, line breaks included.
fn undecodable(text: &str) -> String {
    text.replace("=?", "= ?")
}

/// The time for the library, within the years that a `Date` header supports.
fn date(now: Timestamp) -> SystemTime {
    let millis = u64::try_from(now.as_millis()).unwrap_or(0).min(DATE_MILLIS_MAX);
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

/// The thread of a mail.
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

/// A text that is valid in a message id (`dot-atom-text` of RFC 5322, section 3.2.3).
fn atom(text: &str) -> String {
    let safe = |char: char| if char.is_ascii_alphanumeric() { char } else { '-' };
    text.chars().map(safe).collect()
}

const ADVICE: &str = "What to do: ";
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
