//! The bell between the loops: something is due earlier than you think, look at the table.
//!
//! It carries nothing. Register before looking, so that no ring falls between the chairs.

use std::sync::Arc;

use tokio::sync::Notify;

/// A bell; clones are the same bell.
#[derive(Clone, Debug, Default)]
pub struct Wakeup(Arc<Notify>);

impl Wakeup {
    /// Rings: whoever waits wakes up, or else the next to wait does not sleep.
    pub fn notify(&self) {
        self.0.notify_one();
    }

    /// Waits for a ring; one that came since the last wait counts.
    pub async fn notified(&self) {
        self.0.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ring_that_came_before_the_wait_is_heard() {
        let wakeup = Wakeup::default();
        wakeup.notify();
        wakeup.clone().notified().await;
    }
}
