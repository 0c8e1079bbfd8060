//! Channels of the type `email`: addresses, headers and transport.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;
use url::Url;

use crate::config::parse::duration;
use crate::config::parse::field::{Field, Table, shown};
use crate::config::parse::web_address;
use crate::config::program::program;
use crate::config::schema::keys::{FILE, SENDMAIL, SMTP};
use crate::config::sections::smtp::{self, domain};
use crate::config::settings::{EmailSettings, MailTransport};
use crate::domain::mail::address::{MailAddress, MailAddressError};
use crate::domain::mail::options::Threading;
use crate::text::characters::is_unsafe;

pub(in crate::config) fn read(table: &Table<'_>) -> Option<EmailSettings> {
    let from = table.required("from", "write `from = \"avatar-watch@example.com\"`", address);
    let to = table.required("to", "write `to = [\"studio@example.com\"]`", |field| {
        let to = field.distinct(address)?;
        let to = field.not_empty(to, "write the recipients, like `[\"studio@example.com\"]`")?;
        if to.len() > TO_MAX {
            return field
                .invalid(format!("has more than {TO_MAX} addresses"), "use a mailing list");
        }
        Some(to)
    });
    let bounce_to = table.or("bounce_to", from.clone(), bounce_to);
    let reply_to = table.optional("reply_to", address);
    let domain = table.optional("message_id_domain", domain);
    let prefix = table.or("subject_prefix", PREFIX.to_owned(), subject_prefix);
    let threading = table.or("threading", Threading::Avatar, |field| field.one_of(&THREADING));
    let list_unsubscribe = table.optional("list_unsubscribe", unsubscribe);
    let way = transport(table);
    let (from, domain) = (from?, domain?);
    let message_id_domain = domain.unwrap_or_else(|| from.domain().clone());
    // Many servers distrust message ids with a domain that is not valid on the Internet; messages
    // that stay on this machine need no such domain.
    if !matches!(way, None | Some(MailTransport::File { .. }))
        && !message_id_domain.is_full_name()
        && let Some(field) = table.field("message_id_domain").or_else(|| table.field("from"))
    {
        let what =
            if message_id_domain.is_literal() { "which is no name" } else { "without a dot" };
        let message = format!("makes message ids of the domain `{message_id_domain}`, {what}");
        let help = "write `message_id_domain = \"…\"`, with a whole name like `watch.example.com`";
        field.warning(message, help);
    }
    Some(EmailSettings {
        message_id_domain,
        from,
        to: to?,
        bounce_to: bounce_to?,
        reply_to: reply_to?,
        subject_prefix: prefix?,
        threading: threading?,
        list_unsubscribe: list_unsubscribe?,
        transport: way?,
    })
}

fn transport(table: &Table<'_>) -> Option<MailTransport> {
    let given: Vec<Field<'_>> = TRANSPORTS.iter().filter_map(|name| table.field(name)).collect();
    if let [_, second, ..] = given.as_slice() {
        let message = "is a second transport of the same channel";
        return second.invalid(message, "keep one of `smtp`, `sendmail` and `file`");
    }
    if let Some(field) = table.field("sendmail") {
        let table = field.table()?;
        table.check_keys(&SENDMAIL);
        let help = "write `command = [\"/usr/sbin/sendmail\"]`";
        let program = table.required("command", help, program);
        let limit = table.or("timeout", SENDMAIL_TIMEOUT, |field| duration::read(field, &PATIENCE));
        return Some(MailTransport::Sendmail { program: program?, timeout: limit? });
    }
    if let Some(field) = table.field("file") {
        let table = field.table()?;
        table.check_keys(&FILE);
        let help = "write `folder = \"mails\"`";
        let folder =
            table.required("folder", help, |field| Some(field.reader.resolve(field.text()?)));
        return Some(MailTransport::File { folder: folder? });
    }
    let help = "write `smtp = { host = \"…\" }`, `sendmail = { command = […] }` or \
                `file = { folder = \"…\" }`";
    table.required("smtp", help, |field| {
        let table = field.table()?;
        table.check_keys(&SMTP);
        smtp::read(&table).map(MailTransport::Smtp)
    })
}

fn address(field: &Field<'_>) -> Option<MailAddress> {
    // The address is not repeated: problems are logged at a reload.
    let help = "write a bare address, like `studio@example.com`";
    let refused = |error: MailAddressError| field.invalid(error.to_string(), help);
    MailAddress::parse(field.text()?).map_or_else(refused, Some)
}

/// `Some(None)` is the null sender.
fn bounce_to(field: &Field<'_>) -> Option<Option<MailAddress>> {
    match field.value {
        DeValue::String(text) if text.is_empty() || text == "none" => Some(None),
        _ => address(field).map(Some),
    }
}

fn subject_prefix(field: &Field<'_>) -> Option<String> {
    let text = match field.value {
        DeValue::String(text) if text.is_empty() => return Some(String::new()),
        _ => field.text()?,
    };
    let help = format!("write at most {PREFIX_CHARS_MAX} characters on one line");
    if text.chars().count() > PREFIX_CHARS_MAX || text.chars().any(is_unsafe) {
        return field.invalid(format!("is `{}`, which is not a valid prefix", shown(text)), help);
    }
    Some(text.trim().to_owned())
}

/// A URL that is valid between angle brackets in a header (RFC 2369).
fn unsubscribe(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>".contains(&byte));
    let known = ["https://", "mailto:"].iter().any(|scheme| text.starts_with(scheme));
    let means_it = web_address::misread(text).is_none() && Url::parse(text).is_ok();
    if plain && known && text.len() <= URL_LENGTH_MAX && means_it {
        return Some(text.to_owned());
    }
    if let Some((message, help)) = web_address::misread(text) {
        return field.invalid(message, help);
    }
    let help = "write one like `mailto:leave@example.com` or `https://example.com/leave`";
    field.invalid("is neither a `mailto` nor an `https` URL", help)
}

pub(in crate::config) const TRANSPORTS: [&str; 3] = ["smtp", "sendmail", "file"];
pub(in crate::config) const THREADING: [(&str, Threading); 2] =
    [("avatar", Threading::Avatar), ("none", Threading::None)];
const PREFIX: &str = "[avatar-watch]";
const PREFIX_CHARS_MAX: usize = 40;
const URL_LENGTH_MAX: usize = 500;
const TO_MAX: usize = 100;
const SENDMAIL_TIMEOUT: Duration = Duration::from_secs(60);
/// An attempt must end before its lease does.
const PATIENCE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);

#[cfg(test)]
#[path = "email_tests.rs"]
mod tests;
