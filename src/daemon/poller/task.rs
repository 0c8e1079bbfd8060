//! What the poller sends tasks for, and what they come back with.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tracing::Span;

use crate::daemon::poller::poll::PollResult;
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::polling::list_observation::ListObservation;
use crate::domain::polling::watch::Watch;
use crate::domain::time::monotonic::Monotonic;
use crate::store::error::StoreError;

/// What a task was sent for.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct TaskInfo {
    /// The avatar that it looks at or writes of; `None` for a list.
    pub(in crate::daemon) avatar: Option<AvatarId>,
    /// The account whose key it uses; `None` when it only writes.
    pub(in crate::daemon) account: Option<AccountName>,
    /// Set when the answer will be none to what is asked now: another key, another account.
    pub(in crate::daemon) stale: Arc<AtomicBool>,
    /// What every line of the log about it has in common.
    pub(in crate::daemon) span: Span,
}

impl Default for TaskInfo {
    fn default() -> Self {
        Self { avatar: None, account: None, stale: Arc::default(), span: Span::current() }
    }
}

/// What a task came back with.
#[derive(Debug)]
pub(in crate::daemon) enum TaskResult {
    /// A look, or a write.
    Polled(Box<PollResult>),
    /// A list, and when it was asked for.
    Listed(ListObservation, Monotonic),
    /// What the disk knows of an avatar.
    Reloaded(Result<Vec<Watch>, StoreError>),
    /// Nothing: it was cut off while it asked.
    Cancelled,
}
