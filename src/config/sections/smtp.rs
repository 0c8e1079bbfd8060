//! `[channels.NAME.smtp]`: the mail server of a channel, and the login there.

use std::ops::RangeInclusive;
use std::time::Duration;

use url::Host;

use crate::config::parse::ca_file;
use crate::config::parse::duration;
use crate::config::parse::field::{Field, Table, shown};
use crate::config::parse::host;
use crate::config::program::program;
use crate::config::secret_source::{self, Plain};
use crate::config::settings::{SmtpLogin, SmtpSettings};
use crate::domain::delivery::egress_policy::EgressPolicy;
use crate::domain::mail::domain::MailDomain;
use crate::domain::mail::options::{LoginMethod, SmtpTls};
use crate::secret::CredentialSource;
use crate::text::secret_input::SecretKind;

pub(in crate::config) fn read(table: &Table<'_>) -> Option<SmtpSettings> {
    let host = table.required("host", "write `host = \"mail.example.com\"`", smtp_host);
    let tls = table.or("tls", SmtpTls::Starttls, |field| field.one_of(&TLS));
    let port = table.optional("port", |field| field.integer(1..=u32::from(u16::MAX)));
    let login = login(table);
    let ca_file = table.optional("ca_file", ca_file::read);
    let hello_name = table.optional("hello_name", hello_name);
    let dot_timeout = table.or("dot_timeout", DOT, |field| duration::read(field, &DOT_RANGE));
    let (host, tls) = (host?, tls?);
    let remote = host::parse(&host).is_none_or(|host| !host::is_loopback(&host));
    if let (SmtpTls::None, true, Some(field)) = (tls, remote, table.field("tls")) {
        return field.invalid(
            format!("is `none`, and `{host}` is another machine: mail would be sent unencrypted"),
            "write `starttls` or `implicit`; `none` is only for `localhost`",
        );
    }
    let hello_name = hello_name?;
    // Names without a dot are local; some servers reject clients that greet with one.
    if let (Some(name), true, Some(field)) = (&hello_name, remote, table.field("hello_name"))
        && !name.is_full_name()
        && !name.is_literal()
    {
        let message = format!("is `{name}`, without a dot: strict servers refuse such a greeting");
        field.warning(message, "write the whole name of this machine, like `watch.example.com`");
    }
    let port = port?.and_then(|port| u16::try_from(port).ok());
    Some(SmtpSettings {
        host,
        port: port.unwrap_or(tls.default_port()),
        tls,
        login: login?,
        ca_file: ca_file?,
        hello_name,
        dot_timeout: dot_timeout?,
    })
}

fn smtp_host(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    if text.eq_ignore_ascii_case(SMTP_PLACEHOLDER) {
        return field.invalid("is a placeholder", "write the name of your mail server");
    }
    let host = host::parse(text);
    if let Some(refusal) =
        host.as_ref().and_then(|host| host::refusal(host, EgressPolicy::AllowPrivate))
    {
        let message = format!("is `{}`, which is {}", shown(text), refusal.describe());
        return field.invalid(
            message,
            "this address is always blocked; use the address of the mail server",
        );
    }
    match host {
        // In the form for resolvers and certificates: other scripts are converted to ASCII;
        // brackets and a trailing dot are removed.
        Some(Host::Domain(name)) => Some(name.strip_suffix('.').unwrap_or(&name).to_owned()),
        Some(Host::Ipv4(address)) => Some(address.to_string()),
        Some(Host::Ipv6(address)) => Some(address.to_string()),
        None => field.invalid(
            format!("is `{}`, which is not a valid host", shown(text)),
            "write a name or an address alone; the port has a key of its own",
        ),
    }
}

/// The host in a starter config of which nothing is known of the mail server.
pub(in crate::config) const SMTP_PLACEHOLDER: &str = "smtp.example.com";

/// A name that servers accept which follow RFC 5321, section 4.1.1.1, strictly.
fn hello_name(field: &Field<'_>) -> Option<MailDomain> {
    let name = domain(field)?;
    if !name.can_greet() {
        let message = format!("is `{name}`, which has an underscore in it");
        return field
            .invalid(message, "servers refuse that; write the name of this machine in the DNS");
    }
    Some(name)
}

/// A domain for SMTP and message ids, or an address literal (RFC 5321, section 4.1.3).
pub(in crate::config) fn domain(field: &Field<'_>) -> Option<MailDomain> {
    let text = field.text()?;
    let help = "write one like `example.com`";
    let refused = |error| field.invalid(format!("is `{}`, which {error}", shown(text)), help);
    MailDomain::parse(text).map_or_else(refused, Some)
}

/// `Some(None)` when there is no login; user name and credential are set together.
fn login(table: &Table<'_>) -> Option<Option<SmtpLogin>> {
    let auth = table.or("auth", LoginMethod::Password, |field| field.one_of(&AUTH));
    let username = table.optional("username", |field| {
        let text = field.text()?;
        if text.chars().any(char::is_control) {
            return field.invalid("has control characters in it", "write the name alone");
        }
        Some(text.to_owned())
    });
    let proof = credential(table, auth);
    match (username?, proof?) {
        (Some(username), Some(proof)) => {
            Some(Some(SmtpLogin { username, auth: auth?, credential: proof }))
        }
        (None, None) if table.field("auth").is_some() => lonely(table, "auth", "username"),
        (None, None) => Some(None),
        (Some(_), None) => lonely(table, "username", "password"),
        (None, Some(_)) => {
            let given = PROOFS.into_iter().find(|name| table.field(name).is_some());
            lonely(table, given.unwrap_or("password"), "username")
        }
    }
}

fn credential(table: &Table<'_>, auth: Option<LoginMethod>) -> Option<Option<CredentialSource>> {
    let given: Vec<_> =
        PROOFS.iter().filter_map(|name| Some((*name, table.field(name)?))).collect();
    if let [_, (_, second), ..] = given.as_slice() {
        let help = "keep one of `password`, `password_command` and `token_command`";
        return second.invalid("is set besides another credential", help);
    }
    let Some((name, field)) = given.first() else { return Some(None) };
    let misplaced = match (*name, auth) {
        ("password_command", Some(LoginMethod::Xoauth2)) => Some("it is `token_command` here"),
        ("token_command", Some(LoginMethod::Password)) => Some("write `auth = \"xoauth2\"` too"),
        _ => None,
    };
    if let Some(help) = misplaced {
        return field.invalid("does not go with `auth`", help);
    }
    let proof = match *name {
        "password" => {
            let kind = SecretKind::Password;
            CredentialSource::Given(secret_source::read(field, Plain::Guarded, kind)?)
        }
        _ => CredentialSource::Command(program(field)?),
    };
    Some(Some(proof))
}

fn lonely<T>(table: &Table<'_>, given: &str, absent: &str) -> Option<T> {
    let field = table.field(given)?;
    let message = format!("is set without `{absent}`");
    let help = format!("write `{absent}` too, or remove both");
    field.reader.missing(&field.place, message, Some(help));
    None
}

pub(in crate::config) const TLS: [(&str, SmtpTls); 3] =
    [("starttls", SmtpTls::Starttls), ("implicit", SmtpTls::Implicit), ("none", SmtpTls::None)];
pub(in crate::config) const AUTH: [(&str, LoginMethod); 2] =
    [("password", LoginMethod::Password), ("xoauth2", LoginMethod::Xoauth2)];
const PROOFS: [&str; 3] = ["password", "password_command", "token_command"];
const DOT: Duration = Duration::from_secs(300);
const DOT_RANGE: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(600);
