//! `avatar-watch schema`: what consumers get, and what the config takes, in a form that programs
//! read.

use crate::cli::args::{EventSchemaArgs, SchemaArgs, SchemaOf};
use crate::cli::exit::Exit;
use crate::cli::output::{line, print, print_error};
use crate::config::schema::json_schema;
use crate::domain::event::EventKind;
use crate::notify::format::schema;

/// Prints a schema, or the names of what has one.
pub fn schema(args: &SchemaArgs) -> Exit {
    match &args.of {
        SchemaOf::Event(args) => of_event(args),
        SchemaOf::Config => {
            print(&json_schema::config());
            Exit::Good
        }
    }
}

fn of_event(args: &EventSchemaArgs) -> Exit {
    if args.list {
        for kind in schema::kinds() {
            line(kind.name());
        }
        return Exit::Good;
    }
    let Some(name) = &args.kind else {
        print(&schema::of_all());
        return Exit::Good;
    };
    match schema::kinds().find(|kind| kind.name() == name) {
        Some(kind) => {
            print(schema::of(kind));
            Exit::Good
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
        None => "`avatar-watch schema event --list` names all".to_owned(),
    };
    format!("avatar-watch: no event has the type `{name}`\n  help: {help}")
}

/// The kind that was most likely meant, if one is near enough; the part behind the dot will do.
fn nearest(name: &str) -> Option<EventKind> {
    let name: String = name.to_lowercase().chars().take(NAME_LENGTH_MAX).collect();
    let distance = |kind: EventKind| {
        let short = kind.name().split_once('.').map_or(kind.name(), |(_, short)| short);
        let whole = strsim::damerau_levenshtein(&name, kind.name());
        whole.min(strsim::damerau_levenshtein(&name, short))
    };
    let near = |kind: &EventKind| distance(*kind) <= 1 + name.chars().count() / 5;
    schema::kinds().filter(near).min_by_key(|kind| distance(*kind))
}

/// More of a word cannot be near to any name.
const NAME_LENGTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_and_no_far_one() {
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
