//! The waiter: looks at some avatars of one account until each is decided. What `avatar-watch
//! wait` runs; it has no store and tells no channel.
//!
//! What always holds: the same budget, gate and pace as the poller; an avatar that is decided is
//! not looked at again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::daemon::chance::Chance;
use crate::daemon::due::Due;
use crate::daemon::experience::Experience;
use crate::daemon::lane::{Lane, Turn, Urgency};
use crate::daemon::ports::{AvatarSource, Clock, sleep_until};
use crate::daemon::roster::Roster;
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::cadence::Cadence;
use crate::domain::key_gate::{GateWaits, Welcome};
use crate::domain::moment::Moment;
use crate::domain::observation::Observation;
use crate::domain::vigil::{Verdict, Vigil};
use crate::domain::vision::Vision;
use crate::domain::watch::{Origin, Policy, Sight, Watch};

/// What to wait for, and with what.
#[derive(Debug)]
pub struct Errand<S> {
    /// The account that the avatars are looked at with.
    pub account: AccountName,
    /// Where they are looked at.
    pub source: Arc<S>,
    /// Requests at one time.
    pub max_concurrency: usize,
    /// Requests in one second.
    pub max_per_second: NonZeroU32,
    /// The waits between looks.
    pub cadence: Cadence,
    /// The waits of a key that is throttled.
    pub gate_waits: GateWaits,
    /// What is known of each avatar; none twice, and none with a sight.
    pub watches: Vec<Watch>,
    /// What others saw of them before: it tells only since when they have been so.
    pub seen_before: HashMap<AvatarId, Sight>,
    /// What past trainings tell about when to look.
    pub experience: Experience,
}

/// What became known of an avatar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The avatar, as it is known now.
    pub watch: Watch,
    /// What ended the wait for it, if anything did.
    pub verdict: Option<Verdict>,
    /// Why it was not seen, if the last look did not show it.
    pub reason: Option<String>,
}

/// The waiter's state.
#[derive(Debug)]
pub struct Waiter<S, C: Clock> {
    errand: Errand<S>,
    clock: C,
    chance: Chance,
    lane: Lane<C>,
    due: Due,
    vigils: HashMap<AvatarId, Vigil>,
    looked_at: HashSet<AvatarId>,
    reasons: HashMap<AvatarId, String>,
    seen_before: HashMap<AvatarId, Sight>,
    in_flight: JoinSet<(AvatarId, Observation, Moment)>,
    reports: mpsc::Sender<Report>,
}

impl<S: AvatarSource, C: Clock> Waiter<S, C> {
    /// A waiter that reports the first look at each avatar, what changes, and what is decided.
    pub fn new(
        mut errand: Errand<S>,
        clock: C,
        chance: Chance,
        reports: mpsc::Sender<Report>,
    ) -> Self {
        let now = clock.moment();
        let roster = Roster::new(None, false, now);
        let lane = Lane::new(errand.max_per_second, Vision::after(None), roster, clock.clone());
        let mut due = Due::default();
        let watches = std::mem::take(&mut errand.watches);
        let vigils: HashMap<AvatarId, Vigil> =
            watches.into_iter().map(|watch| (watch.id.clone(), Vigil::new(watch))).collect();
        vigils.keys().for_each(|id| due.set(id.clone(), now, Duration::ZERO));
        Self {
            seen_before: std::mem::take(&mut errand.seen_before),
            errand,
            clock,
            chance,
            lane,
            due,
            vigils,
            looked_at: HashSet::new(),
            reasons: HashMap::new(),
            in_flight: JoinSet::new(),
            reports,
        }
    }

    /// Looks until every avatar is decided, or nobody listens any more.
    pub async fn run(mut self) {
        while !self.vigils.is_empty() && !self.reports.is_closed() {
            let wake_at = self.launch();
            select! {
                Some(done) = self.in_flight.join_next() => match done {
                    Ok((id, seen, asked_at)) => self.take_back(&id, seen, asked_at).await,
                    // A bug of ours: whoever listens is told by the silence.
                    Err(_) => return,
                },
                () = sleep_until(&self.clock, wake_at) => {}
                () = self.reports.closed() => break,
            }
        }
    }

    /// Starts the looks that are due and allowed; when to come back, unless one ends before.
    fn launch(&mut self) -> Option<Moment> {
        let now = self.clock.moment();
        for id in self.due.take(now) {
            self.lane.ready(id, Urgency::Urgent, now);
        }
        let next = self.due.next();
        self.lane.charge(self.errand.source.repeats());
        loop {
            match self.lane.turn(now, self.errand.max_concurrency) {
                Turn::Wait(until) => return [next, until].into_iter().flatten().min(),
                // Nobody asked for a list, and nobody waits for one.
                Turn::List => self.lane.busy = self.lane.busy.saturating_sub(1),
                Turn::Look(id) => {
                    let (source, clock) = (Arc::clone(&self.errand.source), self.clock.clone());
                    self.in_flight.spawn(async move {
                        let seen = source.look(&id, clock.now()).await;
                        (id, seen, now)
                    });
                }
            }
        }
    }

    async fn take_back(&mut self, id: &AvatarId, seen: Observation, asked_at: Moment) {
        self.lane.busy = self.lane.busy.saturating_sub(1);
        let (now, moment, roll) = (self.clock.now(), self.clock.moment(), self.chance.roll());
        let welcome = Welcome::from(&seen);
        let gate = std::mem::take(&mut self.lane.gate);
        self.lane.gate = gate.observe(welcome, moment, &self.errand.gate_waits, roll);
        let Some(vigil) = self.vigils.get_mut(id) else { return };
        let before = vigil.watch().clone();
        let reason = seen.reason().map(str::to_owned);
        let news = self.reasons.get(id) != reason.as_ref();
        match &reason {
            Some(reason) => self.reasons.insert(id.clone(), reason.clone()),
            None => self.reasons.remove(id),
        };
        let cadence = &self.errand.cadence;
        let forecast = self.errand.experience.forecast(before.model.as_ref(), cadence.training);
        let policy = Policy {
            cadence,
            asked_at: now.minus(moment.since(asked_at)),
            infer_unseen_training: true,
            origin: Origin::Unknown,
            label: None,
            account: &self.errand.account,
            place: None,
            overdue_after: None,
            key_answered_at: None,
            forecast: forecast.as_deref(),
        };
        let verdict = match vigil.observe(seen, now, &policy, roll) {
            Ok(verdict) => Some(verdict),
            Err(wait) => {
                let begin = if welcome == Welcome::Answered { asked_at } else { moment };
                self.due.set(id.clone(), begin, wait);
                None
            }
        };
        if let Some(earlier) = self.seen_before.remove(id) {
            vigil.recall(&earlier);
        }
        let watch = vigil.watch().clone();
        if verdict.is_some() {
            self.vigils.remove(id);
        }
        let is_first = self.looked_at.insert(id.clone());
        if is_first || news || verdict.is_some() || differ(&before, &watch) {
            self.tell(watch, verdict.clone(), reason).await;
        }
        if let (Welcome::Refused, Some(verdict)) = (welcome, verdict) {
            // It is the key that is refused, so the others need not try it.
            let others: BTreeMap<AvatarId, Vigil> = self.vigils.drain().collect();
            for vigil in others.into_values() {
                self.tell(vigil.watch().clone(), Some(verdict.clone()), None).await;
            }
        }
    }

    async fn tell(&self, watch: Watch, verdict: Option<Verdict>, reason: Option<String>) {
        // Whoever does not listen any more has seen enough.
        drop(self.reports.send(Report { watch, verdict, reason }).await);
    }
}

fn differ(before: &Watch, after: &Watch) -> bool {
    let status = |watch: &Watch| watch.sight.as_ref().map(|sight| sight.status.clone());
    status(before) != status(after) || before.model != after.model || before.name != after.name
}
