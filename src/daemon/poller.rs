//! The poller: looks at each avatar when it is due, within the budget of its account's key.
//!
//! What always holds: one look at an avatar at a time; an account that is refused, throttled or
//! slow holds up no other. What it knows of an avatar is a copy of its row; only what the disk
//! would not take yet is nowhere else, and is written before anything else is seen of that
//! avatar.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::select;
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error_span, warn};

use crate::daemon::due::Due;
use crate::daemon::errand::{Errand, Returned};
use crate::daemon::experience::{Experience, LESSONS_MAX};
use crate::daemon::lane::{Lane, Turn, Urgency};
use crate::daemon::log_throttle::Key;
use crate::daemon::look::{Case, Tools, Unwritten, look, write_again};
use crate::daemon::plan::{Plan, Registration, Strategy};
use crate::daemon::ports::{AvatarSource, Clock, Notifier};
use crate::daemon::progress::Loop;
use crate::daemon::pulse::Pulse;
use crate::daemon::shutdown::Shutdown;
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::forecast::Forecast;
use crate::domain::moment::Moment;
use crate::domain::status::Status;
use crate::domain::vision::Vision;
use crate::domain::watch::Watch;
use crate::store::error::{NextStep, StoreError};

/// The loop's state.
#[derive(Debug)]
pub struct Poller<S, N, C: Clock> {
    pub(super) tools: Tools<C>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) plan: Arc<Plan<S, N>>,
    pub(super) lanes: BTreeMap<AccountName, Lane<C>>,
    pub(super) registered: HashMap<AvatarId, Arc<Registration>>,
    pub(super) folded: HashMap<String, AvatarId>,
    /// Those that lists showed since the start: they may not be on disk yet.
    pub(super) found: HashMap<AvatarId, AccountName>,
    pub(super) idle: HashMap<AvatarId, Watch>,
    pub(super) unwritten: HashMap<AvatarId, Box<Unwritten>>,
    pub(super) due: Due,
    pub(super) errands: HashMap<Id, Errand>,
    pub(super) in_flight: JoinSet<Returned>,
    pub(super) asked_at: HashMap<AvatarId, Moment>,
    pub(super) hinted: HashSet<AvatarId>,
    pub(super) hints_due: Due,
    pub(super) hints: mpsc::Receiver<AvatarId>,
    pub(super) experience: Experience,
    pub(super) checkpoint_at: Moment,
    /// Cuts off whoever still asks; whoever writes goes on.
    pub(super) cut: CancellationToken,
}

impl<S: AvatarSource, N: Notifier, C: Clock> Poller<S, N, C> {
    /// A poller that knows what was noted before the start. What comes through `hints` is
    /// looked at soon.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn new(
        tools: Tools<C>,
        pulse: Arc<Pulse>,
        plan: Arc<Plan<S, N>>,
        hints: mpsc::Receiver<AvatarId>,
    ) -> Result<Self, StoreError> {
        let lessons = tools.store.lessons(LESSONS_MAX).await?;
        let checkpoint_at = tools.clock.moment();
        let mut poller = Self {
            tools,
            pulse,
            plan,
            lanes: BTreeMap::new(),
            registered: HashMap::new(),
            folded: HashMap::new(),
            found: HashMap::new(),
            idle: HashMap::new(),
            unwritten: HashMap::new(),
            due: Due::default(),
            errands: HashMap::new(),
            in_flight: JoinSet::new(),
            asked_at: HashMap::new(),
            hinted: HashSet::new(),
            hints_due: Due::default(),
            hints,
            experience: Experience::new(lessons),
            checkpoint_at,
            cut: CancellationToken::new(),
        };
        let ground = poller.survey(&Arc::clone(&poller.plan)).await?;
        poller.open_lanes(ground.memories, ground.registered);
        poller.admit_at_start(ground.unknown).await?;
        Ok(poller)
    }

    /// Looks until told to stop; follows new plans.
    ///
    /// # Errors
    /// When the store fails for good.
    pub async fn run(
        mut self,
        mut plans: watch::Receiver<Arc<Plan<S, N>>>,
        stop: Shutdown,
    ) -> Result<(), StoreError> {
        let looked = self.look_on(&mut plans, &stop).await;
        // However it ends, what was observed is written if that can be.
        let drained = self.drain(stop).await;
        looked.and(drained)
    }

    /// Looks until told to stop, or until the store fails for good.
    async fn look_on(
        &mut self,
        plans: &mut watch::Receiver<Arc<Plan<S, N>>>,
        stop: &Shutdown,
    ) -> Result<(), StoreError> {
        // When a plan is taken up that could not be at once.
        let mut adopt_at = None;
        loop {
            let wake_at = self.launch();
            let clock = self.tools.clock.clone();
            select! {
                biased;
                () = stop.graceful.cancelled() => return Ok(()),
                Ok(()) = plans.changed() => adopt_at = Some(clock.moment()),
                Some(done) = self.in_flight.join_next_with_id() => self.take_back(done).await?,
                Some(id) = self.hints.recv() => self.take_hint(&id),
                () = clock.sleep_until(adopt_at.map_or(wake_at, |at| wake_at.min(at))) => {}
            }
            if adopt_at.is_some_and(|at| at <= clock.moment()) {
                let plan = Arc::clone(&plans.borrow_and_update());
                adopt_at = self.try_to_adopt(plan).await?;
            }
            while let Some(done) = self.in_flight.try_join_next_with_id() {
                self.note_turn();
                self.take_back(done).await?;
            }
            self.tell_sights().await?;
        }
    }

    /// Follows a new plan; when to try again, if the store cannot be read just now.
    async fn try_to_adopt(&mut self, plan: Arc<Plan<S, N>>) -> Result<Option<Moment>, StoreError> {
        let adopted = self.adopt(plan).await;
        let (throttle, now) = (&self.tools.throttle, self.tools.clock.moment());
        match adopted {
            Err(failure) if failure.next_step() == NextStep::Retry => {
                if let Some(said) = throttle.record(Key::Writing(PLANS), PLANS, now) {
                    warn!(
                        suppressed = said.suppressed(),
                        "the avatars of the new config are taken up as soon as the database can \
                         be read: {failure}"
                    );
                }
                Ok(Some(now.plus(ADOPT_AGAIN)))
            }
            adopted => {
                throttle.resolve(&Key::Writing(PLANS), now);
                adopted.map(|()| None)
            }
        }
    }

    /// Starts the looks that are due and allowed; the moment to come back, unless a look that
    /// ends comes first.
    fn launch(&mut self) -> Moment {
        let now = self.note_turn();
        for id in self.due.take(now) {
            self.make_ready(id, now);
        }
        for id in self.hints_due.take(now) {
            self.follow_hint(id, now);
        }
        let mut wake_at = earlier(self.due.next(), self.hints_due.next());
        self.pulse.next_look_at.set(wake_at);
        self.report_sight();
        let accounts: Vec<AccountName> = self.lanes.keys().cloned().collect();
        for name in accounts {
            let lane_at = self.launch_lane(&name, now);
            wake_at = earlier(wake_at, lane_at);
        }
        let glance_at = now.plus(GLANCE);
        wake_at.map_or(glance_at, |wake_at| wake_at.min(glance_at))
    }

    /// Notes that the loop goes on; the moment.
    pub(super) fn note_turn(&self) -> Moment {
        let now = self.tools.clock.moment();
        self.pulse.progress.turned(Loop::Poller, now);
        now
    }

    /// Sends what is due on its way: to be written, to be looked at, or to be listed.
    pub(super) fn make_ready(&mut self, id: AvatarId, now: Moment) {
        if let Some(unwritten) = self.unwritten.remove(&id) {
            self.idle.remove(&id);
            self.write_unwritten(id, unwritten);
            return;
        }
        let Some(watch) = self.idle.get(&id) else { return };
        let Some(registration) = self.registered.get(&id) else { return };
        let Some(lane) = self.lanes.get_mut(&registration.account) else { return };
        let singly = watch.spell.looks > 0 || lane.roster.lacks(&id) || !lane.roster.is_open(now);
        if self.plan.strategy == Strategy::List && !singly {
            lane.ready_for_list(id);
        } else {
            lane.ready(id, Urgency::of(watch, self.tools.clock.now()), now);
        }
    }

    fn launch_lane(&mut self, name: &AccountName, now: Moment) -> Option<Moment> {
        loop {
            let account = self.plan.accounts.get(name)?;
            let lane = self.lanes.get_mut(name)?;
            let judge_at = lane.vision.judge_at(account.blind_after);
            let source = Arc::clone(&account.source);
            lane.charge(source.repeats());
            match lane.turn(now, account.max_concurrency) {
                Turn::Wait(until) => return earlier(until, judge_at),
                Turn::List => {
                    let clock = self.tools.clock.clone();
                    let request = self.tools.requests.mint();
                    let span = error_span!("list", account = %name, request.id = request);
                    let account = Some(name.clone());
                    let errand = Errand { account, span, ..Errand::default() };
                    let cut = self.cut.clone();
                    self.send(errand, async move {
                        let asked_at = clock.moment();
                        select! {
                            biased;
                            listing = source.list(clock.now()) => {
                                Returned::Listed(listing, asked_at)
                            }
                            () = cut.cancelled() => Returned::CutOff,
                        }
                    });
                }
                Turn::Look(id) => {
                    let (Some(watch), Some(case)) = (self.idle.remove(&id), self.case(&id)) else {
                        // Who is ready is idle, so this cannot be; a lane must not count it.
                        self.release(name);
                        continue;
                    };
                    self.hinted.remove(&id);
                    self.hints_due.remove(&id);
                    self.asked_at.insert(id.clone(), now);
                    let (tools, plan) = (self.tools.clone(), Arc::clone(&self.plan));
                    let case = Case { forecast: self.forecast(&watch), ..case };
                    let stale = Arc::<AtomicBool>::default();
                    let (known, cut) = (Arc::clone(&stale), self.cut.clone());
                    let task = look(tools, plan, source, case, watch, known, cut);
                    let request = self.tools.requests.mint();
                    let span = error_span!(
                        "look", avatar.id = %id, account = %name, request.id = request
                    );
                    let account = Some(name.clone());
                    let errand = Errand { avatar: Some(id), account, stale, span };
                    self.send(errand, async { Returned::Looked(Box::new(task.await)) });
                }
            }
        }
    }

    fn write_unwritten(&mut self, id: AvatarId, unwritten: Box<Unwritten>) {
        let span = unwritten.span.clone();
        let task = write_again(self.tools.clone(), unwritten);
        let errand = Errand { avatar: Some(id), span, ..Errand::default() };
        self.send(errand, async { Returned::Looked(Box::new(task.await)) });
    }

    /// Sends a task on its errand.
    pub(super) fn send(
        &mut self,
        errand: Errand,
        task: impl Future<Output = Returned> + Send + 'static,
    ) {
        let handle = self.in_flight.spawn(task.instrument(errand.span.clone()));
        self.errands.insert(handle.id(), errand);
    }

    /// What a look at that avatar needs to know; `None` when it is not registered.
    pub(super) fn case(&self, id: &AvatarId) -> Option<Case> {
        let registration = Arc::clone(self.registered.get(id)?);
        let lane = self.lanes.get(&registration.account)?;
        Some(Case {
            registration,
            is_new: false,
            discovered: false,
            key_answered_at: lane.vision.answered_at(),
            forecast: None,
        })
    }

    pub(super) fn forecast(&mut self, watch: &Watch) -> Option<Arc<Forecast>> {
        self.experience.forecast(watch.model.as_ref(), self.plan.cadence.training)
    }

    pub(super) fn report(&self) {
        let count = |test: fn(&Watch) -> bool| self.idle.values().filter(|w| test(w)).count();
        self.pulse.avatars.set(self.registered.len());
        self.pulse.training.set(count(is_training));
        self.pulse.troubled.set(count(|watch| watch.trouble.is_some()));
        self.pulse.keys.set(self.lanes.len());
        self.pulse.blind.set(self.lanes.values().filter(|lane| lane.vision.is_blind()).count());
    }

    fn report_sight(&self) {
        let count = |test: fn(&Vision) -> bool| {
            self.lanes.values().filter(|lane| test(&lane.vision)).count()
        };
        self.pulse.dark.set(count(Vision::is_dark));
        self.pulse.seeing.set(count(|vision| vision.answered_at().is_some() && !vision.is_dark()));
    }
}

fn is_training(watch: &Watch) -> bool {
    watch.sight.as_ref().is_some_and(|sight| sight.status == Status::Training)
}

fn earlier(one: Option<Moment>, other: Option<Moment>) -> Option<Moment> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The loop turns this often even if nothing is due: whoever watches it wants to see it move.
const GLANCE: Duration = Duration::from_secs(30);
/// What the log calls what the store cannot tell of a new plan.
const PLANS: &str = "avatars of new configs";
/// The wait before a plan is taken up again that could not be.
const ADOPT_AGAIN: Duration = Duration::from_secs(1);
