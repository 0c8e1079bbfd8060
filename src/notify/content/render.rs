//! The content of an event.

use crate::domain::condition::ConditionSubject;
use crate::domain::event::{Event, Subject};
use crate::domain::public_url::PublicUrl;
use crate::notify::content::condition::{condition, dead_letters, test};
use crate::notify::content::transition::render;
use crate::notify::content::{Content, ContentLink};
use crate::notify::message_context::MessageContext;

/// What the event says, in one line, such as `Jane: ready`.
pub(crate) fn title(event: &Event) -> String {
    content(event, &MessageContext::PLAIN).subject
}

pub(in crate::notify) fn content(event: &Event, context: &MessageContext) -> Content {
    let zone = &context.time_zone;
    let content = match &event.subject {
        Subject::Transition { avatar, transition } => render(avatar, transition, zone),
        Subject::Condition(it) => condition(event, it, zone),
        Subject::DeadLetter(letters) => dead_letters(event, letters, zone),
        Subject::Ping { channel } => test(event, channel, zone),
    };
    Content { link: context.public_url.as_ref().map(|url| link(event, url)), ..content }
}

/// The page with more about the event.
fn link(event: &Event, page: &PublicUrl) -> ContentLink {
    let avatar = |id| ContentLink { label: "Show the avatar", url: page.avatar(id) };
    match &event.subject {
        Subject::Transition { transition, .. } => avatar(&transition.avatar_id),
        Subject::Condition(condition) => match &condition.subject {
            ConditionSubject::Avatar { group, .. } if group.other_count > 0 => overview(page),
            ConditionSubject::Avatar { id, .. } => avatar(id),
            ConditionSubject::Account { .. } | ConditionSubject::Channel { .. } => {
                ContentLink { label: "Show accounts and channels", url: page.connections() }
            }
            ConditionSubject::Config => overview(page),
        },
        Subject::DeadLetter(letters) if letters.count() > 1 => {
            ContentLink { label: "Show the dead letters", url: page.dead_letters() }
        }
        Subject::DeadLetter(letters) => {
            ContentLink { label: "Show the delivery", url: page.delivery(&letters.first.delivery) }
        }
        Subject::Ping { .. } => overview(page),
    }
}

fn overview(page: &PublicUrl) -> ContentLink {
    ContentLink { label: "Show the status page", url: page.home() }
}
