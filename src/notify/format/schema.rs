//! The JSON Schemas (2020-12) of the bodies of the `standard` format, for consumers.
//!
//! Each schema is a complete, hand-written file beside this one: a contract, so that a review shows
//! every change of it. Schemas are strict about present fields and allow fields of later versions.
//! Nothing here validates; tests validate every body against its schema.

use crate::domain::event::EventKind;

/// All kinds, in the order of the docs; each has a schema.
pub fn kinds() -> impl Iterator<Item = EventKind> {
    EventKind::SELECTABLE.into_iter().chain(EventKind::OPERATIONAL).chain([EventKind::TestPing])
}

/// The schema of the bodies of `kind`.
pub const fn of(kind: EventKind) -> &'static str {
    match kind {
        EventKind::AvatarReady => include_str!("schema/avatar.ready.json"),
        EventKind::AvatarTrainingFailed => include_str!("schema/avatar.training_failed.json"),
        EventKind::AvatarRefused => include_str!("schema/avatar.refused.json"),
        EventKind::AvatarStatusChanged => include_str!("schema/avatar.status_changed.json"),
        EventKind::AvatarMissing => include_str!("schema/avatar.missing.json"),
        EventKind::AvatarUnreachable => include_str!("schema/avatar.unreachable.json"),
        EventKind::AvatarTrainingOverdue => include_str!("schema/avatar.training_overdue.json"),
        EventKind::AvatarStatusUnrecognized => {
            include_str!("schema/avatar.status_unrecognized.json")
        }
        EventKind::AccountUnavailable => include_str!("schema/account.unavailable.json"),
        EventKind::ConfigRejected => include_str!("schema/config.rejected.json"),
        EventKind::ChannelFailing => include_str!("schema/channel.failing.json"),
        EventKind::ChannelDisabled => include_str!("schema/channel.disabled.json"),
        EventKind::DeliveryExhausted => include_str!("schema/delivery.exhausted.json"),
        EventKind::TestPing => include_str!("schema/test.ping.json"),
    }
}

/// One schema of all bodies: the schema of each kind is in `$defs`, and `type` selects it.
pub fn of_all() -> String {
    let list =
        |item: &dyn Fn(EventKind) -> String| kinds().map(item).collect::<Vec<_>>().join(",\n");
    let choices = list(&|kind| format!("    {{ \"$ref\": \"#/$defs/{kind}\" }}"));
    let schemas =
        list(&|kind| format!("    \"{kind}\": {}", of(kind).trim().replace('\n', "\n    ")));
    [HEAD, "  \"oneOf\": [\n", &choices, "\n  ],\n  \"$defs\": {\n", &schemas, "\n  }\n}\n"]
        .concat()
}

/// `discriminator` is a keyword of OpenAPI; JSON Schema ignores it.
const HEAD: &str = concat!(
    "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n",
    "  \"$id\": \"urn:avatar-watch:schema:event\",\n",
    "  \"title\": \"An event of avatar-watch\",\n",
    "  \"description\": \"The body of any event in the `standard` format of this version. ",
    "Later versions may add types of events: answer 2xx to unknown ones.\",\n",
    "  \"type\": \"object\",\n",
    "  \"required\": [\"type\"],\n",
    "  \"properties\": { \"type\": { \"type\": \"string\" } },\n",
    "  \"discriminator\": { \"propertyName\": \"type\" },\n",
);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn read(schema: &str) -> Value {
        serde_json::from_str(schema).unwrap()
    }

    #[test]
    fn each_schema_has_an_id_a_title_a_description_and_an_example() {
        for kind in kinds() {
            let schema = read(of(kind));
            assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
            assert_eq!(schema["$id"], format!("urn:avatar-watch:schema:event:{kind}"));
            assert_eq!(schema["properties"]["type"]["const"], kind.name());
            assert_eq!(schema["examples"][0]["type"], kind.name());
            for words in ["title", "description"] {
                assert!(schema[words].as_str().is_some_and(|it| !it.is_empty()), "{kind}: {words}");
            }
        }
    }

    #[test]
    fn the_schema_of_all_contains_each_schema() {
        let all = read(&of_all());
        let names: BTreeSet<String> = kinds().map(|kind| kind.to_string()).collect();
        let held = all["$defs"].as_object().unwrap();
        assert_eq!(held.keys().cloned().collect::<BTreeSet<_>>(), names);
        for kind in kinds() {
            assert_eq!(held[kind.name()], read(of(kind)));
        }
        let choices = all["oneOf"].as_array().unwrap();
        let choices: Vec<&str> = choices.iter().map(|it| it["$ref"].as_str().unwrap()).collect();
        let expected: Vec<String> = kinds().map(|kind| format!("#/$defs/{kind}")).collect();
        assert_eq!(choices, expected);
    }

    /// Four files describe a transition, and four a condition of an avatar.
    #[test]
    fn kinds_with_the_same_data_have_the_same_schema_of_it() {
        let check = |kinds: &[EventKind], but: &[&str]| {
            let data = |kind: EventKind| {
                let mut data = read(of(kind))["properties"]["data"].clone();
                for name in but {
                    data["properties"][name] = Value::Null;
                }
                data
            };
            for kind in kinds {
                assert_eq!(data(*kind), data(kinds[0]), "{kind}");
            }
        };
        check(&EventKind::SELECTABLE, &["status"]);
        let of_avatars = [
            EventKind::AvatarMissing,
            EventKind::AvatarUnreachable,
            EventKind::AvatarTrainingOverdue,
            EventKind::AvatarStatusUnrecognized,
        ];
        check(&of_avatars, &[]);
        check(&[EventKind::ChannelFailing, EventKind::ChannelDisabled], &["channel", "recipient"]);
    }
}
