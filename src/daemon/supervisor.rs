//! The supervisor: opens the store, starts the two loops, hands them new plans, stops them.
//!
//! What always holds: a plan is built whole before any of it takes effect; when one loop ends,
//! the other is stopped; the store is closed last.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::config::settings::Settings;
use crate::daemon::bell::Bell;
use crate::daemon::chance::Chance;
use crate::daemon::dispatcher::Dispatcher;
use crate::daemon::error::DaemonError;
use crate::daemon::feed::Feed;
use crate::daemon::look::Tools;
use crate::daemon::poller::Poller;
use crate::daemon::ports::Clock;
use crate::daemon::pulse::Pulse;
use crate::daemon::stop::{StopOrder, stop_order};
use crate::daemon::wiring::{self, WiredPlan};
use crate::domain::channel::ChannelName;
use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::store::recovery::Recovery;
use crate::store::writer::Writer;

/// A running daemon.
#[derive(Debug)]
pub struct Daemon<C: Clock> {
    clock: C,
    store: Store,
    writer: Writer,
    store_path: PathBuf,
    plans: watch::Sender<Arc<WiredPlan>>,
    order: StopOrder,
    loops: JoinSet<(&'static str, Result<(), StoreError>)>,
    pulse: Arc<Pulse>,
}

impl<C: Clock> Daemon<C> {
    /// Opens the store and starts the loops. Tries that an earlier process left open are taken
    /// back first.
    ///
    /// # Errors
    /// When the store cannot be opened, or something that the settings describe cannot be built.
    pub async fn start(
        settings: &Settings,
        clock: C,
        chance: Chance,
        feed: Feed,
    ) -> Result<Self, DaemonError> {
        let plan = Arc::new(wiring::plan(settings)?);
        let boot_id = format!("{:032x}", chance.roll().bits());
        let is_new = std::fs::metadata(&settings.store_path).map_or(0, |file| file.len()) == 0;
        let (store, writer) = Store::open(&settings.store_path, boot_id)?;
        if is_new {
            info!("a new database is begun at `{}`", settings.store_path.display());
        }
        let (now, roll) = (clock.now(), chance.roll());
        let recovery = Recovery { now, schedules: plan.schedules(), roll };
        let taken_back = store.recover(recovery).await?;
        if taken_back > 0 {
            info!(count = taken_back, "deliveries that were under way are sent again");
        }
        register(&store, &plan).await?;

        let bell = Bell::default();
        let tools = Tools { store: store.clone(), clock: clock.clone(), chance, bell, feed };
        let pulse = Arc::new(Pulse::default());
        let (plans, followed) = watch::channel(Arc::clone(&plan));
        let (order, stop) = stop_order();
        let (_, hints) = tokio::sync::mpsc::channel(1);
        let poller =
            Poller::new(tools.clone(), Arc::clone(&pulse), Arc::clone(&plan), hints).await?;
        let dispatcher = Dispatcher::new(tools, Arc::clone(&pulse), plan);
        let mut loops = JoinSet::new();
        let poller = poller.run(followed.clone(), stop.clone());
        loops.spawn(async move { ("poller", poller.await) });
        let dispatcher = dispatcher.run(followed, stop);
        loops.spawn(async move { ("dispatcher", dispatcher.await) });
        let store_path = settings.store_path.clone();
        Ok(Self { clock, store, writer, store_path, plans, order, loops, pulse })
    }

    /// Lets the loops follow new settings. Nothing takes effect unless all of it does.
    ///
    /// # Errors
    /// When something that the settings describe cannot be built, or cannot change while the
    /// daemon runs.
    pub async fn reload(&self, settings: &Settings) -> Result<(), DaemonError> {
        if settings.store_path != self.store_path {
            return Err(DaemonError::StoreMoved);
        }
        let plan = Arc::new(wiring::plan(settings)?);
        register(&self.store, &plan).await?;
        self.plans.send_replace(plan);
        Ok(())
    }

    /// What the loops are at, in words.
    pub fn sentence(&self) -> String {
        self.pulse.sentence()
    }

    /// Ends when a loop ends, which it never should by itself; says why.
    pub async fn failed(&mut self) -> DaemonError {
        match self.loops.join_next().await {
            Some(Ok((_, Err(failure)))) => failure.into(),
            Some(Ok((name, Ok(())))) => DaemonError::LoopEnded(name),
            Some(Err(_)) | None => DaemonError::LoopEnded("loop"),
        }
    }

    /// Stops softly: what is under way may end, within a limit or until `hurry` ends. Then the
    /// store is closed.
    ///
    /// # Errors
    /// When the store failed at the end.
    pub async fn stop(self, hurry: impl Future<Output = ()>) -> Result<(), DaemonError> {
        let Self { store, writer, order, mut loops, .. } = self;
        order.soft();
        tokio::pin!(hurry);
        let mut hurried = false;
        let mut result = Ok(());
        loop {
            let ended = tokio::select! {
                ended = loops.join_next() => ended,
                () = &mut hurry, if !hurried => {
                    hurried = true;
                    warn!("stopping at once: the next start makes up for what is under way");
                    order.hard();
                    continue;
                }
            };
            let end = match ended {
                None => break,
                Some(Ok((_, end))) => end.map_err(DaemonError::from),
                Some(Err(_)) => Err(DaemonError::LoopEnded("loop")),
            };
            result = result.and(end);
        }
        drop(store);
        close(writer).await;
        result
    }
}

async fn register(store: &Store, plan: &WiredPlan) -> Result<(), StoreError> {
    let names: Vec<ChannelName> = plan.outlets.keys().cloned().collect();
    let targets = plan
        .outlets
        .iter()
        .map(|(name, outlet)| (name.clone(), outlet.notifier.fingerprint()))
        .collect();
    store.register_channels(targets).await?;
    for (name, count) in store.parked(names).await? {
        warn!(
            channel = %name, count,
            "channel `{name}` is not in the config; its {count} deliveries wait until it is"
        );
    }
    Ok(())
}

/// Waits for the writer off the loops' threads, and not for ever: a disk that hangs must not
/// keep us.
async fn close(writer: Writer) {
    let joined = tokio::task::spawn_blocking(move || writer.join());
    if tokio::time::timeout(CLOSE_LIMIT, joined).await.is_err() {
        warn!("the database did not close in time");
    }
}

const CLOSE_LIMIT: Duration = Duration::from_secs(10);
