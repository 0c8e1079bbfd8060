//! `avatar-watch schema`: prints the JSON Schema of events and of the config.

use crate::cli::args::{EventSchemaArgs, SchemaArgs, SchemaOf};
use crate::cli::exit::Exit;
use crate::cli::output::{line, print, print_error};
use crate::config::schema::json_schema;
use crate::config::schema::keys;
use crate::domain::event::EventKind;
use crate::notify::format::schema;

pub(crate) fn schema(args: &SchemaArgs) -> Exit {
    match &args.of {
        SchemaOf::Event(args) => of_event(args),
        SchemaOf::Config => {
            print(&json_schema::config());
            Exit::Ok
        }
    }
}

fn of_event(args: &EventSchemaArgs) -> Exit {
    if args.list {
        for kind in schema::kinds() {
            line(kind.name());
        }
        return Exit::Ok;
    }
    let Some(name) = &args.kind else {
        print(&schema::of_all());
        return Exit::Ok;
    };
    match schema::kinds().find(|kind| kind.name() == name) {
        Some(kind) => {
            print(schema::of(kind));
            Exit::Ok
        }
        None => {
            print_error(&unknown(name));
            Exit::Problems
        }
    }
}

fn unknown(name: &str) -> String {
    let help = match nearest(name) {
        Some(kind) => format!("did you mean `{kind}`?"),
        None => "`avatar-watch schema event --list` lists all".to_owned(),
    };
    format!("avatar-watch: no event type `{name}`\n  help: {help}")
}

/// The most similar event type, if one is similar enough; compares the part after the dot too.
fn nearest(name: &str) -> Option<EventKind> {
    let short = |kind: EventKind| kind.name().split_once('.').map_or("", |(_, short)| short);
    let words: Vec<&str> = schema::kinds().flat_map(|kind| [kind.name(), short(kind)]).collect();
    let found = keys::nearest(name, &words)?;
    schema::kinds().find(|kind| [kind.name(), short(*kind)].contains(&found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_similar_event_type_is_suggested() {
        let check = |name: &str, expected: Option<EventKind>| assert_eq!(nearest(name), expected);
        check("avatar.redy", Some(EventKind::AvatarReady));
        check("ready", Some(EventKind::AvatarReady));
        check("Avatar.Refused", Some(EventKind::AvatarRefused));
        check("avatar.training-failed", Some(EventKind::AvatarTrainingFailed));
        check("ping", Some(EventKind::TestPing));
        check("invoice.paid", None);
        check("", None);
        check(&"x".repeat(100_000), None);
    }
}
