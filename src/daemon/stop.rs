//! Stopping: first softly, then hard. Soft: begin nothing new, finish what is under way. Hard:
//! leave everything where it stands; the table knows.

use tokio::sync::watch;

/// Gives the order to stop. Dropping it is an order to stop hard.
#[derive(Debug)]
pub struct StopOrder {
    sender: watch::Sender<Pace>,
}

/// Hears the order to stop.
#[derive(Clone, Debug)]
pub struct Stop {
    receiver: watch::Receiver<Pace>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pace {
    Running,
    Soft,
    Hard,
}

/// An order to give, and an ear for it.
pub fn stop_order() -> (StopOrder, Stop) {
    let (sender, receiver) = watch::channel(Pace::Running);
    (StopOrder { sender }, Stop { receiver })
}

impl StopOrder {
    /// Begin nothing new.
    pub fn soft(&self) {
        self.raise(Pace::Soft);
    }

    /// Leave everything.
    pub fn hard(&self) {
        self.raise(Pace::Hard);
    }

    fn raise(&self, pace: Pace) {
        self.sender.send_if_modified(|now| {
            let faster = pace > *now;
            *now = pace.max(*now);
            faster
        });
    }
}

impl Stop {
    /// Ends when a stop of either kind was ordered.
    pub async fn soft(&mut self) {
        self.reached(Pace::Soft).await;
    }

    /// Ends when a hard stop was ordered.
    pub async fn hard(&mut self) {
        self.reached(Pace::Hard).await;
    }

    async fn reached(&mut self, pace: Pace) {
        // A dropped order is a hard stop, so an error means the same.
        drop(self.receiver.wait_for(|now| *now >= pace).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hard_includes_soft_and_nothing_goes_back() {
        let (order, stop) = stop_order();
        order.hard();
        order.soft();
        stop.clone().hard().await;
        stop.clone().soft().await;
    }

    #[tokio::test]
    async fn a_lost_order_stops() {
        let (order, stop) = stop_order();
        drop(order);
        stop.clone().hard().await;
    }
}
