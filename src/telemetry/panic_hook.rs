//! What is said of a panic: where it was and of which type what it carries, never what that says,
//! since it may hold data.

use std::any::Any;
use std::io::Write as _;
use std::panic::Location;

use tracing::{dispatcher, error};

use crate::telemetry::output_queue;

/// From now on a panic of any thread is one line of the log; of standard error, when there is no
/// log.
pub fn install_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let said = describe(panic.location(), panic.payload());
        if dispatcher::has_been_set() {
            error!("{said}");
        } else if let Some(queue) = output_queue::of_error() {
            queue.push(format!("avatar-watch: {said}\n"));
        } else {
            // Whoever cannot even say this has nobody to say so to.
            drop(writeln!(std::io::stderr(), "avatar-watch: {said}"));
        }
    }));
}

fn describe(place: Option<&Location<'_>>, payload: &dyn Any) -> String {
    let place = place.map_or_else(|| "an unknown place".to_owned(), |place| format!("`{place}`"));
    let kind = match payload {
        text if text.is::<&'static str>() => "a fixed text",
        text if text.is::<String>() => "a text",
        _ => "something that is no text",
    };
    format!("a panic at {place} with {kind}, which is not shown: this is a bug, please report it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_says_where_it_was_and_nothing_of_what_it_carries() {
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
            describe(None, &"canary").starts_with("a panic at an unknown place with a fixed text")
        );
    }
}
