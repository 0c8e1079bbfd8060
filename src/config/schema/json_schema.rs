//! The config as JSON Schema 2020-12 for editors, made of the key tables, the allowed values and
//! the texts of `config.example.toml`.
//!
//! It covers one file only: not the content of secrets, references between keys or combinations of
//! values. It rejects nothing that `check` accepts.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use crate::config::schema::key_docs::KeyDocs;
use crate::config::schema::keys::{
    ACCOUNT, ARGIL, AVATAR, BACKOFF, DISCOVER, EMAIL, EVENTS, FILE, KeyTable, ONLY, POLL, ROOT,
    SECRET, SENDMAIL, SETTLED_STEP, SMTP, STORE, TRAINING, WEB, WEBHOOK, join,
};
use crate::config::sections::account;
use crate::config::sections::channel;
use crate::config::sections::delivery_policy;
use crate::config::sections::email;
use crate::config::sections::format;
use crate::config::sections::poll;
use crate::config::sections::smtp;
use crate::config::sections::store;
use crate::config::sections::web;
use crate::domain::avatar::status::Status;
use crate::domain::event::EventKind;

pub(crate) fn config() -> String {
    let made = SchemaBuilder { described: KeyDocs::read() }.root();
    // Keys are text and the output is memory: this cannot fail.
    serde_json::to_string_pretty(&made).unwrap_or_default() + "\n"
}

struct SchemaBuilder {
    described: KeyDocs,
}

impl SchemaBuilder {
    fn root(&self) -> Value {
        let mut root = self.table(&ROOT, &[]);
        root["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
        root["$id"] = "urn:avatar-watch:schema:config".into();
        root["title"] = "The config of avatar-watch".into();
        root["$defs"] = json!({
            "duration": {
                "type": "string",
                "pattern": DURATION,
                "description": "A duration, such as `200ms`, `5s` or `1h 30m`.",
            },
            "duration_or_never": {
                "anyOf": [{ "$ref": "#/$defs/duration" }, { "const": "never" }],
            },
            "secret": {
                "anyOf": [{ "type": "string", "minLength": 1 }, self.source()],
                "description": "A secret: from an environment variable, a file or a credential; \
                    or plain, if no other user can read the config.",
            },
        });
        root
    }

    /// The sources of a secret; exactly one is set.
    fn source(&self) -> Value {
        let place = |key: &&str| {
            let text = match *key {
                "env" => "An environment variable.",
                "file" => "A file, relative to this one; trailing line breaks are ignored.",
                _ => "A file in $CREDENTIALS_DIRECTORY (systemd, `LoadCredential=`).",
            };
            let value = json!({ "type": "string", "minLength": 1, "description": text });
            ((*key).to_owned(), value)
        };
        let properties: Map<String, Value> = SECRET.keys.iter().map(place).collect();
        json!({
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1,
        })
    }

    fn table(&self, schema: &KeyTable, required: &[&str]) -> Value {
        let properties: Map<String, Value> =
            schema.keys.iter().map(|key| ((*key).to_owned(), self.key(schema, key))).collect();
        let mut table = json!({
            "type": "object", "additionalProperties": false, "properties": properties,
        });
        if !required.is_empty() {
            table["required"] = required.into();
        }
        table
    }

    fn key(&self, schema: &KeyTable, key: &str) -> Value {
        let mut value = self.shape(schema, key);
        let words = self.described.of(&names(schema, key));
        if let (Some(words), Value::Object(value)) = (words, &mut value) {
            value.insert("description".into(), words.text.clone().into());
            let default = words.default.as_ref().and_then(|text| {
                toml::from_str::<Map<String, Value>>(&format!("x = {text}")).ok()?.remove("x")
            });
            value.extend(default.map(|default| ("default".to_owned(), default)));
        }
        value
    }

    fn shape(&self, schema: &KeyTable, key: &str) -> Value {
        let table = |schema: &KeyTable, required: &[&str]| self.table(schema, required);
        match join(schema.path, key).as_str() {
            "argil" => table(&ARGIL, &["api_key"]),
            "accounts" => named(table(&ACCOUNT, &["api_key"])),
            "poll" => table(&POLL, &[]),
            "events" => table(&EVENTS, &[]),
            "store" => table(&STORE, &[]),
            "web" => table(&WEB, &[]),
            "avatars" => json!({ "type": "array", "items": table(&AVATAR, &["id"]) }),
            "discover" => table(&DISCOVER, &[]),
            "channels" => named(self.channel()),
            "poll.training" => table(&TRAINING, &[]),
            "poll.backoff" => table(&BACKOFF, &[]),
            "channels.*.only" => {
                let mut only = table(&ONLY, &[]);
                only["minProperties"] = 1.into();
                only
            }
            "channels.*.smtp" => table(&SMTP, &["host"]),
            "channels.*.sendmail" => table(&SENDMAIL, &["command"]),
            "channels.*.file" => table(&FILE, &["folder"]),
            "poll.strategy" => words(&poll::STRATEGIES.map(|it| it.0)),
            "channels.*.format" => words(&format::Name::ALL.map(|it| it.0)),
            "channels.*.accepts" => words(&channel::ACCEPTS.map(|it| it.0)),
            "channels.*.threading" => words(&email::THREADING.map(|it| it.0)),
            "channels.*.on_unknown" => words(&delivery_policy::ON_UNKNOWN.map(|it| it.0)),
            "channels.*.smtp.tls" => words(&smtp::TLS.map(|it| it.0)),
            "channels.*.smtp.auth" => words(&smtp::AUTH.map(|it| it.0)),
            "channels.*.type" => match schema.knows("url") {
                true => words(&[&["webhook"], &format::Name::TYPES.map(|it| it.0)[..]].concat()),
                false => words(&["email"]),
            },
            "web.read" => words(&web::READ.map(|it| it.0)),
            "avatars.assume" => words(&Status::DOCUMENTED),
            "channels.*.events" => list(words(&EventKind::SELECTABLE.map(EventKind::name)), 0),
            "channels.*.retry_schedule" => {
                json!({ "type": "array", "items": reference("duration"), "minItems": 1 })
            }
            "channels.*.to" | "discover.accounts" => list(text(), 1),
            "avatars.channels" | "discover.channels" | "web.hosts" | "argil.tags"
            | "accounts.*.tags" | "avatars.tags" | "discover.tags" => list(text(), 0),
            "channels.*.only.tags"
            | "channels.*.only.accounts"
            | "channels.*.only.models"
            | "channels.*.only.names" => json!({ "anyOf": [text(), list(text(), 1)] }),
            "channels.*.sendmail.command"
            | "channels.*.smtp.password_command"
            | "channels.*.smtp.token_command" => {
                json!({ "type": "array", "items": text(), "minItems": 1 })
            }
            "channels.*.headers" => json!({
                "type": "object", "additionalProperties": reference("secret"),
            }),
            "channels.*.secret" => {
                json!({ "anyOf": [reference("secret"), list(reference("secret"), 1)] })
            }
            "channels.*.template" => json!({}),
            "channels.*.subject_prefix" | "channels.*.bounce_to" => json!({ "type": "string" }),
            "argil.max_concurrency" | "accounts.*.max_concurrency" => {
                integer(account::CONCURRENCY_RANGE)
            }
            "argil.max_requests_per_second" | "accounts.*.max_requests_per_second" => {
                integer(account::REQUESTS_RANGE)
            }
            "channels.*.smtp.port" => integer(1..=u32::from(u16::MAX)),
            "poll.jitter" => number(0.0, 0.5),
            "poll.training.age_fraction" | "poll.backoff.jitter" => number(0.0, 1.0),
            "poll.backoff.multiplier" => number(1.0, 100.0),
            "poll.settled" => {
                let steps = json!({
                    "type": "array", "items": table(&SETTLED_STEP, &["every"]), "minItems": 1,
                });
                json!({ "anyOf": [reference("duration_or_never"), steps] })
            }
            "poll.settled.every" => reference("duration_or_never"),
            "poll.settled.for" => reference("duration"),
            "store.keep_transitions" | "store.keep_deliveries" => {
                json!({ "anyOf": [reference("duration"), words(&[store::FOREVER])] })
            }
            _ => usual(key),
        }
    }

    fn channel(&self) -> Value {
        let webhook = self.table(&WEBHOOK, &["type", "url"]);
        let mut email = self.table(&EMAIL, &["type", "from", "to"]);
        let ways = email::TRANSPORTS.map(|way| json!({ "required": [way] }));
        email["oneOf"] = ways.as_slice().into();
        json!({ "oneOf": [webhook, email] })
    }
}

/// The schema of keys with the same meaning in every table.
fn usual(key: &str) -> Value {
    match key {
        "api_key" | "hint_token" | "token" | "url" | "heartbeat_url" | "proxy" | "password" => {
            reference("secret")
        }
        "timeout" | "unavailable_after" | "not_trained" | "missing" | "min" | "max" | "initial"
        | "every" | "heartbeat_every" | "expires_after" | "dot_timeout" | "group_window" => {
            reference("duration")
        }
        "remind_after" => reference("duration_or_never"),
        "overdue_after" => json!({
            "anyOf": [
                reference("duration_or_never"),
                { "type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]{1,2})?x$" },
            ],
        }),
        "adaptive"
        | "infer_unseen_training"
        | "enabled"
        | "operator"
        | "deny_private"
        | "thumbnails" => {
            json!({ "type": "boolean" })
        }
        _ => text(),
    }
}

/// The names under which the example may describe a key, best first. It shows each kind of channel
/// under a name of its own, and describes some keys together with others.
fn names(schema: &KeyTable, key: &str) -> Vec<String> {
    let below = |places: &[&str], rest: &str| -> Vec<String> {
        let path = |place: &&str| join(&format!("{place}{rest}"), key);
        places.iter().map(path).collect()
    };
    let channels: &[&str] = if schema.knows("url") { &WEBHOOKS } else { &MAILS };
    match (schema.path, key) {
        ("", "accounts") => vec!["accounts.second-studio".to_owned()],
        ("", "channels") => vec!["channels.ops".to_owned()],
        ("accounts.*", _) => below(&["argil"], ""),
        ("channels.*", "only") => vec!["channels.team-chat.only".to_owned()],
        ("channels.*.only", _) => below(&["channels.team-chat"], ".only"),
        ("channels.*", "smtp") => vec!["channels.studio-mail.smtp".to_owned()],
        ("channels.*", "sendmail") => vec!["channels.local-mail".to_owned()],
        ("channels.*", "file") => vec!["channels.draft-mail".to_owned()],
        ("channels.*.smtp", "password_command") => vec!["channels.vault-mail".to_owned()],
        ("channels.*.smtp", "token_command") => vec!["channels.token-mail".to_owned()],
        ("channels.*", _) => below(channels, "").into_iter().chain(below(&WEBHOOKS, "")).collect(),
        (path, _) => match path.strip_prefix("channels.*") {
            Some(rest) => below(&MAILS, rest),
            None => below(&[path], ""),
        },
    }
}

fn text() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

fn words(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

fn integer(range: RangeInclusive<u32>) -> Value {
    json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() })
}

fn number(min: f64, max: f64) -> Value {
    json!({ "type": "number", "minimum": min, "maximum": max })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn list(items: Value, least: usize) -> Value {
    json!({ "type": "array", "items": items, "minItems": least, "uniqueItems": true })
}

/// Tables with names that the user chooses.
fn named(table: Value) -> Value {
    json!({
        "type": "object",
        "propertyNames": { "pattern": "^[A-Za-z0-9_-]+$" },
        "additionalProperties": table,
    })
}

const WEBHOOKS: [&str; 4] = ["channels.ops", "channels.bus", "channels.team-chat", "channels.own"];
const MAILS: [&str; 3] = ["channels.studio-mail", "channels.local-mail", "channels.draft-mail"];
/// Numbers with units; `check` validates the units.
const DURATION: &str = r"^\s*([0-9]+(\.[0-9]+)?\s*[A-Za-zµ]+\s*)+$";

#[cfg(test)]
#[path = "json_schema_tests.rs"]
pub(in crate::config) mod tests;
