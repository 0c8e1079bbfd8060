//! `headers` of a webhook: additional request headers, such as a login.

use std::collections::BTreeMap;

use crate::config::parse::field::Field;
use crate::config::secret_source::{self, Plain};
use crate::domain::delivery::custom_header::CustomHeaderName;
use crate::secret::Secret;
use crate::text::secret_input::SecretKind;

/// Reads a table of names and values; the values are secrets.
pub(in crate::config) fn read(field: &Field<'_>) -> Option<BTreeMap<CustomHeaderName, Secret>> {
    let fields = field.table()?.fields();
    if fields.len() > HEADERS_MAX {
        let help = "receivers need one or two";
        return field.invalid(format!("has more than {HEADERS_MAX} headers"), help);
    }
    let mut headers = BTreeMap::new();
    let mut good = true;
    for (name, field) in fields {
        let name = field.valid(CustomHeaderName::parse(name), "is no header that you can add");
        let (Some(name), Some(value)) = (name, value(&field)) else {
            good = false;
            continue;
        };
        if headers.insert(name, value).is_some() {
            good = false;
            field.invalid::<()>(
                "is already set, with different upper and lower case",
                "remove one of them",
            );
        }
    }
    good.then_some(headers)
}

/// A value of one line in ASCII, without blanks around it (RFC 9110, section 5.5).
fn value(field: &Field<'_>) -> Option<Secret> {
    let secret = secret_source::read(field, Plain::Guarded, SecretKind::Header)?;
    if secret.expose().len() > VALUE_LENGTH_MAX {
        let message = format!("has more than {VALUE_LENGTH_MAX} characters");
        return field.invalid(message, "receivers refuse headers of that size");
    }
    Some(secret)
}

const HEADERS_MAX: usize = 16;
const VALUE_LENGTH_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use crate::config::file::tests::{HOOK, check_hook, read_with};
    use crate::config::settings::ChannelKind;
    use crate::text::secret_input::SecretError;

    #[test]
    fn headers_are_names_and_secrets() {
        let text = format!(
            "argil.api_key = 'key'\n{HOOK}\
             headers = {{ X-Team = 'studio', authorization = {{ env = 'OPS_WEBHOOK_LOGIN' }} }}"
        );
        let settings = read_with(&text, &["OPS_WEBHOOK_LOGIN"]).unwrap();
        let channel = settings.channels.into_values().next().unwrap();
        let ChannelKind::Webhook(webhook) = channel.kind else { panic!("a webhook") };
        let names: Vec<&str> = webhook.headers.keys().map(|name| name.as_str()).collect();
        assert_eq!(names, ["authorization", "x-team"]);
        let shown = format!("{webhook:?}");
        assert!(!shown.contains("studio") && !shown.contains("CANARY"), "{shown}");
    }

    #[test]
    fn an_invalid_header_is_reported_without_its_value() {
        let check = |headers: &str, key: &str, said: &str| {
            check_hook(&format!("headers = {{ {headers} }}"), &format!("headers{key}"), said);
        };
        let own = "is no header that you can add\n  help: remove it: the request has its own";
        for name in ["Webhook-Id", "content-type", "host", "proxy-authorization", "TE"] {
            check(&format!("{name} = 'CANARY'"), &format!(".{name}"), own);
        }
        let blank = "is no header that you can add\n  \
                     help: a name has letters, digits and `-`, and at most 64 of them";
        check("'x team' = 'CANARY'", ".x team", blank);
        let twice = "is already set, with different upper and lower case\n  \
                     help: remove one of them";
        check("x-team = 'a', X-TEAM = 'b'", ".X-TEAM", twice);
        let value = |value: &str, said: &str| check(&format!("x-team = {value}"), ".x-team", said);
        for (text, error) in [
            ("\"CANARY\\r\\nx: y\"", SecretError::Lines),
            ("'CANÄRY'", SecretError::BeyondAscii { place: 4 }),
        ] {
            value(text, &format!("{error}\n  help: {}", error.help()));
        }
        let help = "help: remove it; only line breaks at the end are ignored";
        value("\"CANARY\\u0000\"", &format!("ends with NUL (U+0000)\n  {help}"));
        value("' CANARY'", &format!("begins with a blank\n  {help}"));
        value(
            "'\"CANARY\"'",
            "is in quotes, which are sent as a part of it\n  \
             help: remove them, unless they are a part of the secret",
        );
        value(
            &format!("'{}'", "x".repeat(4097)),
            "has more than 4096 characters\n  help: receivers refuse headers of that size",
        );
        value("7", "is an integer, but must be a string or a table like `{ env = \"NAME\" }`");
        let many: Vec<String> = (0..17).map(|number| format!("x-{number} = 'a'")).collect();
        let help = "has more than 16 headers\n  help: receivers need one or two";
        check(&many.join(", "), "", help);
    }
}
