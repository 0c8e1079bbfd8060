//! Tasks of the poller and their results.

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

/// Metadata of a task.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct TaskInfo {
    /// The avatar that it polls or writes; `None` for a list poll.
    pub(in crate::daemon) avatar: Option<AvatarId>,
    /// The account that it uses; `None` for a write.
    pub(in crate::daemon) account: Option<AccountName>,
    /// Set when the result must be discarded: key or account changed.
    pub(in crate::daemon) stale: Arc<AtomicBool>,
    /// Span of its log lines.
    pub(in crate::daemon) span: Span,
}

impl Default for TaskInfo {
    fn default() -> Self {
        Self { avatar: None, account: None, stale: Arc::default(), span: Span::current() }
    }
}

/// Result of a task.
#[derive(Debug)]
pub(in crate::daemon) enum TaskResult {
    /// A poll or a write.
    Polled(Box<PollResult>),
    /// A list poll, and when it was requested.
    Listed(ListObservation, Monotonic),
    /// Watches reloaded from the store.
    Reloaded(Result<Vec<Watch>, StoreError>),
    /// The request was cancelled.
    Cancelled,
}
