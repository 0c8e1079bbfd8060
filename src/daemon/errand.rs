//! What the poller sends tasks for, and what they come back with.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tracing::Span;

use crate::daemon::look::PollResult;
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::listing::ListObservation;
use crate::domain::moment::Monotonic;
use crate::domain::watch::Watch;
use crate::store::error::StoreError;

/// What a task was sent for.
#[derive(Clone, Debug)]
pub(super) struct TaskInfo {
    /// The avatar that it looks at or writes of; `None` for a list.
    pub(super) avatar: Option<AvatarId>,
    /// The account whose key it uses; `None` when it only writes.
    pub(super) account: Option<AccountName>,
    /// Set when the answer will be none to what is asked now: another key, another account.
    pub(super) stale: Arc<AtomicBool>,
    /// What every line of the log about it has in common.
    pub(super) span: Span,
}

impl Default for TaskInfo {
    fn default() -> Self {
        Self { avatar: None, account: None, stale: Arc::default(), span: Span::current() }
    }
}

/// What a task came back with.
#[derive(Debug)]
pub(super) enum TaskResult {
    /// A look, or a write.
    Polled(Box<PollResult>),
    /// A list, and when it was asked for.
    Listed(ListObservation, Monotonic),
    /// What the disk knows of an avatar.
    Reloaded(Result<Vec<Watch>, StoreError>),
    /// Nothing: it was cut off while it asked.
    Cancelled,
}
