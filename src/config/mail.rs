//! Channels of the type `email`: who writes to whom, through which server.

use crate::config::certificates;
use crate::config::field::{Field, shown};
use crate::config::host;
use crate::config::reader::Table;
use crate::config::schema::SMTP;
use crate::config::secret_source::{self, Plain};
use crate::config::settings::{EmailSettings, SmtpSettings, SmtpTls};
use crate::domain::mail_address::MailAddress;
use crate::secret::Secret;

/// Reads what a mail channel has beyond any other.
pub(super) fn read(table: &Table<'_>) -> Option<EmailSettings> {
    let from = table.required("from", "write `from = \"avatar-watch@example.com\"`", address);
    let to = table.required("to", "write `to = [\"studio@example.com\"]`", |field| {
        let to = field.distinct(address)?;
        let to = field.not_empty(to, "write whom to tell, like `[\"studio@example.com\"]`")?;
        if to.len() > TO_MAX {
            return field.wrong(format!("has more than {TO_MAX} addresses"), "use a mailing list");
        }
        Some(to)
    });
    let domain = table.optional("message_id_domain", domain);
    let smtp = table.required("smtp", "write `smtp = { host = \"…\" }`", |field| {
        let table = field.table()?;
        table.check_keys(&SMTP);
        smtp(&table)
    });
    let from = from?;
    Some(EmailSettings {
        message_id_domain: domain?.unwrap_or_else(|| from.domain().to_owned()),
        from,
        to: to?,
        smtp: smtp?,
    })
}

fn address(field: &Field<'_>) -> Option<MailAddress> {
    // The address is not repeated: problems are logged at a reload.
    let help = "an address stands alone, like `studio@example.com`";
    let refused = |error| field.wrong(format!("is malformed: {error}"), help);
    MailAddress::parse(field.text()?).map_or_else(refused, Some)
}

fn smtp(table: &Table<'_>) -> Option<SmtpSettings> {
    let host = table.required("host", "write `host = \"smtp.example.com\"`", smtp_host);
    let tls = table.or("tls", SmtpTls::Starttls, |field| field.one_of(&TLS));
    let port = table.optional("port", |field| field.integer(1..=u32::from(u16::MAX)));
    let login = login(table);
    let ca_file = table.optional("ca_file", certificates::read);
    let hello_name = table.optional("hello_name", domain);
    let (host, tls) = (host?, tls?);
    let remote = host::parse(&host).is_none_or(|host| !host::is_loopback(&host));
    if let (SmtpTls::None, true, Some(field)) = (tls, remote, table.field("tls")) {
        return field.wrong(
            format!("is `none`, and `{host}` is another machine: all would go in the clear"),
            "write `starttls` or `implicit`; `none` is only for `localhost`",
        );
    }
    let port = port?.and_then(|port| u16::try_from(port).ok());
    Some(SmtpSettings {
        host,
        port: port.unwrap_or(tls.default_port()),
        tls,
        login: login?,
        ca_file: ca_file?,
        hello_name: hello_name?,
    })
}

fn smtp_host(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    match host::parse(text) {
        Some(_) => Some(text.to_owned()),
        None => field.wrong(
            format!("is `{}`, which is no host", shown(text)),
            "write a name or an address alone; the port has a key of its own",
        ),
    }
}

/// Gives `Some(None)` for no login; both or neither have to be given.
fn login(table: &Table<'_>) -> Option<Option<(String, Secret)>> {
    let username = table.optional("username", |field| field.text().map(str::to_owned));
    let password = table.optional("password", |field| secret_source::read(field, Plain::Guarded));
    match (username?, password?) {
        (Some(username), Some(password)) => Some(Some((username, password))),
        (None, None) => Some(None),
        (Some(_), None) => lonely(table, "username", "password"),
        (None, Some(_)) => lonely(table, "password", "username"),
    }
}

fn lonely<T>(table: &Table<'_>, given: &str, absent: &str) -> Option<T> {
    let field = table.field(given)?;
    let message = format!("stands there without `{absent}`");
    let help = format!("write `{absent}` too, or leave both out");
    field.reader.absence(&field.place, message, Some(help));
    None
}

/// A name as SMTP and message ids have it, or an address in brackets (RFC 5321, section 4.1.3).
fn domain(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    if text.len() <= DOMAIN_LENGTH_MAX && text.bytes().all(plain) {
        return Some(text.to_owned());
    }
    field.wrong(format!("is `{}`, which is no domain", shown(text)), "write one like `example.com`")
}

const TLS: [(&str, SmtpTls); 3] =
    [("starttls", SmtpTls::Starttls), ("implicit", SmtpTls::Implicit), ("none", SmtpTls::None)];
const TO_MAX: usize = 100;
const DOMAIN_LENGTH_MAX: usize = 255;
