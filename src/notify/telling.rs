//! Which letter an event gets.

use crate::domain::event::{Event, Subject};
use crate::notify::letter::Letter;
use crate::notify::news::news;
use crate::notify::notice::{given_up, notice, trial};

/// The letter about that event.
pub(super) fn letter(event: &Event) -> Letter {
    match &event.subject {
        Subject::Transition { avatar, transition, training } => {
            news(event, avatar, transition, training.as_deref())
        }
        Subject::Condition(condition) => notice(event, condition),
        Subject::DeadLetter(letter) => given_up(event, letter),
        Subject::Ping { channel } => trial(event, channel),
    }
}
