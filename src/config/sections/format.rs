//! `format` of a webhook, and the keys that belong to one format only.
//!
//! Templates are not checked here but in `notify`. The line of each string is kept for its
//! problems.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::de::DeValue;
use url::Url;

use crate::config::parse::field::{Field, Table};
use crate::config::settings::{FormatSettings, TemplateSettings};
use crate::domain::config_origin::ConfigOrigin;
use crate::domain::delivery::template_tree::{TemplateTree, element, member};

/// Reads the format; `by_type` is the one that `type` names.
pub(in crate::config) fn read(table: &Table<'_>, by_type: Option<Name>) -> Option<FormatSettings> {
    let named = table.or("format", by_type.unwrap_or(Name::Standard), |field| {
        let name = field.one_of(&Name::ALL)?;
        match by_type {
            Some(by_type) if by_type != name => field.invalid(
                "contradicts the `type` of this channel",
                "remove it, or write `type = \"webhook\"`",
            ),
            Some(_) | None => Some(name),
        }
    });
    let has = |key: &str, owner: Name| match table.field(key) {
        Some(field) if named.is_some_and(|name| name != owner) => {
            let word = Name::ALL.iter().find(|(_, name)| *name == owner).map_or("", |it| it.0);
            let help = format!("remove it, or write `format = \"{word}\"`");
            field.invalid(format!("belongs to the format `{word}` alone"), help)
        }
        _ => Some(()),
    };
    let fit = [
        has("template", Name::Template),
        has("content_type", Name::Template),
        has("source", Name::CloudEvents),
    ];
    let format = match named? {
        Name::Standard => FormatSettings::Standard,
        Name::CloudEvents => {
            FormatSettings::CloudEvents { source: table.or("source", SOURCE.to_owned(), source)? }
        }
        Name::Slack => FormatSettings::Slack,
        Name::Discord => FormatSettings::Discord,
        Name::Teams => FormatSettings::Teams,
        Name::Ntfy => FormatSettings::Ntfy,
        Name::Template => {
            let content_type = table.or("content_type", JSON.to_owned(), content_type);
            let help = "write the body as a table, like `template = { text = \"{{ title }}\" }`";
            let (tree, lines) = table.required("template", help, template)?;
            let file = Arc::clone(&table.reader.file);
            let place = ConfigOrigin { file, line: lines.get("").copied().unwrap_or_default() };
            let content_type = content_type?;
            FormatSettings::Template(TemplateSettings {
                tree,
                content_type,
                location: place,
                lines,
            })
        }
    };
    fit.into_iter().collect::<Option<Vec<()>>>().map(|_| format)
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Name {
    Standard,
    CloudEvents,
    Slack,
    Discord,
    Teams,
    Ntfy,
    Template,
}

impl Name {
    /// The formats that are also types of channels.
    pub(in crate::config) const TYPES: [(&'static str, Self); 4] = [
        ("slack", Self::Slack),
        ("discord", Self::Discord),
        ("teams", Self::Teams),
        ("ntfy", Self::Ntfy),
    ];

    /// The chat service that a URL belongs to, by its host.
    pub(in crate::config) fn of_url(url: &Url) -> Option<&'static (&'static str, Self)> {
        let host = url.host_str()?;
        let is_below = |domain: &str| {
            host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let name = match host {
            "hooks.slack.com" | "hooks.slack-gov.com" => Self::Slack,
            "ntfy.sh" => Self::Ntfy,
            _ if is_below("webhook.office.com") => Self::Teams,
            _ if (is_below("logic.azure.com") || is_below("api.powerplatform.com"))
                && url.path().contains("/triggers/manual/paths/invoke") =>
            {
                Self::Teams
            }
            // Discord also understands Slack's format there.
            _ if url.path().ends_with("/slack") => return None,
            _ if (is_below("discord.com") || is_below("discordapp.com"))
                && url.path().starts_with("/api/webhooks/") =>
            {
                Self::Discord
            }
            _ => return None,
        };
        Self::TYPES.iter().find(|(_, it)| *it == name)
    }

    pub(in crate::config) const ALL: [(&'static str, Self); 7] = [
        ("standard", Self::Standard),
        ("cloudevents", Self::CloudEvents),
        ("slack", Self::Slack),
        ("discord", Self::Discord),
        ("teams", Self::Teams),
        ("ntfy", Self::Ntfy),
        ("template", Self::Template),
    ];
}

type Lines = BTreeMap<String, usize>;

fn template(field: &Field<'_>) -> Option<(TemplateTree, Lines)> {
    let mut lines = Lines::new();
    let tree = node(field, String::new(), 0, &mut lines)?;
    if lines.len() > NODES_MAX {
        let help = "receivers need a few values; remove the rest";
        return field.invalid(format!("has more than {NODES_MAX} values"), help);
    }
    Some((tree, lines))
}

/// A JSON value of any type; all of its problems are reported.
fn node(field: &Field<'_>, path: String, depth: usize, lines: &mut Lines) -> Option<TemplateTree> {
    if depth > DEPTH_MAX {
        return field.invalid("is nested too deeply", format!("{DEPTH_MAX} levels are enough"));
    }
    let line = field.place.span.as_ref().map_or(0, |span| field.reader.line(span.start));
    lines.insert(path.clone(), line);
    match field.value {
        DeValue::String(text) => Some(TemplateTree::Text(text.to_string())),
        DeValue::Boolean(flag) => Some(TemplateTree::Flag(*flag)),
        DeValue::Integer(number) => {
            let value = i64::from_str_radix(number.as_str(), number.radix()).ok();
            value
                .map(TemplateTree::Integer)
                .or_else(|| field.invalid("is a number that is too large", "write it as a string"))
        }
        DeValue::Float(number) => {
            let value = number.as_str().parse().ok().filter(|value: &f64| value.is_finite());
            value.map(TemplateTree::Number).or_else(|| {
                field.invalid(
                    "is not a number that JSON supports",
                    "write another number, or a string",
                )
            })
        }
        DeValue::Datetime(_) => field.invalid(
            "is a date or time, which JSON does not support",
            "write it as a string in quotes",
        ),
        DeValue::Array(_) => {
            let elements = field.elements()?;
            let read = elements
                .iter()
                .enumerate()
                .map(|(index, child)| node(child, element(&path, index), depth + 1, lines));
            let read: Vec<_> = read.collect();
            read.into_iter().collect::<Option<_>>().map(TemplateTree::List)
        }
        DeValue::Table(_) => {
            let fields = field.table()?.fields();
            let read = fields.into_iter().map(|(name, child)| {
                let child = node(&child, member(&path, name), depth + 1, lines);
                child.map(|child| (name.to_owned(), child))
            });
            let read: Vec<_> = read.collect();
            read.into_iter().collect::<Option<_>>().map(TemplateTree::Object)
        }
    }
}

/// A URI-reference (RFC 3986); only its characters are checked.
fn source(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let fits =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    if !text.bytes().all(fits) || text.len() > SOURCE_LENGTH_MAX {
        let help = format!("write one like `{SOURCE}` or `https://example.com/avatar-watch`");
        return field.invalid("is not a URI-reference", help);
    }
    Some(text.to_owned())
}

fn content_type(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let (kind, rest) = text.split_once('/').unwrap_or_default();
    let token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    let subtype = rest.split(';').next().unwrap_or_default().trim_end();
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if !visible || !token(kind) || !token(subtype) || text.len() > SOURCE_LENGTH_MAX {
        let help = format!("write one like `{JSON}`, or remove the key");
        return field.invalid("is not a content type", help);
    }
    Some(text.to_owned())
}

const SOURCE: &str = "urn:avatar-watch:daemon";
const SOURCE_LENGTH_MAX: usize = 256;
const JSON: &str = "application/json";
const NODES_MAX: usize = 1000;
const DEPTH_MAX: usize = 16;

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
