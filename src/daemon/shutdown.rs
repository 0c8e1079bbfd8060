//! Shutdown in two steps. Graceful: start nothing new, finish what is in flight. Immediate: leave
//! everything as it is; the tables are complete.

use tokio_util::sync::CancellationToken;

/// Both steps; clones share them. Immediate includes graceful.
#[derive(Clone, Debug)]
pub struct Shutdown {
    /// Start nothing new.
    pub graceful: CancellationToken,
    /// Leave everything.
    pub immediate: CancellationToken,
}

impl Default for Shutdown {
    fn default() -> Self {
        let immediate = CancellationToken::new();
        Self { graceful: immediate.child_token(), immediate }
    }
}
