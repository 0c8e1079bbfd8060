//! Logs panics: the location and the type of the payload, never its content, which may be private
//! data.

use std::any::Any;
use std::io::Write as _;
use std::panic::Location;

use tracing::{dispatcher, error};

use crate::telemetry::output_queue;

/// Installs a hook that logs each panic as one line; to standard error if there is no log.
pub fn install_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let message = describe(panic.location(), panic.payload());
        if dispatcher::has_been_set() {
            error!("{message}");
        } else if let Some(queue) = output_queue::of_error() {
            queue.push(format!("avatar-watch: {message}\n"));
        } else {
            // If this fails as well, the panic cannot be reported.
            drop(writeln!(std::io::stderr(), "avatar-watch: {message}"));
        }
    }));
}

fn describe(location: Option<&Location<'_>>, payload: &dyn Any) -> String {
    let location = location
        .map_or_else(|| "an unknown location".to_owned(), |location| format!("`{location}`"));
    let kind = match payload {
        text if text.is::<&'static str>() => "a fixed text",
        text if text.is::<String>() => "a text",
        _ => "something that is no text",
    };
    format!(
        "a panic at {location} with {kind}, which is not shown: this is a bug, please report it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_logged_with_its_location_and_without_its_payload() {
        let check = |payload: &dyn Any, kind: &str| {
            let here = Location::caller();
            let expected = format!(
                "a panic at `{here}` with {kind}, which is not shown: this is a bug, please report \
                 it"
            );
            assert_eq!(describe(Some(here), payload), expected);
        };
        check(&"canary", "a fixed text");
        check(&"canary".to_owned(), "a text");
        check(&7_u8, "something that is no text");
        assert!(
            describe(None, &"canary")
                .starts_with("a panic at an unknown location with a fixed text")
        );
    }
}
