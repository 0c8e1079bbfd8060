//! What the poller leaves for the next start: when everything is due and was last seen, beside a
//! change while it runs, and in the end.
//!
//! What always holds: a checkpoint that is lost costs a look that is early, and no news.

use std::time::Duration;

use tokio::select;
use tracing::{error, warn};

use crate::daemon::poller::Poller;
use crate::daemon::poller::poll::retry_write;
use crate::daemon::ports::{AvatarSource, Clock, Notifier};
use crate::daemon::shutdown::Shutdown;
use crate::domain::polling::watch::Watch;
use crate::domain::time::monotonic::Monotonic;
use crate::store::error::{Recovery, StoreError};
use crate::store::tables::watches::Checkpoint;

impl<S: AvatarSource, N: Notifier, C: Clock> Poller<S, N, C> {
    /// Notes when everything is due, for the next start: beside a change, since then the disk is
    /// awake anyway, and not after every one.
    pub(in crate::daemon) fn note_checkpoint(&mut self, now: Monotonic) {
        if now.since(self.checkpoint_at) < CHECKPOINT_EVERY {
            return;
        }
        self.checkpoint_at = now;
        let (store, checkpoints) = (self.context.store.clone(), self.checkpoints());
        // When it fails, the next start only looks a little earlier than it would have to.
        drop(tokio::spawn(async move { drop(store.checkpoint(checkpoints).await) }));
    }

    fn checkpoints(&self) -> Vec<Checkpoint> {
        let (now, monotonic) = (self.context.clock.now(), self.context.clock.monotonic());
        let checkpoint = |watch: &Watch| Checkpoint {
            id: watch.id.clone(),
            last_seen_at: watch.observed.as_ref().map(|observed| observed.last_seen_at),
            next_poll_at: self.schedule.at(&watch.id).map(|at| now.plus(at.since(monotonic))),
        };
        self.idle.values().map(checkpoint).collect()
    }

    /// Lets the looks under way end for a short while, and what was seen be written; then notes
    /// what was last seen. A look that is cut off while it asks loses nothing: it is made again
    /// after the restart.
    pub(in crate::daemon) async fn drain(mut self, stop: Shutdown) -> Result<(), StoreError> {
        let clock = self.context.clock.clone();
        let (mut limit, mut asking) = (clock.monotonic().plus(DRAIN), true);
        let mut result = Ok(());
        loop {
            select! {
                biased;
                done = self.in_flight.join_next_with_id() => match done {
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
        self.in_flight.shutdown().await;
        for (id, pending) in std::mem::take(&mut self.pending_writes) {
            let polled = retry_write(self.context.clone(), pending).await;
            if let Some((_, failure)) = polled.pending_write {
                error!(avatar.id = %id, "a change of avatar `{id}` was never written: {failure}");
                // Whoever stopped us is told that it was no clean end.
                result = result.and(Err(failure));
            }
        }
        result?;
        match self.context.store.checkpoint(self.checkpoints()).await {
            Err(failure) if failure.next_step() == Recovery::Retry => {
                // Only the windows of the next transitions become wider than they could be.
                warn!("when the avatars were last seen is not noted: {failure}");
                Ok(())
            }
            result => result,
        }
    }
}

/// How long looks under way may go on after the order to stop.
const DRAIN: Duration = Duration::from_secs(2);
/// How long what was seen by then may take to be written: longer than the store waits for a lock.
const WRITES: Duration = Duration::from_secs(8);
/// The least wait between two checkpoints while running.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);
