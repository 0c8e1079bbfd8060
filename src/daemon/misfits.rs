//! Messages that a channel's template did not fit, so that they are told in the standard body:
//! what the log says of them.
//!
//! It is said once for each trouble, until a message is rendered again; it lives as long as the
//! plan, so a reload says it anew. That a message fell back is kept with its delivery.

use std::sync::{Mutex, PoisonError};

use tracing::warn;

use crate::domain::channel::ChannelName;
use crate::notify::channels::Draft;

/// What of one channel was said already.
#[derive(Debug, Default)]
pub struct Misfits(Mutex<Vec<String>>);

impl Misfits {
    /// Takes note of the messages about one event.
    pub fn note(&self, channel: &ChannelName, drafts: &[Draft]) {
        for draft in drafts {
            if let Some(trouble) = self.news(draft.fallback.as_deref()) {
                warn!(
                    channel = %channel, delivery.id = %draft.id,
                    "`channels.{channel}`: {trouble}; this message and others like it go out in \
                     the standard body"
                );
            }
        }
    }

    /// The trouble, when it was not said since a message was last rendered.
    fn news<'t>(&self, trouble: Option<&'t str>) -> Option<&'t str> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(trouble) = trouble else {
            said.clear();
            return None;
        };
        if said.len() == SAID_MAX || said.iter().any(|known| known == trouble) {
            return None;
        }
        said.push(trouble.to_owned());
        Some(trouble)
    }
}

/// A template has few texts, but a trouble may name values.
const SAID_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_news_once_until_a_message_is_rendered_again() {
        let misfits = Misfits::default();
        let check = |trouble: Option<&str>, is_news: bool| {
            let news = misfits.news(trouble);
            assert_eq!(news, trouble.filter(|_| is_news), "for {trouble:?}");
        };
        check(Some("a"), true);
        check(Some("a"), false);
        check(Some("b"), true);
        check(Some("a"), false);
        check(None, false);
        check(Some("a"), true);
    }

    #[test]
    fn what_was_said_is_bounded() {
        let misfits = Misfits::default();
        let said = (0..1000).filter(|n| misfits.news(Some(&n.to_string())).is_some()).count();
        assert_eq!(said, SAID_MAX);
    }
}
