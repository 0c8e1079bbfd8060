//! Channels with several recipients: failures of one are reported once for that recipient, and do
//! not affect the others.

use avatar_watch::domain::delivery::Scope;
use avatar_watch::domain::delivery::channel_health::ChannelState;

use super::*;

const OK: &str = "okay@example.com";
const GONE: &str = "gone@example.com";
const HOUR: u64 = 3600;

/// `ops` mails to both and takes what goes to `OK`; what goes to `GONE` ends as `script` says for
/// the number of that call.
async fn mailing(script: impl Fn(usize) -> Outcome + Send + 'static) -> Watched {
    let bench = Bench::new();
    let number = std::sync::atomic::AtomicUsize::new(0);
    let mail = FakeNotifier::writing_to(&[OK, GONE], &bench.world.clock, move |_, message| {
        if message.recipient == OK {
            return now(OutcomeClass::Delivered);
        }
        Answer::Now(script(1 + number.fetch_add(1, std::sync::atomic::Ordering::Relaxed)))
    });
    Watched::start(bench, mail).await
}

impl Watched {
    /// The avatars settle again in turn, so many times, with a pause in between.
    async fn news(&self, times: usize, apart_s: u64) {
        for number in 0..times {
            let avatar = AVATARS[number % 3];
            self.bench.gallery.show(&id(avatar), SETTLED[(number / 3) % 2].clone());
            self.bench.hop(seconds(apart_s)).await;
        }
    }

    /// The conditions of channels, without dead letters.
    fn of_channels(&self) -> Vec<String> {
        self.watch.notified().into_iter().filter(|it| it.starts_with("channel.")).collect()
    }

    fn delivered_to(&self, recipient: &str) -> usize {
        let rows = self.bench.rows();
        rows.iter().filter(|row| row.recipient == recipient && row.state == "delivered").count()
    }
}

fn said(class: OutcomeClass, code: u16, scope: Scope) -> Outcome {
    let error = Some(format!("`h` answered {code}"));
    let snippet = Some("the server's own words".to_owned());
    Outcome { code: Some(code), scope, error, snippet, ..outcome(class) }
}

#[tokio::test]
async fn a_deferred_recipient_is_reported_once() {
    let deferred = |number| match number {
        1..=60 => said(OutcomeClass::Throttled, 450, Scope::Recipient),
        _ => outcome(OutcomeClass::Delivered),
    };
    let mut it = mailing(deferred).await;
    it.news(1, 50 * 60).await;
    assert_eq!(it.of_channels(), Vec::<String>::new());
    it.news(3, 42 * 60).await;
    let begun = "channel.failing firing ops go***@example.com";
    assert_eq!(it.of_channels(), [begun]);
    let channel = it.channel();
    assert_eq!(channel.recipients.len(), 1);
    assert_eq!(channel.recipients[0].address, GONE);
    assert!(channel.failing_since().is_some() && channel.health.failing_since.is_none());
    let reason = channel.reason().unwrap();
    assert!(reason.contains("go***@example.com") && reason.contains("own words"), "{reason}");
    // Neither a restart nor mails to the other recipient report it again.
    it.bench.world.crash().await;
    let plan = it.plan();
    it.bench.world.start(plan).await;
    it.news(4, 42 * 60).await;
    assert_eq!(it.of_channels(), [begun]);
    it.bench.hop(seconds(48 * HOUR)).await;
    let ended = "channel.failing resolved ops go***@example.com";
    assert_eq!(it.of_channels(), [begun, ended]);
    assert_eq!(it.delivered_to(GONE), it.delivered_to(OK), "and nothing was dropped");
    assert_eq!(it.channel().failing_since(), None);
}

#[tokio::test]
async fn a_recipient_with_lost_mails_does_not_make_the_channel_flap() {
    for class in [OutcomeClass::Ambiguous, OutcomeClass::Retryable, OutcomeClass::Local] {
        let it = mailing(move |_| outcome(class)).await;
        it.news(30, 42 * 60).await;
        let conditions = it.of_channels();
        let of_one: Vec<_> =
            conditions.iter().filter(|it| it.ends_with("go***@example.com")).collect();
        assert_eq!(
            of_one,
            ["channel.failing firing ops go***@example.com"],
            "{class:?}: {conditions:?}"
        );
        assert!(conditions.len() <= 3, "{class:?}: {conditions:?}");
        assert_eq!(it.channel().health.state, ChannelState::Active);
        assert_eq!(it.delivered_to(OK), 30);
    }
}

#[tokio::test]
async fn an_unclear_refusal_ends_when_the_recipient_accepts_another_mail() {
    // The first mail is refused again and again, whatever comes after it is taken.
    let mut bench = Bench::new();
    let first = Arc::new(std::sync::Mutex::new(None));
    let mail = FakeNotifier::writing_to(&[GONE], &bench.world.clock, move |_, message| {
        let mut first = first.lock().unwrap();
        let first = first.get_or_insert_with(|| message.delivery_id.clone());
        Answer::Now(if *first == message.delivery_id {
            said(OutcomeClass::Throttled, 550, Scope::SenderOrRecipient)
        } else {
            outcome(OutcomeClass::Delivered)
        })
    });
    bench.start(&[("mail", &mail)]).await;
    bench.settle("a", 1).await;
    bench.hop(seconds(HOUR)).await;
    assert_eq!(bench.states(), ["pending"], "it waits while the refusal is unclear");
    assert!(bench.world.reader().channels().unwrap()[0].failing_since().is_some());
    bench.settle("b", 1).await;
    bench.hop(seconds(2 * HOUR)).await;
    let mut states = bench.states();
    states.sort();
    assert_eq!(states, ["dead", "delivered"], "it was meant for that mail alone");
    assert_eq!(bench.world.reader().channels().unwrap()[0].health.state, ChannelState::Active);
}

#[tokio::test]
async fn probes_do_not_always_pick_the_failing_recipient() {
    // Three at once are lost, so the channel is only probed; `OK` need not wait for any of them.
    let it = mailing(|_| outcome(OutcomeClass::Ambiguous)).await;
    it.bench.show_all(&Status::Idle);
    it.bench.hop(seconds(HOUR)).await;
    for status in [Status::Refused, Status::Idle] {
        it.bench.gallery.show(&id("a"), status);
        it.bench.hop(seconds(3 * HOUR)).await;
    }
    assert_eq!(it.delivered_to(OK), 5);
}
