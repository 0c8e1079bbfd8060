//! What people do to channels by hand, beside a running daemon: pause, resume, enable.
//!
//! What always holds: nothing that waits is dropped, and time in which it may not be sent does
//! not count against it.

use crate::domain::delivery::channel::ChannelName;
use crate::domain::delivery::channel_health::{ChannelHealth, ChannelState};
use crate::domain::time::timestamp::Timestamp;
use crate::store::admin::deliveries::DeliveryAdmin;
use crate::store::error::StoreError;
use crate::store::tables::channels;

/// What became of a channel by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelAdminResult {
    /// It was done.
    Done,
    /// It was so already.
    Already,
    /// It is in another state, which this does not end.
    InvalidState(ChannelState),
    /// The database knows no such channel.
    NotFound,
}

impl DeliveryAdmin {
    /// Sends nothing more to a channel until it is resumed; everything waits.
    ///
    /// # Errors
    /// When it could not be written; then nothing was.
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

    /// Ends a pause.
    ///
    /// # Errors
    /// When it could not be written; then nothing was.
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

    /// Tells a channel again that was disabled or fails, and makes due what waits for it.
    ///
    /// # Errors
    /// When it could not be written; then nothing was.
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
                Err(handled) => return Ok(handled),
            };
            channels::save(transaction, name, &before, &after, now)?;
            if enables && after.state == ChannelState::Active && after.half_open {
                channels::reschedule_pending(transaction, name, now)?;
            }
            Ok(ChannelAdminResult::Done)
        })
    }
}
