//! Admin operations on channels, beside a running daemon: pause, resume, enable.
//!
//! Invariants: no pending delivery is dropped, and the time during which it may not be sent does
//! not count towards its expiry.

use crate::domain::delivery::channel_health::{ChannelHealth, ChannelState, Pause};
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::time::timestamp::Timestamp;
use crate::store::admin::deliveries::DeliveryAdmin;
use crate::store::error::StoreError;
use crate::store::tables::channels;

/// An operation on a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelSwitch {
    /// Suspends it until the pause ends or it is resumed; its deliveries stay pending. Replaces an
    /// earlier pause.
    Pause(Pause),
    /// Resumes it after a pause.
    Resume,
    /// Enables it if it was disabled or fails, and makes its pending deliveries due.
    Enable,
}

/// The result of an operation on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelAdminResult {
    /// The channel was changed.
    Done,
    /// The channel is in that state already.
    Already,
    /// The operation is not permitted in this state.
    InvalidState(ChannelState),
    /// There is no such channel in the database.
    NotFound,
}

impl DeliveryAdmin {
    /// Pauses, resumes or enables a channel. When this fails, no row is changed.
    pub fn switch(
        &mut self,
        switch: &ChannelSwitch,
        name: &ChannelName,
        now: Timestamp,
    ) -> Result<ChannelAdminResult, StoreError> {
        let doing = match switch {
            ChannelSwitch::Pause(_) => "pausing a channel",
            ChannelSwitch::Resume => "resuming a channel",
            ChannelSwitch::Enable => "enabling a channel",
        };
        self.write(doing, |transaction| {
            let Some(before) = channels::find(transaction, name)? else {
                return Ok(ChannelAdminResult::NotFound);
            };
            let enables = before.state == ChannelState::Disabled || before.failure_since.is_some();
            let after = match decide(switch, before.clone()) {
                Ok(after) => after,
                Err(result) => return Ok(result),
            };
            channels::save(transaction, name, &before, &after, now)?;
            if enables && after.state == ChannelState::Active && after.half_open {
                channels::reschedule_pending(transaction, name, now)?;
            }
            Ok(ChannelAdminResult::Done)
        })
    }
}

fn decide(
    switch: &ChannelSwitch,
    health: ChannelHealth,
) -> Result<ChannelHealth, ChannelAdminResult> {
    use ChannelState::{Active, Disabled, Paused};
    use ChannelSwitch::{Enable, Pause, Resume};
    let is_well = health.failure_since.is_none() && !health.is_limited_to_probe();
    match (switch, health.state) {
        (Pause(pause), Paused) if *pause == health.pause => Err(ChannelAdminResult::Already),
        (Pause(pause), Active | Paused) => Ok(health.paused(pause.clone())),
        (Resume, Paused) => Ok(health.resumed()),
        (Resume, Active) => Err(ChannelAdminResult::Already),
        (Enable, Active) if is_well => Err(ChannelAdminResult::Already),
        (Enable, Active | Disabled) => Ok(health.enabled()),
        (Pause(_) | Resume, Disabled) | (Enable, Paused) => {
            Err(ChannelAdminResult::InvalidState(health.state))
        }
    }
}
