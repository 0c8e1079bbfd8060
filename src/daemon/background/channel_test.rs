//! Trials: a `test.ping` through a channel, on the real path, when somebody asks for one over
//! HTTP. Nothing of it is recorded: it is no news.

use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::daemon::ports::{Clock, Notifier};
use crate::daemon::rng::Rng;
use crate::daemon::runtime_config::RuntimeConfig;
use crate::domain::delivery::channel::ChannelName;
use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::id::EventId;
use crate::domain::time::timestamp::Timestamp;
use crate::notify::message::{OutboundMessage, RenderedMessage};
use crate::web::state::{TestRequest, TestResult};

/// Makes the trials that come in, one at a time, until nobody can ask for one any more.
pub async fn serve<S: Send + Sync + 'static, N: Notifier, C: Clock>(
    mut trials: mpsc::Receiver<TestRequest>,
    configs: watch::Receiver<Arc<RuntimeConfig<S, N>>>,
    clock: C,
    rng: Rng,
) {
    while let Some(TestRequest { channel, mut answer }) = trials.recv().await {
        let channel_runtime =
            configs.borrow().channels.get(&channel).map(|it| Arc::clone(&it.notifier));
        let Some(notifier) = channel_runtime else {
            drop(answer.send(None));
            continue;
        };
        select! {
            // Whoever asked may have gone; then nobody wants to know.
            () = answer.closed() => {}
            tried = ping(&notifier, &channel, &clock, &rng) => drop(answer.send(Some(tried))),
        }
    }
}

/// A fresh `test.ping`, rendered for every recipient of a channel.
pub fn test_messages<N: Notifier>(
    notifier: &N,
    channel: &ChannelName,
    now: Timestamp,
    rng: &Rng,
) -> Vec<OutboundMessage> {
    let event = Event {
        id: EventId::mint(now, rng.next_bits()),
        kind: EventKind::TestPing,
        occurred_at: now,
        subject: Subject::Ping { channel: channel.clone() },
    };
    let drafts = notifier.render(&event, now, rng.next_bits()).into_iter();
    let message = |draft: RenderedMessage| OutboundMessage {
        delivery_id: draft.id,
        event_id: event.id.clone(),
        recipient: draft.recipient,
        content_type: draft.content_type,
        body: draft.body,
    };
    drafts.map(message).collect()
}

/// Sends a `test.ping` to every recipient of a channel at once.
async fn ping<N: Notifier, C: Clock>(
    notifier: &Arc<N>,
    channel: &ChannelName,
    clock: &C,
    rng: &Rng,
) -> Vec<TestResult> {
    let mut trials = JoinSet::new();
    for message in test_messages(&**notifier, channel, clock.now(), rng) {
        let (notifier, clock) = (Arc::clone(notifier), clock.clone());
        trials.spawn(async move {
            let (begun, sending) = (clock.monotonic(), notifier.deliver(&message, clock.now()));
            let outcome = tokio::time::timeout(LIMIT, sending).await;
            let elapsed = clock.monotonic().since(begun);
            let (outcome, delivered, phase, code, error) = match outcome {
                Ok(Outcome { class, phase, code, error, .. }) => {
                    let delivered = class == OutcomeClass::Delivered;
                    (class.name(), delivered, phase.to_string(), code, error)
                }
                Err(_) => {
                    let error = format!("no answer within {} s", LIMIT.as_secs());
                    ("timeout", false, "response".to_owned(), None, Some(error))
                }
            };
            TestResult {
                recipient: (!message.recipient.is_empty()).then_some(message.recipient),
                outcome,
                delivered,
                phase,
                code,
                error,
                latency_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            }
        });
    }
    let mut tried = trials.join_all().await;
    tried.sort_by(|one, other| one.recipient.cmp(&other.recipient));
    tried
}

/// How long a trial may take: less than whoever asked waits.
const LIMIT: Duration = Duration::from_secs(20);
