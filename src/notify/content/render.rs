//! Which letter an event gets.

use crate::domain::event::{Event, Subject};
use crate::notify::content::Content;
use crate::notify::content::condition::{condition, dead_letter, test};
use crate::notify::content::transition::render;

/// The letter about that event.
pub(in crate::notify) fn letter(event: &Event) -> Content {
    match &event.subject {
        Subject::Transition { avatar, transition, training } => {
            render(event, avatar, transition, training.as_deref())
        }
        Subject::Condition(of) => condition(event, of),
        Subject::DeadLetter(letter) => dead_letter(event, letter),
        Subject::Ping { channel } => test(event, channel),
    }
}
