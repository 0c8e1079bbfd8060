//! What systemd is told: ready, reloading, stopping, and a line about what we are at. The one
//! home of `sd-notify`. Without systemd nobody is told, and nothing is different.

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
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// What we are at.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

fn tell(states: &[NotifyState<'_>]) {
    // Not being able to tell changes nothing about the work.
    drop(sd_notify::notify(states));
}
