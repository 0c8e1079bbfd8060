//! Checkpoints: the poller stores when each avatar was last seen and is due next, alongside other
//! commits and at shutdown.
//!
//! Losing a checkpoint causes an early poll after the restart; it loses no transition.

use std::time::Duration;

use tokio::select;
use tracing::{error, warn};

use crate::daemon::poller::Poller;
use crate::daemon::poller::poll::retry_write;
use crate::daemon::ports::{AvatarSource, Clock, Notifier};
use crate::daemon::supervision::shutdown::Shutdown;
use crate::domain::polling::watch::Watch;
use crate::domain::time::monotonic::Monotonic;
use crate::store::error::{Recovery, StoreError};
use crate::store::tables::watches::Checkpoint;

impl<S: AvatarSource, N: Notifier, C: Clock> Poller<S, N, C> {
    /// Stores the due times for the next start. Called after a commit, when the disk is awake
    /// anyway, and at most once per [`CHECKPOINT_EVERY`].
    pub(in crate::daemon) fn checkpoint_if_due(&mut self, now: Monotonic) {
        if now.since(self.checkpoint_at) < CHECKPOINT_EVERY {
            return;
        }
        self.checkpoint_at = now;
        let (store, checkpoints) = (self.context.store.clone(), self.checkpoints());
        // On failure the next start only polls a little earlier than needed.
        drop(tokio::spawn(async move { drop(store.save_poll_times(checkpoints).await) }));
    }

    fn checkpoints(&self) -> Vec<Checkpoint> {
        let (now, monotonic) = (self.context.clock.now(), self.context.clock.monotonic());
        let checkpoint = |watch: &Watch| Checkpoint {
            id: watch.id.clone(),
            last_seen_at: watch.observed.as_ref().map(|observed| observed.last_seen_at),
            next_poll_at: self.idle.due_at(&watch.id).map(|at| now.plus(at.since(monotonic))),
        };
        self.idle.watches().map(checkpoint).collect()
    }

    /// Waits briefly for polls in flight, writes their observations, then stores a checkpoint. A
    /// poll that is cancelled loses nothing: the next start repeats it.
    pub(in crate::daemon) async fn drain(mut self, stop: Shutdown) -> Result<(), StoreError> {
        let clock = self.context.clock.clone();
        let (mut limit, mut asking) = (clock.monotonic().plus(DRAIN), true);
        let mut result = Ok(());
        loop {
            select! {
                biased;
                done = self.tasks.join_next() => match done {
                    Some(done) => result = result.and(self.on_task_done(done).await),
                    None => break,
                },
                () = stop.immediate.cancelled(), if asking => limit = clock.monotonic(),
                () = clock.sleep_until(limit) => {}
            }
            if clock.monotonic() < limit {
                continue;
            }
            if !asking {
                break;
            }
            self.cancel.cancel();
            (limit, asking) = (clock.monotonic().plus(WRITES), false);
        }
        self.tasks.shutdown().await;
        for (id, pending) in self.idle.take_pending_writes() {
            let label = pending.label();
            let polled = retry_write(self.context.clone(), pending).await;
            if let Some((_, failure)) = polled.pending_write {
                error!(avatar.id = %id, "a change of {label} was never written: {failure}");
                // Reported to the supervisor, so that the exit status is a failure.
                result = result.and(Err(failure));
            }
        }
        result?;
        match self.context.store.save_poll_times(self.checkpoints()).await {
            Err(failure) if failure.next_step() == Recovery::Retry => {
                // The next transitions only have a wider time window than necessary.
                warn!("the times of the last polls were not saved: {failure}");
                Ok(())
            }
            result => result,
        }
    }
}

/// How long polls in flight may continue after a stop was requested.
const DRAIN: Duration = Duration::from_secs(2);
/// How long pending writes may take after that: longer than the store waits for a lock.
const WRITES: Duration = Duration::from_secs(8);
/// Minimum interval between two checkpoints while running.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);
