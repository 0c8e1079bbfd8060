//! A panic of a loop ends the daemon and is logged; the daemon does not continue with one loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use avatar_watch::config::config_file_trust::ConfigFile;
use avatar_watch::config::environment::Environment;
use avatar_watch::daemon::config::load_config;
use avatar_watch::daemon::error::DaemonError;
use avatar_watch::daemon::ports::Clock;
use avatar_watch::daemon::rng::Rng;
use avatar_watch::daemon::supervision::supervisor::Daemon;
use avatar_watch::domain::time::monotonic::Monotonic;
use avatar_watch::domain::time::timestamp::Timestamp;
use avatar_watch::runtime::event_bus::EventBus;

use crate::harness::argil::FakeArgil;
use crate::harness::clock::ManualClock;
use crate::harness::config::Config;
use crate::harness::daemon::Bench;

/// A clock that panics on request.
#[derive(Clone)]
struct Brittle(ManualClock, Arc<AtomicBool>);

impl Clock for Brittle {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn monotonic(&self) -> Monotonic {
        assert!(!self.1.load(Ordering::Relaxed), "a bug, as the test asked for");
        self.0.monotonic()
    }

    fn sleep_until(&self, until: Monotonic) -> impl Future<Output = ()> + Send {
        self.0.sleep_until(until)
    }
}

#[tokio::test]
async fn a_panic_of_a_loop_ends_the_daemon() {
    let argil = FakeArgil::start();
    argil.set_status("a1", "IDLE");
    let bench = Bench::new(Config::new(argil.base_url()).avatar("a1").text());
    let settings =
        load_config::load(&ConfigFile::named(bench.config()), &Environment::default()).unwrap();
    let (clock, breaks) = (ManualClock::new(), Arc::<AtomicBool>::default());
    let brittle = Brittle(clock.clone(), Arc::clone(&breaks));
    let feed = EventBus::default();
    let mut daemon =
        Daemon::start(&Arc::new(settings), brittle, Rng::seeded(1), feed).await.unwrap();
    breaks.store(true, Ordering::Relaxed);
    // Sleeping tasks wake up, read the time, and panic.
    clock.advance(std::time::Duration::from_hours(2));
    let failure = daemon.wait_for_failure().await;
    assert!(matches!(failure, DaemonError::LoopEnded(_)), "{failure}");
    breaks.store(false, Ordering::Relaxed);
    // The rest is closed, and the error is reported.
    let end = daemon.stop(std::future::pending()).await;
    assert!(end.is_ok() || matches!(end, Err(DaemonError::LoopEnded(_))), "{end:?}");
}
