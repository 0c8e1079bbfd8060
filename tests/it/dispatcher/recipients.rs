//! Channels with several recipients: failures of one are reported once for that recipient, and do
//! not affect the others.

use avatar_watch::domain::delivery::Scope;
use avatar_watch::domain::delivery::channel::ChannelName;
use avatar_watch::domain::delivery::channel_health::ChannelState;
use avatar_watch::store::reader::ChannelRow;

use super::*;
use crate::harness::plans::operator;

const OK: &str = "okay@example.com";
const GONE: &str = "gone@example.com";
const HOUR: u64 = 3600;

/// A channel `mail` to both, which takes what goes to `OK`, and the operator's channel `watch`.
struct Mailing {
    bench: Bench,
    mail: Arc<Post>,
    watch: Arc<Post>,
}

impl Mailing {
    /// What goes to `GONE` ends as `script` says for the number of that call.
    async fn new(script: impl Fn(usize) -> Outcome + Send + 'static) -> Self {
        let bench = Bench::new();
        let number = std::sync::atomic::AtomicUsize::new(0);
        let mail = Post::writing_to(&[OK, GONE], &bench.world.clock, move |_, message| {
            if message.recipient == OK {
                return now(OutcomeClass::Delivered);
            }
            Answer::Now(script(1 + number.fetch_add(1, std::sync::atomic::Ordering::Relaxed)))
        });
        let watch = Post::taking(&bench.world.clock);
        Self::start(Self { bench, mail, watch }).await
    }

    async fn start(mut mailing: Self) -> Self {
        for avatar in ["a", "b", "c"] {
            mailing.bench.gallery.show(&id(avatar), Status::Training);
        }
        let plan = mailing.plan();
        mailing.bench.world.start(plan).await;
        mailing.bench.world.quiet().await;
        mailing
    }

    fn plan(&self) -> RuntimeConfig<Gallery, Post> {
        let plan = self.bench.plan(&[("mail", &self.mail), ("watch", &self.watch)]);
        let mut plan = operator(plan, "watch");
        plan.channels.get_mut(&name("watch")).unwrap().events.clear();
        plan
    }

    /// The avatars settle again in turn, so many times, with a pause in between.
    async fn news(&self, times: usize, apart_s: u64) {
        for number in 0..times {
            let avatar = ["a", "b", "c"][number % 3];
            self.bench.gallery.show(&id(avatar), SETTLED[(number / 3) % 2].clone());
            self.bench.hop(seconds(apart_s)).await;
        }
    }

    fn channel(&self) -> ChannelRow {
        let mut channels = self.bench.world.reader().channels().unwrap().into_iter();
        channels.find(|channel| channel.name == name("mail")).unwrap()
    }

    /// The conditions sent to the operator channel, in order.
    fn conditions(&self) -> Vec<String> {
        let body = |call: Call| {
            let body: serde_json::Value = serde_json::from_slice(&call.body).unwrap();
            let text = |key: &str| body["data"][key].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", body["type"].as_str().unwrap(), text("state"), text("recipient"))
        };
        let bodies = self.watch.calls().into_iter().map(body);
        bodies.filter(|body: &String| body.starts_with("channel.")).collect()
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
    let mut mailing = Mailing::new(deferred).await;
    mailing.news(1, 50 * 60).await;
    assert_eq!(mailing.conditions(), Vec::<String>::new());
    mailing.news(3, 42 * 60).await;
    let begun = "channel.failing firing go***@example.com";
    assert_eq!(mailing.conditions(), [begun]);
    let channel = mailing.channel();
    assert_eq!(channel.recipients.len(), 1);
    assert_eq!(channel.recipients[0].address, GONE);
    assert!(channel.failing_since().is_some() && channel.health.failing_since.is_none());
    let reason = channel.reason().unwrap();
    assert!(reason.contains("go***@example.com") && reason.contains("own words"), "{reason}");
    // Neither a restart nor mails to the other recipient report it again.
    mailing.bench.world.crash().await;
    let plan = mailing.plan();
    mailing.bench.world.start(plan).await;
    mailing.news(4, 42 * 60).await;
    assert_eq!(mailing.conditions(), [begun]);
    mailing.bench.hop(seconds(48 * HOUR)).await;
    let ended = "channel.failing resolved go***@example.com";
    assert_eq!(mailing.conditions(), [begun, ended]);
    assert_eq!(mailing.delivered_to(GONE), mailing.delivered_to(OK), "and nothing was dropped");
    assert_eq!(mailing.channel().failing_since(), None);
}

#[tokio::test]
async fn a_recipient_with_lost_mails_does_not_make_the_channel_flap() {
    for class in [OutcomeClass::Ambiguous, OutcomeClass::Retryable, OutcomeClass::Local] {
        let mailing = Mailing::new(move |_| outcome(class)).await;
        mailing.news(30, 42 * 60).await;
        let conditions = mailing.conditions();
        let of_one: Vec<_> =
            conditions.iter().filter(|it| it.ends_with("go***@example.com")).collect();
        assert_eq!(
            of_one,
            ["channel.failing firing go***@example.com"],
            "{class:?}: {conditions:?}"
        );
        assert!(conditions.len() <= 3, "{class:?}: {conditions:?}");
        assert_eq!(mailing.channel().health.state, ChannelState::Active);
        assert_eq!(mailing.delivered_to(OK), 30);
    }
}

#[tokio::test]
async fn a_refusal_of_the_sender_by_one_recipient_is_reported_at_once() {
    let relay = |number| match number {
        1..=200 => said(OutcomeClass::Misconfigured, 550, Scope::Recipient),
        _ => outcome(OutcomeClass::Delivered),
    };
    let mailing = Mailing::new(relay).await;
    mailing.news(1, 60).await;
    assert_eq!(mailing.conditions(), ["channel.failing firing go***@example.com"]);
    let call = &mailing.watch.calls()[0];
    let body: serde_json::Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(body["data"]["reason"], "`h` answered 550: the server's own words");
    // The first of these changes nothing: that avatar is in that status already.
    mailing.news(6, 2 * HOUR).await;
    assert_eq!(mailing.channel().health.state, ChannelState::Active, "hours later");
    assert_eq!((mailing.delivered_to(OK), mailing.conditions().len()), (6, 1));
    mailing.bench.hop(seconds(24 * HOUR)).await;
    assert_eq!(mailing.delivered_to(GONE), 6, "pending mails are sent once it is fixed");
    assert_eq!(mailing.conditions().len(), 2);
}

#[tokio::test]
async fn an_unclear_refusal_ends_when_the_recipient_accepts_another_mail() {
    // The first mail is refused again and again, whatever comes after it is taken.
    let bench = Bench::new();
    let first = Arc::new(std::sync::Mutex::new(None));
    let mail = Post::writing_to(&[GONE], &bench.world.clock, move |_, message| {
        let mut first = first.lock().unwrap();
        let first = first.get_or_insert_with(|| message.delivery_id.clone());
        Answer::Now(if *first == message.delivery_id {
            said(OutcomeClass::Throttled, 550, Scope::Unclear)
        } else {
            outcome(OutcomeClass::Delivered)
        })
    });
    let mut bench = bench;
    bench.start(&[("mail", &mail)]).await;
    bench.settle("a", 1).await;
    bench.hop(seconds(HOUR)).await;
    assert_eq!(bench.states(), ["pending"], "it waits while the refusal is unclear");
    assert!(bench.world.reader().channels().unwrap()[0].failing_since().is_some());
    bench.settle("b", 1).await;
    bench.hop(seconds(2 * HOUR)).await;
    let mut states = bench.states();
    states.sort();
    assert_eq!(states, ["delivered", "failed"], "it was meant for that mail alone");
    assert_eq!(bench.world.reader().channels().unwrap()[0].health.state, ChannelState::Active);
}

#[tokio::test]
async fn a_channel_that_is_down_is_reported_once_not_for_each_recipient() {
    let bench = Bench::new();
    let mail = Post::writing_to(&[OK, GONE], &bench.world.clock, |number, _| {
        now(if number <= 30 { OutcomeClass::Retryable } else { OutcomeClass::Delivered })
    });
    let watch = Post::taking(&bench.world.clock);
    let mailing = Mailing::start(Mailing { bench, mail, watch }).await;
    mailing.news(3, HOUR).await;
    mailing.bench.hop(seconds(72 * HOUR)).await;
    let conditions = mailing.conditions();
    assert_eq!(conditions, ["channel.failing firing -", "channel.failing resolved -"]);
    assert_eq!((mailing.delivered_to(OK), mailing.delivered_to(GONE)), (3, 3));
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

#[tokio::test]
async fn probes_do_not_always_pick_the_failing_recipient() {
    // Three at once are lost, so the channel is only probed; `OK` need not wait for any of them.
    let mailing = Mailing::new(|_| outcome(OutcomeClass::Ambiguous)).await;
    for avatar in ["a", "b", "c"] {
        mailing.bench.gallery.show(&id(avatar), Status::Idle);
    }
    mailing.bench.hop(seconds(HOUR)).await;
    for status in [Status::Refused, Status::Idle] {
        mailing.bench.gallery.show(&id("a"), status);
        mailing.bench.hop(seconds(3 * HOUR)).await;
    }
    assert_eq!(mailing.delivered_to(OK), 5);
}
