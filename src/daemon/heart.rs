//! The heart: tells a service, again and again, that all is well, or that it is not.
//!
//! What always holds: it beats on a task of its own and holds up nobody; while the process is dead
//! or its thread is stuck it does not beat at all, which is what the service waits for. What a
//! beat tells is what the loops last did, not what they hope to.

use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::daemon::chores::{Chores, Heart};
use crate::daemon::ports::Clock;
use crate::daemon::pulse::Pulse;
use crate::daemon::shutdown::Shutdown;
use crate::domain::moment::Moment;
use crate::notify::heartbeat::Vital;
use crate::store::handle::Store;

/// Beats until told to stop; follows reloads.
pub async fn run<C: Clock>(
    store: Store,
    clock: C,
    pulse: Arc<Pulse>,
    mut chores: watch::Receiver<Arc<Chores>>,
    stop: Shutdown,
) {
    let mut heart = chores.borrow_and_update().heart.clone();
    let mut next_at = clock.moment();
    // What the service was last told, and whether it heard.
    let (mut told, mut heard) = (Vital::Well, true);
    loop {
        select! {
            biased;
            () = stop.graceful.cancelled() => return,
            Ok(()) = chores.changed() => {
                heart = chores.borrow_and_update().heart.clone();
                continue;
            }
            () = rest(&clock, heart.as_ref(), next_at) => {}
        }
        let Some(Heart { heartbeat, every }) = &heart else { continue };
        if !pulse.progress.has_begun() {
            next_at = clock.moment().plus(BEGIN_WAIT);
            continue;
        }
        next_at = clock.moment().plus(*every);
        let vital = match ailment(&pulse, store.can_write(), clock.moment()) {
            None => Vital::Well,
            Some(ailment) => {
                if told == Vital::Well {
                    warn!("the heartbeat says that we are not well: {ailment}");
                }
                Vital::Unwell
            }
        };
        if (told, vital) == (Vital::Unwell, Vital::Well) {
            info!("the heartbeat says that we are well again");
        }
        told = vital;
        let beat = select! {
            biased;
            () = stop.graceful.cancelled() => return,
            beat = heartbeat.beat(vital) => beat,
        };
        match &beat {
            Ok(()) if !heard => info!("the heartbeat is heard again"),
            Err(failure) if heard => warn!("the heartbeat is not heard: {failure}"),
            Ok(()) | Err(_) => {}
        }
        heard = beat.is_ok();
    }
}

/// Waits for the next beat; for ever where nobody hears it.
async fn rest<C: Clock>(clock: &C, heart: Option<&Heart>, next_at: Moment) {
    match heart {
        Some(_) => clock.sleep_until(next_at).await,
        None => std::future::pending().await,
    }
}

/// What is wrong with us, if anything is.
fn ailment(pulse: &Pulse, can_write: bool, now: Moment) -> Option<String> {
    let (keys, blind) = (pulse.keys.get(), pulse.blind.get());
    if let Some(stuck) = pulse.progress.stuck(now) {
        Some(format!("{} does not move", stuck.part))
    } else if !can_write {
        Some("the database cannot be written".to_owned())
    } else if keys > 0 && blind >= keys {
        Some("no key can see anything".to_owned())
    } else {
        None
    }
}

/// How long the loops have to begin before they are asked again.
const BEGIN_WAIT: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::progress::Loop;

    #[test]
    fn we_are_well_while_both_loops_move_one_key_sees_and_the_store_writes() {
        let pulse = Pulse::default();
        let at = |seconds| Moment::default().plus(Duration::from_secs(seconds));
        let check = |can_write, seconds, expected: Option<&str>| {
            assert_eq!(ailment(&pulse, can_write, at(seconds)).as_deref(), expected);
        };
        let turn = |one, seconds| pulse.progress.turned(one, at(seconds));
        assert!(!pulse.progress.has_begun());
        turn(Loop::Poller, 0);
        turn(Loop::Dispatcher, 0);
        assert!(pulse.progress.has_begun());
        check(true, 120, None);
        check(true, 121, Some("the poller does not move"));
        turn(Loop::Poller, 121);
        check(true, 121, Some("the dispatcher does not move"));
        turn(Loop::Dispatcher, 121);
        check(false, 121, Some("the database cannot be written"));
        pulse.keys.set(2);
        pulse.blind.set(1);
        check(true, 121, None);
        pulse.blind.set(2);
        check(true, 121, Some("no key can see anything"));
    }
}
