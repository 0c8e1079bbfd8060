//! Renders the mail of one event for one recipient (RFC 5322).
//!
//! The same arguments give the same bytes, down to the boundary. Rendering cannot fail: addresses
//! and domains were checked when they were parsed. Text from outside never adds a header, a line or
//! a tag. No images or tracking, and no links except one to the page (`public_url`).

use std::time::{Duration, SystemTime};

use askama::Template;
use lettre::Address;
use lettre::message::header::{self, HeaderName, HeaderValue, Headers};
use lettre::message::{Mailbox, Mailboxes, MultiPart, SinglePart};

use crate::domain::condition::ConditionSubject;
use crate::domain::delivery::DeliveryId;
use crate::domain::event::{Event, Subject};
use crate::domain::id::EventId;
use crate::domain::mail::address::MailAddress;
use crate::domain::mail::domain::MailDomain;
use crate::domain::mail::options::Threading;
use crate::domain::time::timestamp::Timestamp;
use crate::notify::content::render;
use crate::notify::content::{Content, NAME_CHARS_MAX};
use crate::notify::email::config::MailStyle;
use crate::notify::message_context::MessageContext;
use crate::text::capitalize::capitalized;
use crate::text::sanitize::sanitize_line;

/// The parts that all mails of a channel share.
pub(super) struct MessageHeaders {
    pub(super) from: MailAddress,
    pub(super) style: MailStyle,
    pub(super) context: MessageContext,
}

impl MessageHeaders {
    pub(super) fn render(
        &self,
        event: &Event,
        delivery: &DeliveryId,
        to: &MailAddress,
        now: Timestamp,
    ) -> Vec<u8> {
        let content = render::content(event, &self.context);
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
            Subject::Transition { transition, .. } => {
                let status = sanitize_line(transition.status.name(), NAME_CHARS_MAX);
                raw(&mut headers, "X-Avatar-Watch-Status", &undecodable(&status));
            }
            Subject::Condition(condition) => {
                raw(&mut headers, "X-Avatar-Watch-State", condition.phase.name())
            }
            Subject::DeadLetter(_) | Subject::Ping { .. } => {}
        }
        raw(&mut headers, "Auto-Submitted", "auto-generated");
        raw(&mut headers, "X-Auto-Response-Suppress", "All");
        raw(&mut headers, "List-Id", &list_id(domain));
        if let Some(url) = &self.style.list_unsubscribe {
            raw(&mut headers, "List-Unsubscribe", &format!("<{url}>"));
        }
        raw(&mut headers, "X-Avatar-Watch-Event", event.id.as_str());
        raw(&mut headers, "X-Avatar-Watch-Type", event.kind.name());
        headers.set(header::MIME_VERSION_1_0);
        let color = format!("#{:06x}", content.severity.color());
        let advice = content.advice.strip_prefix(ADVICE).map(capitalized);
        let html = HtmlMail { content: &content, event: &event.id, color, advice }.render();
        let mut body = MultiPart::alternative()
            .boundary(format!("{BOUNDARY}{delivery}"))
            .singlepart(SinglePart::plain(plain_text(&content, &event.id)));
        // Without HTML, the mail still says everything.
        if let Ok(html) = html {
            body = body.singlepart(SinglePart::html(html));
        }
        // The library's builder of whole messages would parse the addresses again, more strictly.
        let mut message = headers.to_string().into_bytes();
        message.extend(body.formatted());
        message
    }
}

pub(super) const CONTENT_TYPE: &str = "message/rfc822";

/// The text that every mail has; written without a template, because it must not fail.
fn plain_text(content: &Content, event: &EventId) -> String {
    let mut lines = vec![content.title.clone(), content.detail.clone(), String::new()];
    lines.extend(content.fields.iter().map(|it| format!("{}: {}", it.name, it.value)));
    lines.extend([String::new(), content.advice.clone(), String::new()]);
    lines.extend(content.window.iter().cloned());
    if let Some(link) = &content.link {
        lines.extend([String::new(), format!("{}: {}", link.label, link.url)]);
    }
    lines.extend([String::new(), "-- ".to_owned(), format!("avatar-watch, event {event}")]);
    lines.join("\n")
}

#[derive(Template)]
#[template(path = "mail.html", config = "src/notify/askama.toml")]
struct HtmlMail<'a> {
    content: &'a Content,
    event: &'a EventId,
    color: String,
    /// The advice without the prefix "What to do".
    advice: Option<String>,
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

/// The thread of a mail; valid in a message id (`dot-atom-text` of RFC 5322, section 3.2.3).
fn topic(subject: &Subject) -> Option<String> {
    let (kind, name) = match subject {
        Subject::Transition { transition, .. } => ("avatar", transition.avatar_id.as_str()),
        Subject::Condition(condition) => match &condition.subject {
            ConditionSubject::Avatar { account, group, .. } if group.other_count > 0 => {
                ("account", account.as_str())
            }
            ConditionSubject::Avatar { id, .. } => ("avatar", id.as_str()),
            ConditionSubject::Account { name, .. } => ("account", name.as_str()),
            ConditionSubject::Channel { name, .. } => ("channel", name.as_str()),
            ConditionSubject::Config => return Some("config".to_owned()),
        },
        Subject::DeadLetter(letter) => ("channel", letter.first.channel.as_str()),
        Subject::Ping { .. } => return None,
    };
    let safe = |char: char| if char.is_ascii_alphanumeric() { char } else { '-' };
    Some(format!("{kind}.{}", name.chars().map(safe).collect::<String>()))
}

const ADVICE: &str = "What to do: ";
const FONT: &str = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif";
const SENDER: &str = "Avatar Watch";
const BOUNDARY: &str = "=_avatar-watch-";
/// The last second of the year 9998.
const DATE_MILLIS_MAX: u64 = 253_370_764_799_000;
