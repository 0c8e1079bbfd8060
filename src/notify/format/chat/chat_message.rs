//! A notification for a chat, before the format of one chat is applied.

use crate::domain::event::Event;
use crate::notify::content::Content;
use crate::notify::content::render;
use crate::notify::message_context::MessageContext;
use crate::text::sanitize::sanitize_line;

/// A notification for a chat. All texts are one line; those of the content may come from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::notify::format) struct ChatMessage {
    pub(in crate::notify::format) content: Content,
    /// When the change happened.
    pub(in crate::notify::format) window: String,
    /// The sender, the type and the id of the event, which commands accept.
    pub(in crate::notify::format) footer: String,
    /// The ids of the avatar and the event; names are not unique.
    footer_ids: String,
}

impl ChatMessage {
    pub(in crate::notify::format) fn of(event: &Event, context: &MessageContext) -> Self {
        let content = render::content(event, context);
        Self {
            window: content.window.join(" "),
            content,
            footer: format!("avatar-watch · {} · event {}", event.kind, event.id),
            footer_ids: footer_ids(event),
        }
    }

    /// The title after an icon.
    pub(in crate::notify::format) fn heading(&self) -> String {
        format!("{} {}", self.content.severity.icon(), self.content.title)
    }

    /// The message as one line, for push notifications and services that show nothing else.
    pub(in crate::notify::format) fn summary(&self) -> String {
        format!("{} · {}", self.heading(), self.footer_ids)
    }
}

fn footer_ids(event: &Event) -> String {
    let avatar =
        event.related_avatar().map(|id| format!("avatar {} · ", sanitize_line(id, ID_CHARS_MAX)));
    format!("{}event {}", avatar.unwrap_or_default(), event.id)
}

/// The maximum length of an avatar's id.
const ID_CHARS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Subject;
    use crate::notify::format::samples;

    #[test]
    fn one_line_says_which_avatar_and_which_event() {
        for event in samples::all() {
            let summary = ChatMessage::of(&event, &MessageContext::PLAIN).summary();
            assert!(summary.ends_with(&format!(" · event {}", event.id)), "{summary}");
            assert!(!summary.contains("this channel") || summary.contains("works"), "{summary}");
            if let Subject::Transition { transition, .. } = &event.subject {
                let avatar = format!(" · avatar {} · ", transition.avatar_id);
                assert!(summary.contains(&avatar), "{summary}");
            }
        }
    }
}
