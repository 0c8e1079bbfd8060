//! Tests of channels: sends a `test.ping` through a channel on request over HTTP. Nothing is
//! recorded.

use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::daemon::config::runtime_config::RuntimeConfig;
use crate::daemon::ports::{Clock, Notifier};
use crate::daemon::rng::Rng;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::domain::event::{Event, EventKind, Subject};
use crate::domain::id::EventId;
use crate::domain::time::timestamp::Timestamp;
use crate::notify::message::{OutboundMessage, RenderedMessage};
use crate::web::state::{TestRequest, TestResult};

/// Serves test requests one at a time, until all senders are dropped.
pub(crate) async fn serve<S: Send + Sync + 'static, N: Notifier, C: Clock>(
    mut tests: mpsc::Receiver<TestRequest>,
    configs: watch::Receiver<Arc<RuntimeConfig<S, N>>>,
    clock: C,
    rng: Rng,
) {
    while let Some(TestRequest { channel, mut answer }) = tests.recv().await {
        let notifier = configs.borrow().channels.get(&channel).map(|it| Arc::clone(&it.notifier));
        let Some(notifier) = notifier else {
            drop(answer.send(None));
            continue;
        };
        select! {
            // The client may have disconnected.
            () = answer.closed() => {}
            results = ping(&notifier, &channel, &clock, &rng) => drop(answer.send(Some(results))),
        }
    }
}

/// Renders a new `test.ping` for every recipient of a channel.
pub(crate) fn test_messages<N: Notifier>(
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

/// Sends a `test.ping` to all recipients of a channel concurrently.
async fn ping<N: Notifier, C: Clock>(
    notifier: &Arc<N>,
    channel: &ChannelName,
    clock: &C,
    rng: &Rng,
) -> Vec<TestResult> {
    let mut tests = JoinSet::new();
    for message in test_messages(&**notifier, channel, clock.now(), rng) {
        let (notifier, clock) = (Arc::clone(notifier), clock.clone());
        tests.spawn(async move {
            let (started_at, sending) =
                (clock.monotonic(), notifier.deliver(&message, clock.now()));
            let outcome = tokio::time::timeout(LIMIT, sending).await;
            let elapsed = clock.monotonic().since(started_at);
            let (outcome, delivered, phase, code, error) = match outcome {
                Ok(Outcome { class, phase, code, error, .. }) => {
                    let delivered = class == OutcomeClass::Delivered;
                    (class.name(), delivered, phase.to_string(), code, error)
                }
                Err(_) => {
                    let seconds = LIMIT.as_secs();
                    let error = format!(
                        "no answer within {seconds} s, the limit of a test from the page; \
                         `avatar-watch test` waits for the `timeout` of the channel"
                    );
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
    let mut results = tests.join_all().await;
    results.sort_by(|one, other| one.recipient.cmp(&other.recipient));
    results
}

/// Timeout of a test: shorter than that of the HTTP client.
const LIMIT: Duration = Duration::from_secs(20);
