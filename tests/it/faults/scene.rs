//! A daemon with an API connection that can be broken: the loops on a real store, a fake API over
//! HTTP, an operator channel for all events, and the three checks that most faults share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use avatar_watch::argil::client::{ApiClientSpec, Client};
use avatar_watch::daemon::config::runtime_config::RuntimeConfig;
use avatar_watch::daemon::ports::AvatarSource;
use avatar_watch::domain::avatar::AvatarId;
use avatar_watch::domain::avatar::status::Status;
use avatar_watch::domain::polling::list_observation::ListObservation;
use avatar_watch::domain::polling::observation::Observation;
use avatar_watch::domain::polling::poll_failure::{FailureKind, PollFailure};
use avatar_watch::domain::polling::watch::Watch;
use avatar_watch::domain::time::timestamp::Timestamp;
use avatar_watch::secret::Secret;
use serde_json::Value;

use crate::harness::argil::{Answer, FakeArgil};
use crate::harness::fake_notifier::FakeNotifier;
use crate::harness::plans::{operator, plan, seconds, with_avatar, with_channel};
use crate::harness::world::{Counted, World};

/// The daemon and its surroundings.
pub(super) struct Scene {
    pub(super) api: FakeArgil,
    pub(super) world: World<Counted<Redirectable>, FakeNotifier>,
    pub(super) ops: Arc<FakeNotifier>,
    pub(super) source: Arc<Counted<Redirectable>>,
}

/// A client that can be redirected to another address while the daemon runs. It counts polls, since
/// no server sees one that fails to connect.
pub(super) struct Redirectable {
    client: Mutex<Arc<Client>>,
    polls: Mutex<BTreeMap<AvatarId, usize>>,
}

impl Redirectable {
    fn client(&self) -> Arc<Client> {
        Arc::clone(&self.client.lock().unwrap())
    }
}

impl AvatarSource for Redirectable {
    async fn poll(&self, id: &AvatarId, now: Timestamp) -> Observation {
        *self.polls.lock().unwrap().entry(id.clone()).or_default() += 1;
        let client = self.client();
        client.get_avatar(id, now).await
    }

    async fn list(&self, now: Timestamp) -> ListObservation {
        let client = self.client();
        client.list_avatars(now).await
    }
}

impl Scene {
    /// Creates the scene; nothing runs yet.
    pub(super) fn new() -> Self {
        let (api, world) = (FakeArgil::start(), World::new(1));
        let client = Mutex::new(client(api.base_url().as_str(), LONG_TIMEOUT));
        let redirectable = Redirectable { client, polls: Mutex::default() };
        let source = Arc::new(Counted(redirectable, world.outside.clone()));
        let ops = FakeNotifier::taking(&world.clock);
        Self { api, world, ops, source }
    }

    /// A config with these avatars, and `ops` as operator channel.
    pub(super) fn config(
        &self,
        avatars: &[&str],
    ) -> RuntimeConfig<Counted<Redirectable>, FakeNotifier> {
        let config = plan(Arc::clone(&self.source));
        let config = operator(with_channel(config, "ops", &self.ops), "ops");
        avatars.iter().fold(config, |config, avatar| with_avatar(config, avatar, None))
    }

    /// The daemon watches these avatars, each in training, and has polled once.
    pub(super) async fn watching(avatars: &[&str]) -> Self {
        let mut scene = Self::new();
        scene.start(avatars, "TRAINING").await;
        scene
    }

    /// Starts the daemon, with all of these in that status.
    pub(super) async fn start(&mut self, avatars: &[&str], status: &str) {
        self.api.set_all(avatars, status);
        self.world.start(self.config(avatars)).await;
        self.world.quiet().await;
    }

    /// Redirects requests to that address.
    pub(super) fn redirect_to(&self, base_url: &str, timeout: Duration) {
        *self.source.0.client.lock().unwrap() = client(base_url, timeout);
    }

    /// Redirects requests to the API.
    pub(super) fn redirect_back(&self) {
        self.redirect_to(self.api.base_url().as_str(), LONG_TIMEOUT);
    }

    /// The number of polls of an avatar, including those that failed to connect.
    pub(super) fn polls(&self, avatar: &str) -> usize {
        let polls = self.source.0.polls.lock().unwrap();
        polls.iter().find(|(id, _)| id.as_str() == avatar).map_or(0, |(_, count)| *count)
    }

    /// The number of polls of each of these.
    pub(super) fn all_polls(&self, avatars: &[&str]) -> Vec<usize> {
        avatars.iter().map(|avatar| self.polls(avatar)).collect()
    }

    /// Runs for `wait`, and checks that each of these is polled once: at the end and not earlier.
    #[track_caller]
    pub(super) fn expect_poll_after(
        &self,
        wait: Duration,
        avatars: &[&str],
    ) -> impl Future<Output = ()> {
        let location = std::panic::Location::caller();
        async move {
            let before = self.all_polls(avatars);
            self.world.live(wait - INSTANT).await;
            assert_eq!(self.all_polls(avatars), before, "polls within {wait:?}, {location}");
            self.world.live(INSTANT).await;
            let expected: Vec<usize> = before.iter().map(|count| count + 1).collect();
            assert_eq!(self.all_polls(avatars), expected, "polls after {wait:?}, {location}");
        }
    }

    /// The stored watch of an avatar.
    pub(super) fn watch(&self, avatar: &str) -> Watch {
        let watches = self.world.reader().watches().unwrap();
        watches.into_iter().find(|watch| watch.id.as_str() == avatar).unwrap()
    }

    pub(super) fn failure(&self, avatar: &str) -> Option<PollFailure> {
        self.watch(avatar).failure
    }

    /// Every transition of an avatar as `FROM > TO`, oldest first.
    pub(super) fn history(&self, avatar: &str) -> Vec<String> {
        let all = self.world.history().into_iter();
        all.filter_map(|it| Some(it.strip_prefix(&format!("{avatar}: "))?.to_owned())).collect()
    }

    /// The messages that `ops` received, oldest first.
    pub(super) fn bodies(&self) -> Vec<Value> {
        let calls = self.ops.calls();
        calls.iter().map(|call| call.json()).collect()
    }

    /// Checks a transient fault: it is no status; polls back off; the third consecutive one is a
    /// failure, with this reason; nothing is notified; and the first success after it is an event.
    pub(super) async fn check_passing(&self, faults: &[(&str, &str)]) {
        let avatars: Vec<&str> = faults.iter().map(|(avatar, _)| *avatar).collect();
        for wait in [5, 2, 4] {
            for (avatar, _) in faults {
                assert_eq!(self.failure(avatar), None, "`{avatar}`: too early");
            }
            self.expect_poll_after(seconds(wait), &avatars).await;
        }
        self.check_failure(faults, FailureKind::Failed);
        assert_eq!(self.ops.notified(), [""; 0]);
        self.api.answer_with(|_| None);
        self.api.set_all(&avatars, "IDLE");
        self.expect_poll_after(seconds(8), &avatars).await;
        self.check_recovered(&avatars);
        let expected = avatars.iter().map(|avatar| format!("avatar.ready {avatar}")).collect();
        assert_eq!(sorted(self.ops.notified()), sorted(expected));
    }

    /// Checks a permanent fault: it is a failure at once, and is polled every 15 minutes. After 30
    /// minutes the avatar is reported as unreachable.
    pub(super) async fn check_permanent(&self, faults: &[(&str, &str)], kind: FailureKind) {
        let avatars: Vec<&str> = faults.iter().map(|(avatar, _)| *avatar).collect();
        self.expect_poll_after(seconds(5), &avatars).await;
        self.check_failure(faults, kind);
        self.expect_poll_after(seconds(900), &avatars).await;
        assert_eq!(self.ops.notified(), [""; 0]);
        self.expect_poll_after(seconds(900), &avatars).await;
        self.check_failure(faults, kind);
        let expected = |state: &str| -> Vec<String> {
            avatars.iter().map(|avatar| format!("avatar.unreachable {state} {avatar}")).collect()
        };
        assert_eq!(sorted(self.ops.notified()), sorted(expected("firing")));
        self.api.answer_with(|_| None);
        self.expect_poll_after(seconds(900), &avatars).await;
        assert_eq!(
            sorted(self.ops.notified().split_off(avatars.len())),
            sorted(expected("resolved"))
        );
        for avatar in avatars {
            assert_eq!(self.failure(avatar), None, "`{avatar}`");
            assert_eq!(self.history(avatar), ["- > TRAINING"], "`{avatar}`");
        }
    }

    /// Checks a misconfigured endpoint: all polls but one stop, with delays that grow from a
    /// minute; it is reported at once and once, with this reason, and resolved when it works again.
    pub(super) async fn check_misrouted(&self, avatars: &[&str], reason: &str) {
        self.expect_poll_after(seconds(5), avatars).await;
        assert_eq!(self.ops.notified(), ["account.unavailable firing argil unreachable"]);
        let said = self.bodies()[0]["data"]["reason"].as_str().unwrap().to_owned();
        assert!(said.contains(reason), "`{said}` does not say `{reason}`");
        let all = || self.all_polls(avatars).iter().sum::<usize>();
        for wait in [60, 120, 240] {
            let before = all();
            self.world.live(seconds(wait) - INSTANT).await;
            assert_eq!(all(), before, "polls within {wait} s");
            self.world.live(INSTANT).await;
            assert_eq!(all(), before + 1, "one poll after {wait} s");
        }
        assert_eq!(self.ops.notified().len(), 1, "once for all avatars");
        self.check_untouched(avatars);
        self.redirect_back();
        self.api.answer_with(|_| None);
        self.api.set_all(avatars, "IDLE");
        self.world.live(seconds(480)).await;
        self.check_available(avatars);
    }

    /// Checks that these have recovered, and that this is notified, and once that the API has.
    pub(super) fn check_available(&self, avatars: &[&str]) {
        self.check_recovered(avatars);
        let notified = self.ops.notified();
        assert!(
            notified.contains(&"account.unavailable resolved argil unreachable".to_owned()),
            "{notified:?}"
        );
        assert_eq!(notified.len(), 2 + avatars.len(), "{notified:?}");
    }

    /// Checks that each of these has that failure, with that reason, and its old status.
    pub(super) fn check_failure(&self, faults: &[(&str, &str)], kind: FailureKind) {
        for (avatar, reason) in faults {
            let failure = self.failure(avatar).unwrap();
            assert_eq!(failure.kind, kind, "`{avatar}`: {failure:?}");
            let said = &failure.reason;
            assert!(said.contains(reason), "`{avatar}`: `{said}` does not say `{reason}`");
            assert!(!said.contains("/avatars"), "a URL is in `{said}`");
            self.check_untouched(&[avatar]);
        }
    }

    /// Checks that these have the status of their first poll.
    pub(super) fn check_untouched(&self, avatars: &[&str]) {
        for avatar in avatars {
            let observed = self.watch(avatar).observed.unwrap();
            assert_eq!(observed.status, Status::Training, "`{avatar}`");
            assert_eq!(self.history(avatar), ["- > TRAINING"], "`{avatar}`");
        }
    }

    /// Checks that these have no failure, and one transition.
    pub(super) fn check_recovered(&self, avatars: &[&str]) {
        for avatar in avatars {
            assert_eq!(self.failure(avatar), None, "`{avatar}`");
            assert_eq!(self.history(avatar), ["- > TRAINING", "TRAINING > IDLE"], "`{avatar}`");
        }
    }
}

/// A daemon that watches one avatar for each of these responses, which it gets from now on; and one
/// more avatar, `good`, with valid responses.
pub(super) async fn given(answers: &[(&str, Answer)]) -> Scene {
    let mut avatars: Vec<&str> = answers.iter().map(|(avatar, _)| *avatar).collect();
    avatars.push("good");
    let scene = Scene::watching(&avatars).await;
    let answers: BTreeMap<String, Answer> =
        answers.iter().map(|(avatar, answer)| ((*avatar).to_owned(), answer.clone())).collect();
    scene.api.answer_with(move |request| answers.get(&request.avatar).cloned());
    scene
}

pub(super) fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

fn client(base_url: &str, timeout: Duration) -> Arc<Client> {
    let api_key = Secret::new("key");
    let spec = ApiClientSpec { base_url: base_url.parse().unwrap(), api_key, timeout };
    Arc::new(Client::new(spec).unwrap())
}

/// The timeout of a poll that should end before it.
const LONG_TIMEOUT: Duration = Duration::from_secs(20);
/// The timeout of a poll that should end at it.
pub(super) const SHORT_TIMEOUT: Duration = Duration::from_millis(200);
const INSTANT: Duration = Duration::from_millis(1);
