//! What systemd is told: ready, reloading, stopping, alive, and a line about what we are at. The
//! one home of `sd-notify`. Without systemd nobody is told, and nothing is different.

use std::time::Duration;

use sd_notify::NotifyState;

/// We are ready; `status` says what we are at.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The config is read again.
pub fn reloading() {
    let moment = NotifyState::monotonic_usec_now();
    match moment {
        Ok(moment) => tell(&[NotifyState::Reloading, moment]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// We are stopping.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// We are still starting, and say so again within `grace`; `status` says what is being done.
pub fn still_starting(status: &str, grace: Duration) {
    extend(status, grace);
}

/// We are still stopping, and say so again within `grace`; `status` says what is left.
pub fn still_stopping(status: &str, grace: Duration) {
    extend(status, grace);
}

fn extend(status: &str, grace: Duration) {
    let grace_us = u32::try_from(grace.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::ExtendTimeoutUsec(grace_us), NotifyState::Status(status)]);
}

/// What we are at.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// How often at least it must be told that we live, if at all (`WatchdogSec=`).
pub fn watchdog_limit() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// We live.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(states: &[NotifyState<'_>]) {
    // Not being able to tell changes nothing about the work.
    drop(sd_notify::notify(states));
}
