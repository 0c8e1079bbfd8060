//! Tasks of the poller and their results.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::task::{Id, JoinError, JoinSet};
use tracing::{Instrument as _, Span};

use crate::daemon::poller::poll::PollResult;
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::polling::list_observation::ListObservation;
use crate::domain::polling::watch::Watch;
use crate::domain::time::monotonic::Monotonic;
use crate::store::error::StoreError;

/// A completed task.
pub(in crate::daemon) type DoneTask = (TaskInfo, Result<TaskResult, JoinError>);

/// The tasks in flight.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Tasks {
    set: JoinSet<TaskResult>,
    infos: HashMap<Id, TaskInfo>,
}

impl Tasks {
    /// Spawns a task in the span of its metadata.
    pub(in crate::daemon) fn spawn(
        &mut self,
        info: TaskInfo,
        task: impl Future<Output = TaskResult> + Send + 'static,
    ) {
        let handle = self.set.spawn(task.instrument(info.span.clone()));
        self.infos.insert(handle.id(), info);
    }

    /// Waits for a task to complete; `None` when there are none. Cancel safe.
    pub(in crate::daemon) async fn join_next(&mut self) -> Option<DoneTask> {
        let done = self.set.join_next_with_id().await?;
        Some(self.finish(done))
    }

    /// A task that has completed, if any.
    pub(in crate::daemon) fn try_join_next(&mut self) -> Option<DoneTask> {
        let done = self.set.try_join_next_with_id()?;
        Some(self.finish(done))
    }

    pub(in crate::daemon) fn infos(&self) -> impl Iterator<Item = &TaskInfo> {
        self.infos.values()
    }

    /// Aborts all tasks and waits for their end.
    pub(in crate::daemon) async fn shutdown(&mut self) {
        self.set.shutdown().await;
    }

    fn finish(&mut self, done: Result<(Id, TaskResult), JoinError>) -> DoneTask {
        let (id, result) = match done {
            Ok((id, result)) => (id, Ok(result)),
            Err(failure) => (failure.id(), Err(failure)),
        };
        // Every task has metadata; the default would only drop the result.
        (self.infos.remove(&id).unwrap_or_default(), result)
    }
}

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
