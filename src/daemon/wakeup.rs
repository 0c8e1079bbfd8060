//! Wakeup of the dispatcher: signals that a delivery may be due earlier than expected.
//!
//! It carries no data; the dispatcher reads the outbox.

use std::sync::Arc;

use tokio::sync::Notify;

/// A wakeup; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Wakeup(Arc<Notify>);

impl Wakeup {
    /// Wakes the waiting task, or makes the next wait return at once.
    pub fn notify(&self) {
        self.0.notify_one();
    }

    /// Waits for a wakeup; returns at once if one came since the last wait.
    pub async fn notified(&self) {
        self.0.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wakeup_before_the_wait_is_not_lost() {
        let wakeup = Wakeup::default();
        wakeup.notify();
        wakeup.clone().notified().await;
    }
}
