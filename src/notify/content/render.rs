//! The content of an event.

use crate::domain::event::{Event, Subject};
use crate::notify::content::Content;
use crate::notify::content::condition::{condition, dead_letter, test};
use crate::notify::content::transition::render;

pub(in crate::notify) fn content(event: &Event) -> Content {
    match &event.subject {
        Subject::Transition { avatar, transition } => render(avatar, transition),
        Subject::Condition(it) => condition(event, it),
        Subject::DeadLetter(letter) => dead_letter(event, letter),
        Subject::Ping { channel } => test(event, channel),
    }
}
