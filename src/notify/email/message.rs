//! The mail itself: RFC 5322 bytes about one event for one recipient.
//!
//! Rendered once and stored; the same arguments always give the same bytes, down to the
//! boundary. Foreign text never becomes a header, a line or a tag of its own. No pictures, no
//! links to follow, no tracking.

use std::time::{Duration, SystemTime};

use askama::Template;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder, MultiPart, SinglePart};
use lettre::{Address, Message};

use crate::domain::avatar::AvatarId;
use crate::domain::channel::ChannelName;
use crate::domain::condition::About;
use crate::domain::delivery::DeliveryId;
use crate::domain::event::{Event, Subject};
use crate::domain::timestamp::Timestamp;
use crate::notify::email::spec::{MailStyle, Threading};
use crate::notify::letter::Letter;
use crate::notify::telling;

/// What stands on every mail of a channel.
pub(super) struct Letterhead {
    /// Who writes.
    pub(super) from: Address,
    /// Who is answered.
    pub(super) reply_to: Option<Address>,
    /// The rest.
    pub(super) style: MailStyle,
}

impl Letterhead {
    /// The mail about that event to that recipient.
    pub(super) fn write(
        &self,
        event: &Event,
        delivery: &DeliveryId,
        to: &Address,
        now: Timestamp,
    ) -> Vec<u8> {
        let letter = telling::letter(event);
        let MailStyle { message_id_domain: domain, subject_prefix, .. } = &self.style;
        let subject = format!("{subject_prefix} {}", letter.subject);
        let sender = Mailbox::new(Some(SENDER.to_owned()), self.from.clone());
        let mut headers = Message::builder()
            .from(sender)
            .to(Mailbox::new(None, to.clone()))
            .subject(undecodable(subject.trim_start()))
            .date(date(now))
            .message_id(Some(format!("<{}.{delivery}@{domain}>", event.id)));
        if let Some(reply_to) = &self.reply_to {
            headers = headers.reply_to(Mailbox::new(None, reply_to.clone()));
        }
        if let (Threading::Avatar, Some(topic)) = (self.style.threading, topic(&event.subject)) {
            // A root that no mail has: programs show all mails about one thing as one thread.
            let root = format!("<{topic}@{domain}>");
            headers = headers.in_reply_to(root.clone()).references(root);
        }
        match &event.subject {
            Subject::Transition { .. } => {
                headers = raw(headers, STATUS, &undecodable(&letter.status));
            }
            Subject::Condition(condition) => {
                headers = raw(headers, STATE, condition.phase.name());
            }
            Subject::DeadLetter(_) | Subject::Ping { .. } => {}
        }
        headers = raw(headers, AUTO_SUBMITTED, "auto-generated");
        headers = raw(headers, AUTO_RESPONSE, "All");
        headers = raw(headers, LIST_ID, &format!("avatar-watch <avatar-watch.{domain}>"));
        if let Some(url) = &self.style.list_unsubscribe {
            headers = raw(headers, LIST_UNSUBSCRIBE, &format!("<{url}>"));
        }
        headers = raw(headers, EVENT, event.id.as_str());
        headers = raw(headers, KIND, event.kind.name());
        let body = MultiPart::alternative()
            .boundary(format!("{BOUNDARY}{delivery}"))
            .singlepart(SinglePart::plain(text(&letter)))
            .singlepart(SinglePart::html(html(&letter)));
        // A message fails only without a sender or a recipient, and both stand above.
        headers.multipart(body).map(|message| message.formatted()).unwrap_or_default()
    }
}

/// The content type of the rendered mail.
pub(super) const CONTENT_TYPE: &str = "message/rfc822";

#[derive(Template)]
#[template(path = "mail.txt", config = "src/notify/askama.toml")]
struct TextMail<'a> {
    letter: &'a Letter,
}

#[derive(Template)]
#[template(path = "mail.html", config = "src/notify/askama.toml")]
struct HtmlMail<'a> {
    letter: &'a Letter,
    /// What to do, without the words that say so.
    advice: Option<String>,
}

// A template fails only when its writer does, and memory does not.
fn text(letter: &Letter) -> String {
    TextMail { letter }.render().unwrap_or_default()
}

fn html(letter: &Letter) -> String {
    let advice = letter.meaning.strip_prefix(ADVICE).map(capitalised);
    HtmlMail { letter, advice }.render().unwrap_or_default()
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn raw(headers: MessageBuilder, name: &'static str, value: &str) -> MessageBuilder {
    let name = HeaderName::new_from_ascii_str(name);
    headers.raw_header(HeaderValue::new(name, value.to_owned()))
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
        Subject::Condition(condition) => Some(match &condition.about {
            About::Avatar { id, .. } => avatar_topic(id),
            About::Account { name, .. } => format!("account.{}", atom(name.as_str())),
            About::Config => "config".to_owned(),
            About::Channel { name } => channel_topic(name),
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
