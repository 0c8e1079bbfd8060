//! Publishes events that belong to no observation: stores them, logs them, and wakes the dispatcher
//! if a channel receives one.

use crate::daemon::context::DaemonContext;
use crate::daemon::logging::log::log_condition;
use crate::domain::event::Event;
use crate::domain::time::timestamp::Timestamp;
use crate::store::error::StoreError;
use crate::store::handle::NewEvent;

/// Publishes all or none.
pub(crate) async fn publish<C>(
    context: &DaemonContext<C>,
    new_events: Vec<NewEvent>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let events: Vec<Event> = new_events.iter().map(|it| it.event.clone()).collect();
    let has_deliveries = new_events.iter().any(NewEvent::has_deliveries);
    context.store.publish(new_events, now).await?;
    events.iter().for_each(log_condition);
    if has_deliveries {
        context.wakeup.notify_one();
    }
    Ok(())
}
