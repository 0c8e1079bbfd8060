//! Which letter an event gets.

use crate::domain::event::{Event, Subject};
use crate::notify::letter::Content;
use crate::notify::news::render;
use crate::notify::notice::{condition, dead_letter, test};

/// The letter about that event.
pub(super) fn letter(event: &Event) -> Content {
    match &event.subject {
        Subject::Transition { avatar, transition, training } => {
            render(event, avatar, transition, training.as_deref())
        }
        Subject::Condition(of) => condition(event, of),
        Subject::DeadLetter(letter) => dead_letter(event, letter),
        Subject::Ping { channel } => test(event, channel),
    }
}
