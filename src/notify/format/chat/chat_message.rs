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
    /// The sender, the type and the end of the event's id, by which people recognize repeats.
    pub(in crate::notify::format) footer: String,
    /// Shortened ids of the avatar and the event; names are not unique.
    footer_ids: String,
}

impl ChatMessage {
    pub(in crate::notify::format) fn of(event: &Event, context: &MessageContext) -> Self {
        let content = render::content(event, context);
        let short = end(event.id.as_str());
        Self {
            window: content.window.join(" "),
            content,
            footer: format!("avatar-watch · {} · event …{short}", event.kind),
            footer_ids: footer_ids(event, short),
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

fn footer_ids(event: &Event, short: &str) -> String {
    let avatar = event
        .related_avatar()
        .map(|id| format!("avatar {} · ", sanitize_line(&beginning(id), SHORT_ID + 1)));
    format!("{}event …{short}", avatar.unwrap_or_default())
}

/// The beginning of an id, as people compare ids.
fn beginning(id: &str) -> String {
    let short: String = id.chars().take(SHORT_ID).collect();
    if short.len() == id.len() { short } else { format!("{short}…") }
}

fn end(id: &str) -> &str {
    id.get(id.len().saturating_sub(SHORT_ID)..).unwrap_or(id)
}

const SHORT_ID: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Subject;
    use crate::notify::format::samples;

    #[test]
    fn one_line_says_which_avatar_and_which_event() {
        for event in samples::all() {
            let summary = ChatMessage::of(&event, &MessageContext::PLAIN).summary();
            let short = &event.id.as_str()[event.id.as_str().len() - 8..];
            assert!(summary.ends_with(&format!(" · event …{short}")), "{summary}");
            assert!(!summary.contains("this channel") || summary.contains("works"), "{summary}");
            if let Subject::Transition { transition, .. } = &event.subject {
                let id = &transition.avatar_id.as_str()[..8];
                assert!(summary.contains(&format!(" · avatar {id}…")), "{summary}");
            }
        }
        assert_eq!(beginning("a1"), "a1");
        assert_eq!(beginning("12345678"), "12345678");
        assert_eq!(beginning("123456789"), "12345678…");
    }
}
