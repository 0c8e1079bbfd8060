//! What people do to channels by hand, beside a running daemon: pause, resume, enable.
//!
//! What always holds: nothing that waits is dropped, and time in which it may not be sent does
//! not count against it.

use crate::domain::channel::ChannelName;
use crate::domain::health::{ChannelState, Health};
use crate::domain::timestamp::Timestamp;
use crate::store::channels;
use crate::store::error::StoreError;
use crate::store::hands::Hands;
use crate::store::time_limit::Work;

/// What became of a channel by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelHandled {
    /// It was done.
    Done,
    /// It was so already.
    Already,
    /// It is in another state, which this does not end.
    NotNow(ChannelState),
    /// The database knows no such channel.
    Unknown,
}

impl Hands {
    /// Sends nothing more to a channel until it is resumed; everything waits.
    ///
    /// # Errors
    /// When it could not be written; then nothing was.
    pub fn pause(
        &mut self,
        name: &ChannelName,
        now: Timestamp,
    ) -> Result<ChannelHandled, StoreError> {
        self.turn("pausing a channel", name, now, |health| match health.state {
            ChannelState::Active => Ok(Health { state: ChannelState::Paused, ..health }),
            ChannelState::Paused => Err(ChannelHandled::Already),
            ChannelState::Disabled => Err(ChannelHandled::NotNow(ChannelState::Disabled)),
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
    ) -> Result<ChannelHandled, StoreError> {
        self.turn("resuming a channel", name, now, |health| match health.state {
            ChannelState::Paused => Ok(Health { state: ChannelState::Active, ..health }),
            ChannelState::Active => Err(ChannelHandled::Already),
            ChannelState::Disabled => Err(ChannelHandled::NotNow(ChannelState::Disabled)),
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
    ) -> Result<ChannelHandled, StoreError> {
        self.turn("enabling a channel", name, now, |health| match health.state {
            ChannelState::Active if health.trouble_since.is_none() && !health.is_probed() => {
                Err(ChannelHandled::Already)
            }
            ChannelState::Active | ChannelState::Disabled => Ok(health.enabled()),
            ChannelState::Paused => Err(ChannelHandled::NotNow(ChannelState::Paused)),
        })
    }

    fn turn(
        &mut self,
        doing: &'static str,
        name: &ChannelName,
        now: Timestamp,
        decide: impl FnOnce(Health) -> Result<Health, ChannelHandled>,
    ) -> Result<ChannelHandled, StoreError> {
        self.database.write(doing, Work::Usual, |transaction| {
            if !channels::is_known(transaction, name)? {
                return Ok(ChannelHandled::Unknown);
            }
            let before = channels::find(transaction, name)?;
            let enables = before.state == ChannelState::Disabled || before.trouble_since.is_some();
            let after = match decide(before.clone()) {
                Ok(after) => after,
                Err(handled) => return Ok(handled),
            };
            channels::save(transaction, name, &before, &after, now)?;
            if enables && after.state == ChannelState::Active && after.unproved {
                channels::hasten(transaction, name, now)?;
            }
            Ok(ChannelHandled::Done)
        })
    }
}
