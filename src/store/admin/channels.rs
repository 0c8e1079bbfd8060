//! Admin operations on channels, beside a running daemon: pause, resume, enable.
//!
//! Invariants: no pending delivery is dropped, and the time during which it may not be sent does
//! not count towards its expiry.

use crate::domain::delivery::channel::ChannelName;
use crate::domain::delivery::channel_health::{ChannelHealth, ChannelState};
use crate::domain::time::timestamp::Timestamp;
use crate::store::admin::deliveries::DeliveryAdmin;
use crate::store::error::StoreError;
use crate::store::tables::channels;

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
    /// Suspends a channel until it is resumed; its deliveries stay pending.
    pub fn pause(
        &mut self,
        name: &ChannelName,
        now: Timestamp,
    ) -> Result<ChannelAdminResult, StoreError> {
        self.switch("pausing a channel", name, now, |health| match health.state {
            ChannelState::Active => Ok(ChannelHealth { state: ChannelState::Paused, ..health }),
            ChannelState::Paused => Err(ChannelAdminResult::Already),
            ChannelState::Disabled => Err(ChannelAdminResult::InvalidState(ChannelState::Disabled)),
        })
    }

    /// Resumes a paused channel.
    pub fn resume(
        &mut self,
        name: &ChannelName,
        now: Timestamp,
    ) -> Result<ChannelAdminResult, StoreError> {
        self.switch("resuming a channel", name, now, |health| match health.state {
            ChannelState::Paused => Ok(ChannelHealth { state: ChannelState::Active, ..health }),
            ChannelState::Active => Err(ChannelAdminResult::Already),
            ChannelState::Disabled => Err(ChannelAdminResult::InvalidState(ChannelState::Disabled)),
        })
    }

    /// Enables a channel that was disabled or fails, and makes its pending deliveries due.
    pub fn enable(
        &mut self,
        name: &ChannelName,
        now: Timestamp,
    ) -> Result<ChannelAdminResult, StoreError> {
        self.switch("enabling a channel", name, now, |health| match health.state {
            ChannelState::Active
                if health.failure_since.is_none() && !health.is_limited_to_probe() =>
            {
                Err(ChannelAdminResult::Already)
            }
            ChannelState::Active | ChannelState::Disabled => Ok(health.enabled()),
            ChannelState::Paused => Err(ChannelAdminResult::InvalidState(ChannelState::Paused)),
        })
    }

    fn switch(
        &mut self,
        doing: &'static str,
        name: &ChannelName,
        now: Timestamp,
        decide: impl FnOnce(ChannelHealth) -> Result<ChannelHealth, ChannelAdminResult>,
    ) -> Result<ChannelAdminResult, StoreError> {
        self.write(doing, |transaction| {
            if !channels::is_known(transaction, name)? {
                return Ok(ChannelAdminResult::NotFound);
            }
            let before = channels::find(transaction, name)?;
            let enables = before.state == ChannelState::Disabled || before.failure_since.is_some();
            let after = match decide(before.clone()) {
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
