//! A daemon whose way to the API can be broken: the loops on a real store, a fake API over HTTP,
//! an operator's channel that hears everything, and the three promises that most faults share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use avatar_watch::argil::client::{ApiClientSpec, Client};
use avatar_watch::daemon::ports::AvatarSource;
use avatar_watch::daemon::runtime_config::RuntimeConfig;
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
use crate::harness::mail_server::Post;
use crate::harness::plans::{operator, plan, seconds, with_avatar, with_channel};
use crate::harness::world::{Counted, World};

/// The daemon and what is around it.
pub(super) struct Scene {
    pub(super) api: FakeArgil,
    pub(super) world: World<Counted<Line>, Post>,
    pub(super) ops: Arc<Post>,
    pub(super) source: Arc<Counted<Line>>,
}

/// The way to the API, which can be led elsewhere while the daemon runs. It counts the looks,
/// since one that gets nowhere is seen by no server.
pub(super) struct Line {
    client: Mutex<Arc<Client>>,
    looks: Mutex<BTreeMap<AvatarId, usize>>,
}

impl Line {
    fn client(&self) -> Arc<Client> {
        Arc::clone(&self.client.lock().unwrap())
    }
}

impl AvatarSource for Line {
    async fn poll(&self, id: &AvatarId, now: Timestamp) -> Observation {
        *self.looks.lock().unwrap().entry(id.clone()).or_default() += 1;
        let client = self.client();
        client.get_avatar(id, now).await
    }

    async fn list(&self, now: Timestamp) -> ListObservation {
        let client = self.client();
        client.list_avatars(now).await
    }
}

impl Scene {
    /// Nothing runs yet.
    pub(super) fn new() -> Self {
        let (api, world) = (FakeArgil::start(), World::new(1));
        let client = Mutex::new(client(api.base_url().as_str(), PATIENT));
        let line = Line { client, looks: Mutex::default() };
        let source = Arc::new(Counted(line, world.outside.clone()));
        let ops = Post::taking(&world.clock);
        Self { api, world, ops, source }
    }

    /// A plan with these avatars, whose operator is `ops`.
    pub(super) fn plan(&self, avatars: &[&str]) -> RuntimeConfig<Counted<Line>, Post> {
        let plan = plan(Arc::clone(&self.source));
        let plan = operator(with_channel(plan, "ops", &self.ops), "ops");
        avatars.iter().fold(plan, |plan, avatar| with_avatar(plan, avatar, None))
    }

    /// The daemon watches these avatars, each in training, and has looked once.
    pub(super) async fn watching(avatars: &[&str]) -> Self {
        let mut scene = Self::new();
        scene.start(avatars, "TRAINING").await;
        scene
    }

    /// Starts the daemon, with all of these in that status.
    pub(super) async fn start(&mut self, avatars: &[&str], status: &str) {
        self.set_all(avatars, status);
        self.world.start(self.plan(avatars)).await;
        self.world.quiet().await;
    }

    pub(super) fn set_all(&self, avatars: &[&str], status: &str) {
        avatars.iter().for_each(|avatar| self.api.set_status(avatar, status));
    }

    /// From now on the API is asked at that place.
    pub(super) fn lead_to(&self, base_url: &str, timeout: Duration) {
        *self.source.0.client.lock().unwrap() = client(base_url, timeout);
    }

    /// From now on the API is asked where it is.
    pub(super) fn lead_back(&self) {
        self.lead_to(self.api.base_url().as_str(), PATIENT);
    }

    /// How many looks there were at an avatar, those that got nowhere among them.
    pub(super) fn looks(&self, avatar: &str) -> usize {
        let looks = self.source.0.looks.lock().unwrap();
        looks.iter().find(|(id, _)| id.as_str() == avatar).map_or(0, |(_, count)| *count)
    }

    /// How many looks there were at all of these.
    pub(super) fn all_looks(&self, avatars: &[&str]) -> Vec<usize> {
        avatars.iter().map(|avatar| self.looks(avatar)).collect()
    }

    /// Lives for so long, and sees that each of these is looked at once: at the end and no
    /// earlier.
    #[track_caller]
    pub(super) fn expect_look_after(
        &self,
        wait: Duration,
        avatars: &[&str],
    ) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let before = self.all_looks(avatars);
            self.world.live(wait - MOMENT).await;
            assert_eq!(self.all_looks(avatars), before, "looks within {wait:?}, {place}");
            self.world.live(MOMENT).await;
            let expected: Vec<usize> = before.iter().map(|count| count + 1).collect();
            assert_eq!(self.all_looks(avatars), expected, "looks after {wait:?}, {place}");
        }
    }

    /// What is on the disk of an avatar.
    pub(super) fn watch(&self, avatar: &str) -> Watch {
        let watches = self.world.reader().watches().unwrap();
        watches.into_iter().find(|watch| watch.id.as_str() == avatar).unwrap()
    }

    pub(super) fn trouble(&self, avatar: &str) -> Option<PollFailure> {
        self.watch(avatar).failure
    }

    /// Every transition of an avatar as `FROM > TO`, oldest first.
    pub(super) fn history(&self, avatar: &str) -> Vec<String> {
        let id = AvatarId::parse(avatar).unwrap();
        let transitions = self.world.reader().transitions(Some(&id), 1000).unwrap();
        let name = |status: Option<&Status>| status.map_or("-".to_owned(), Status::to_string);
        let line = |from, to: &Status| format!("{} > {to}", name(from));
        transitions.iter().map(|it| line(it.previous.status(), &it.status)).collect()
    }

    /// The messages that `ops` got, oldest first.
    pub(super) fn bodies(&self) -> Vec<Value> {
        let calls = self.ops.calls();
        calls.iter().map(|call| serde_json::from_slice(&call.body).unwrap()).collect()
    }

    /// The same as `type state subject cause`, as far as each message has that.
    pub(super) fn told(&self) -> Vec<String> {
        let told = self.bodies().into_iter().map(|body| {
            let text = |pointer: &str| body.pointer(pointer)?.as_str().map(str::to_owned);
            let subject = text("/data/avatar/id").or_else(|| text("/data/account"));
            let parts = [text("/type"), text("/data/state"), subject, text("/data/cause")];
            parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
        });
        told.collect()
    }

    /// A fault that mends itself never is a status. It backs off; the third time in a row is
    /// trouble, with this reason; nobody is told; and the first sight after it is news.
    pub(super) async fn check_passing(&self, faults: &[(&str, &str)]) {
        let avatars: Vec<&str> = faults.iter().map(|(avatar, _)| *avatar).collect();
        for wait in [5, 2, 4] {
            for (avatar, _) in faults {
                assert_eq!(self.trouble(avatar), None, "`{avatar}`: too early");
            }
            self.expect_look_after(seconds(wait), &avatars).await;
        }
        self.check_trouble(faults, FailureKind::Failed);
        assert_eq!(self.told(), [""; 0]);
        self.api.answer_with(|_| None);
        self.set_all(&avatars, "IDLE");
        self.expect_look_after(seconds(8), &avatars).await;
        self.check_mended(&avatars);
        let mut told = self.told();
        told.sort();
        let mut expected: Vec<String> =
            avatars.iter().map(|avatar| format!("avatar.ready {avatar}")).collect();
        expected.sort();
        assert_eq!(told, expected);
    }

    /// A fault that no wait mends is trouble at once, and is asked about every quarter of an
    /// hour. After half an hour it is told that this avatar alone cannot be seen.
    pub(super) async fn check_lasting(&self, faults: &[(&str, &str)], kind: FailureKind) {
        let avatars: Vec<&str> = faults.iter().map(|(avatar, _)| *avatar).collect();
        self.expect_look_after(seconds(5), &avatars).await;
        self.check_trouble(faults, kind);
        self.expect_look_after(seconds(900), &avatars).await;
        assert_eq!(self.told(), [""; 0]);
        self.expect_look_after(seconds(900), &avatars).await;
        self.check_trouble(faults, kind);
        let expected = |state: &str| -> Vec<String> {
            avatars.iter().map(|avatar| format!("avatar.unreachable {state} {avatar}")).collect()
        };
        let sorted = |mut told: Vec<String>| {
            told.sort();
            told
        };
        assert_eq!(sorted(self.told()), sorted(expected("firing")));
        self.api.answer_with(|_| None);
        self.expect_look_after(seconds(900), &avatars).await;
        assert_eq!(sorted(self.told().split_off(avatars.len())), sorted(expected("resolved")));
        for avatar in avatars {
            assert_eq!(self.trouble(avatar), None, "`{avatar}`");
            assert_eq!(self.history(avatar), ["- > TRAINING"], "`{avatar}`");
        }
    }

    /// A way that nothing must be sent on stops all looks but one, at waits that grow from a
    /// minute; it is told at once and once, with this reason; and it ends when it is right again.
    pub(super) async fn check_wrong_way(&self, avatars: &[&str], reason: &str) {
        self.expect_look_after(seconds(5), avatars).await;
        assert_eq!(self.told(), ["account.unavailable firing argil unreachable"]);
        let said = self.bodies()[0]["data"]["reason"].as_str().unwrap().to_owned();
        assert!(said.contains(reason), "`{said}` does not say `{reason}`");
        let all = || self.all_looks(avatars).iter().sum::<usize>();
        for wait in [60, 120, 240] {
            let before = all();
            self.world.live(seconds(wait) - MOMENT).await;
            assert_eq!(all(), before, "looks within {wait} s");
            self.world.live(MOMENT).await;
            assert_eq!(all(), before + 1, "one look after {wait} s");
        }
        assert_eq!(self.told().len(), 1, "once for all avatars");
        self.check_untouched(avatars);
        self.lead_back();
        self.api.answer_with(|_| None);
        self.set_all(avatars, "IDLE");
        self.world.live(seconds(480)).await;
        self.check_mended(avatars);
        let told = self.told();
        assert!(
            told.contains(&"account.unavailable resolved argil unreachable".to_owned()),
            "{told:?}"
        );
        assert_eq!(told.len(), 2 + avatars.len(), "{told:?}");
    }

    /// Each of these is in that trouble, with that reason, and is known as it was.
    pub(super) fn check_trouble(&self, faults: &[(&str, &str)], kind: FailureKind) {
        for (avatar, reason) in faults {
            let trouble = self.trouble(avatar).unwrap();
            assert_eq!(trouble.kind, kind, "`{avatar}`: {trouble:?}");
            let said = &trouble.reason;
            assert!(said.contains(reason), "`{avatar}`: `{said}` does not say `{reason}`");
            self.check_untouched(&[avatar]);
        }
    }

    /// These are known as they were when they were first seen.
    pub(super) fn check_untouched(&self, avatars: &[&str]) {
        for avatar in avatars {
            let sight = self.watch(avatar).observed.unwrap();
            assert_eq!(sight.status, Status::Training, "`{avatar}`");
            assert_eq!(self.history(avatar), ["- > TRAINING"], "`{avatar}`");
        }
    }

    /// These are in sight again, and had one piece of news.
    pub(super) fn check_mended(&self, avatars: &[&str]) {
        for avatar in avatars {
            assert_eq!(self.trouble(avatar), None, "`{avatar}`");
            assert_eq!(self.history(avatar), ["- > TRAINING", "TRAINING > IDLE"], "`{avatar}`");
        }
    }
}

/// A daemon that watches one avatar for each of these answers, and gets only these from now on;
/// and one more avatar, `good`, about which all is well.
pub(super) async fn given(answers: &[(&str, Answer)]) -> Scene {
    let mut avatars: Vec<&str> = answers.iter().map(|(avatar, _)| *avatar).collect();
    avatars.push("good");
    let scene = Scene::watching(&avatars).await;
    let answers: BTreeMap<String, Answer> =
        answers.iter().map(|(avatar, answer)| ((*avatar).to_owned(), answer.clone())).collect();
    scene.api.answer_with(move |request| answers.get(&request.avatar).cloned());
    scene
}

fn client(base_url: &str, timeout: Duration) -> Arc<Client> {
    let api_key = Secret::new("key");
    let spec = ApiClientSpec { base_url: base_url.parse().unwrap(), api_key, timeout };
    Arc::new(Client::new(spec).unwrap())
}

/// The limit of a look that is meant to end before it.
const PATIENT: Duration = Duration::from_secs(20);
/// The limit of a look that is meant to end at it.
pub(super) const IMPATIENT: Duration = Duration::from_millis(200);
const MOMENT: Duration = Duration::from_millis(1);
