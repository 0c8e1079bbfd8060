//! Shutdown in two steps. Graceful: start nothing new, finish what is in flight. Immediate: abort
//! what is in flight; the database stays consistent.

use tokio_util::sync::CancellationToken;

/// Both tokens; clones share them. Immediate includes graceful.
#[derive(Clone, Debug)]
pub struct Shutdown {
    /// Start nothing new.
    pub graceful: CancellationToken,
    /// Abort what is in flight.
    pub immediate: CancellationToken,
}

impl Default for Shutdown {
    fn default() -> Self {
        let immediate = CancellationToken::new();
        Self { graceful: immediate.child_token(), immediate }
    }
}
