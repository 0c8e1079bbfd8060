//! Logs template problems of a channel once, until a message renders.
//!
//! The log is part of the config, so a reload logs the problems again. Each delivery stores whether
//! it fell back to the standard body.

use std::sync::{Mutex, PoisonError};

use tracing::warn;

use crate::domain::delivery::channel_name::ChannelName;
use crate::notify::message::RenderedMessage;

/// The problems of one channel that were logged already.
#[derive(Debug, Default)]
pub struct TemplateFallbackLog(Mutex<Vec<String>>);

impl TemplateFallbackLog {
    pub(crate) fn note(&self, channel: &ChannelName, drafts: &[RenderedMessage]) {
        for draft in drafts {
            if let Some(problem) = self.unlogged(draft.fallback.as_deref()) {
                warn!(
                    channel = %channel, delivery.id = %draft.id,
                    "`channels.{channel}`: {problem}; this message and others like it go out in \
                     the standard body"
                );
            }
        }
    }

    /// The problem, unless it was logged already.
    fn unlogged<'t>(&self, problem: Option<&'t str>) -> Option<&'t str> {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(problem) = problem else {
            logged.clear();
            return None;
        };
        if logged.len() == LOGGED_MAX || logged.iter().any(|known| known == problem) {
            return None;
        }
        logged.push(problem.to_owned());
        Some(problem)
    }
}

/// A template has few texts, but a problem may contain values.
const LOGGED_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_problem_is_logged_once_until_a_message_renders() {
        let fallbacks = TemplateFallbackLog::default();
        let check = |failure: Option<&str>, is_logged: bool| {
            let found = fallbacks.unlogged(failure);
            assert_eq!(found, failure.filter(|_| is_logged), "for {failure:?}");
        };
        check(Some("a"), true);
        check(Some("a"), false);
        check(Some("b"), true);
        check(Some("a"), false);
        check(None, false);
        check(Some("a"), true);
    }

    #[test]
    fn logged_template_problems_are_bounded() {
        let fallbacks = TemplateFallbackLog::default();
        let logged =
            (0..1000).filter(|n| fallbacks.unlogged(Some(&n.to_string())).is_some()).count();
        assert_eq!(logged, LOGGED_MAX);
    }
}
