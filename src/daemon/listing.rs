//! What the poller does with a list of all avatars of an account.
//!
//! Whoever is in the list as it is known to be was looked at. Whoever waited for it and is not in
//! it, or in it with another status, is looked at singly before anything is concluded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::daemon::admission::folded;
use crate::daemon::errand::{Errand, Returned};
use crate::daemon::lane::Urgency;
use crate::daemon::look::{
    Case, Judged, Looked, Unwritten, judge, not_written, take_up, write, write_first, written_again,
};
use crate::daemon::plan::{Registration, Strategy};
use crate::daemon::poller::Poller;
use crate::daemon::ports::{AvatarSource, Clock, Notifier};
use crate::daemon::roster::Extent;
use crate::domain::account::AccountName;
use crate::domain::avatar::{Avatar, AvatarId};
use crate::domain::key_gate::Welcome;
use crate::domain::listing::Listing;
use crate::domain::moment::Moment;
use crate::domain::observation::{Denial, Fault, Observation};
use crate::domain::vision::Glimpse;
use crate::domain::watch::Watch;
use crate::store::error::{NextStep, StoreError};

impl<S: AvatarSource, N: Notifier, C: Clock> Poller<S, N, C> {
    /// Takes up the outcome of a listing that was asked for at `asked_at`.
    pub(super) async fn take_listing(
        &mut self,
        account: &AccountName,
        listing: Listing,
        asked_at: Moment,
    ) -> Result<(), StoreError> {
        let now = self.tools.clock.moment();
        let Some(lane) = self.lanes.get_mut(account) else { return Ok(()) };
        lane.roster.end(now);
        let whole = matches!(listing, Listing::Shown { .. });
        self.tools.metrics.listed(account, whole, now.since(asked_at));
        let waiting = lane.take_for_list();
        match listing {
            Listing::Unseen(seen) => {
                self.notice(account, &Glimpse::from(&seen));
                if is_about_the_list(&seen) {
                    self.do_without(account, &seen, waiting, now);
                    return Ok(());
                }
                for id in waiting {
                    // They share what was observed, as each of them would have observed it.
                    self.observe(&id, seen.clone(), now);
                }
                Ok(())
            }
            Listing::Shown { avatars, unclear, unusable, page } => {
                self.notice(account, &Glimpse { welcome: Welcome::Answered, dark: None });
                self.say_unusable(account, unusable);
                let extent = self.measure(account, &avatars, page);
                let (unknown, seen) = self.look_through(account, avatars, asked_at);
                let unseen = waiting.iter().filter(|id| !seen.contains(*id));
                unseen.for_each(|id| self.look_singly(id, Urgency::Usual));
                self.discover(account, Found { unknown, unclear }, &extent, asked_at).await
            }
        }
    }

    /// Looks singly at those that waited for a list which the API does not give.
    fn do_without(
        &mut self,
        account: &AccountName,
        seen: &Observation,
        waiting: HashSet<AvatarId>,
        now: Moment,
    ) {
        let Some(lane) = self.lanes.get_mut(account) else { return };
        let wait = lane.roster.shut(now, &self.plan.gate_waits.denied, self.tools.chance.roll());
        let reason = seen.reason().unwrap_or_default();
        warn!(account = %account, "the list of account `{account}` cannot be used, so its avatars \
            are looked at singly; it is asked for again in {wait:?}: {reason}");
        waiting.iter().for_each(|id| self.look_singly(id, Urgency::Usual));
    }

    fn say_unusable(&mut self, account: &AccountName, unusable: usize) {
        let Some(lane) = self.lanes.get_mut(account) else { return };
        if lane.roster.note_unusable(unusable) && unusable > 0 {
            warn!(account = %account, "in the list of account `{account}` are elements that cannot \
                be read: {unusable}; registered avatars among them are looked at singly");
        }
    }

    /// Makes an avatar that is idle ready for a look of its own.
    fn look_singly(&mut self, id: &AvatarId, urgency: Urgency) {
        if !self.idle.contains_key(id) || self.unwritten.contains_key(id) {
            return;
        }
        let Some(registration) = self.registered.get(id) else { return };
        let now = self.tools.clock.moment();
        if let Some(lane) = self.lanes.get_mut(&registration.account) {
            self.due.remove(id);
            lane.ready(id.clone(), urgency, now);
        }
    }

    /// Notes how long the list is, and who is not in it; whether it is whole.
    fn measure(
        &mut self,
        account: &AccountName,
        avatars: &[Avatar],
        page: Option<String>,
    ) -> Extent {
        let listed: HashSet<String> = avatars.iter().map(|avatar| folded(&avatar.id)).collect();
        let ours = self.registered.iter().filter(|(_, it)| it.account == *account);
        let absent = ours.map(|(id, _)| id).filter(|id| !listed.contains(&folded(id))).cloned();
        let absent: HashSet<AvatarId> = absent.collect();
        let now = self.tools.clock.moment();
        let Some(lane) = self.lanes.get_mut(account) else { return Extent::Whole };
        if self.plan.strategy == Strategy::List && !absent.is_empty() {
            // They do not wait for a list, so that nobody may ask for one by which they came back.
            lane.roster.hasten(now.plus(RELIST));
        }
        let extent = lane.roster.take(avatars.len(), page, absent);
        if let Some(doubt) = lane.roster.doubt(&extent) {
            warn!(account = %account, "the list of account `{account}` is taken for one page of a \
                longer one, since {doubt}: whoever is not in it is looked at singly");
        }
        extent
    }

    /// Takes every registered avatar that the list shows as it is known for looked at, and has a
    /// look at those that it shows otherwise: a list may be old. The others, and whoever needs no
    /// further look.
    fn look_through(
        &mut self,
        account: &AccountName,
        avatars: Vec<Avatar>,
        asked_at: Moment,
    ) -> (Vec<Avatar>, HashSet<AvatarId>) {
        let (mut unknown, mut seen) = (Vec::new(), HashSet::new());
        for avatar in avatars {
            let Some(id) = self.folded.get(&folded(&avatar.id)).cloned() else {
                unknown.push(avatar);
                continue;
            };
            let ours = self.registered.get(&id).is_some_and(|it| it.account == *account);
            let (true, Some(watch)) = (ours, self.idle.get(&id)) else { continue };
            let asked_since = self.asked_at.get(&id).is_some_and(|at| *at >= asked_at);
            let unsure = watch.trouble.is_some() || watch.spell.looks > 0;
            if asked_since || unsure {
                // What the last look at it showed is newer, or is about to be confirmed.
                continue;
            }
            seen.insert(id.clone());
            if self.is_as_known(&id, watch, &avatar) {
                let avatar = Avatar { id: id.clone(), ..avatar };
                self.observe(&id, Observation::Seen(Box::new(avatar)), asked_at);
            } else {
                self.look_singly(&id, Urgency::Urgent);
            }
        }
        (unknown, seen)
    }

    /// Whether a list shows no news of an avatar.
    fn is_as_known(&self, id: &AvatarId, watch: &Watch, avatar: &Avatar) -> bool {
        let assumed = self.registered.get(id).and_then(|it| it.assume.as_ref());
        let known = watch.sight.as_ref().map(|sight| &sight.status).or(assumed);
        known.is_none_or(|known| *known == avatar.status)
    }

    /// Takes what was observed of an avatar that nobody is looking at just now.
    fn observe(&mut self, id: &AvatarId, seen: Observation, begin: Moment) {
        if self.unwritten.contains_key(id) {
            return;
        }
        let (Some(watch), Some(case)) = (self.idle.remove(id), self.case(id)) else { return };
        self.lanes.values_mut().for_each(|lane| lane.remove(id));
        let case = Case { forecast: self.forecast(&watch), ..case };
        match judge(&self.tools, &self.plan, &case, watch, seen, begin) {
            Judged::Same(watch, next_poll_in) => self.keep(*watch, begin, next_poll_in),
            Judged::New(unwritten) => self.send_to_be_written(id.clone(), unwritten, begin),
        }
    }

    fn send_to_be_written(&mut self, id: AvatarId, unwritten: Box<Unwritten>, begin: Moment) {
        self.due.remove(&id);
        let tools = self.tools.clone();
        let errand = Errand { avatar: Some(id), ..Errand::default() };
        self.send(errand, async move {
            Returned::Looked(Box::new(write(&tools, unwritten, begin).await))
        });
    }

    /// Registers what the list shows and the config does not name. What the first whole list
    /// shows was there before us; what appears later is new, unless it was watched before.
    async fn discover(
        &mut self,
        account: &AccountName,
        found: Found,
        extent: &Extent,
        asked_at: Moment,
    ) -> Result<(), StoreError> {
        let Some(registration) = self.plan.discovered(account) else { return Ok(()) };
        let Some(lane) = self.lanes.get(account) else { return Ok(()) };
        let known = lane.roster.is_known();
        let is_new = match extent {
            Extent::Whole => known,
            Extent::Page(_) => false,
            // Whether they are new can be told from the next list.
            Extent::Shrunk(_) => return Ok(()),
        };
        let first = *extent == Extent::Whole && !known;
        let registration = Arc::new(registration);
        // Of the first list, those too that it shows nothing of: they are there.
        let unclear = if first { found.unclear } else { Vec::new() };
        let unclear = unclear.into_iter().filter(|id| !self.folded.contains_key(&folded(id)));
        let unclear: Vec<AvatarId> = unclear.collect();
        let (unknown, unclear) = self.within_bounds(account, found.unknown, unclear, first);
        let judged = self.judge_found(unknown, unclear, &registration, is_new, asked_at);
        let found = match judged.await {
            Ok(found) => found,
            Err(failure) if failure.next_step() == NextStep::Retry => {
                not_written(&self.tools, LISTS, &failure);
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        if !first {
            for (id, unwritten) in found {
                info!(avatar.id = %id, "avatar `{id}` of account `{account}` is new in its list, \
                    and watched from now on");
                self.register(&id, &registration);
                self.send_to_be_written(id, unwritten, asked_at);
            }
            return Ok(());
        }
        let ids: Vec<AvatarId> = found.keys().cloned().collect();
        let baseline = found.into_values().collect();
        match write_first(&self.tools, baseline, account, asked_at).await {
            Ok(looks) => {
                let count = ids.len();
                written_again(&self.tools, LISTS);
                info!(account = %account, "avatars in the first list of account `{account}` that \
                    the config does not name, and that are watched from now on: {count}");
                ids.iter().for_each(|id| self.register(id, &registration));
                if let Some(lane) = self.lanes.get_mut(account) {
                    lane.roster.know();
                }
                for looked in looks {
                    let Looked { watch, next_poll_in, .. } = looked;
                    self.keep(watch, asked_at, next_poll_in);
                }
                self.report();
                Ok(())
            }
            Err(failure) if failure.next_step() == NextStep::Retry => {
                not_written(&self.tools, LISTS, &failure);
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// As many of those that were found as may be watched, and of later lists as many as may be
    /// taken up at once: the others come with the next list. A list is a stranger's word, and each
    /// avatar takes memory for as long as it is watched.
    fn within_bounds(
        &self,
        account: &AccountName,
        mut unknown: Vec<Avatar>,
        mut unclear: Vec<AvatarId>,
        first: bool,
    ) -> (Vec<Avatar>, Vec<AvatarId>) {
        let discovered = self.found.len();
        let room = DISCOVERED_MAX.saturating_sub(discovered);
        let number = unknown.len() + unclear.len();
        if number > room {
            warn!(account = %account, "the list of account `{account}` shows {number} avatars \
                that the config does not name, and {discovered} are watched so already: \
                {DISCOVERED_MAX} is the most; name the others in the config");
        }
        let taken = if first { room } else { room.min(DISCOVERED_AT_ONCE) };
        unknown.truncate(taken);
        unclear.truncate(taken - unknown.len());
        (unknown, unclear)
    }

    /// What is to be written of those that were found: what the list shows of them or, where
    /// something is known from before or it shows nothing, only that they are there.
    async fn judge_found(
        &mut self,
        unknown: Vec<Avatar>,
        unclear: Vec<AvatarId>,
        registration: &Arc<Registration>,
        is_new: bool,
        asked_at: Moment,
    ) -> Result<HashMap<AvatarId, Box<Unwritten>>, StoreError> {
        let case = Case {
            registration: Arc::clone(registration),
            is_new,
            discovered: true,
            key_answered_at: None,
            forecast: None,
        };
        let ids = unknown.iter().map(|avatar| &avatar.id).chain(&unclear).cloned().collect();
        let mut shown: HashMap<AvatarId, Avatar> =
            unknown.into_iter().map(|avatar| (avatar.id.clone(), avatar)).collect();
        let mut found = HashMap::new();
        for watch in self.tools.store.watches(ids).await? {
            let id = watch.id.clone();
            let unwritten = match shown.remove(&id).filter(|_| watch.sight.is_none()) {
                None => take_up(&self.tools, &self.plan, &case, watch),
                Some(avatar) => {
                    let seen = Observation::Seen(Box::new(avatar));
                    match judge(&self.tools, &self.plan, &case, watch, seen, asked_at) {
                        Judged::New(unwritten) => unwritten,
                        Judged::Same(..) => continue,
                    }
                }
            };
            found.insert(id, unwritten);
        }
        Ok(found)
    }

    fn register(&mut self, id: &AvatarId, registration: &Arc<Registration>) {
        self.registered.insert(id.clone(), Arc::clone(registration));
        self.folded.insert(folded(id), id.clone());
        self.found.insert(id.clone(), registration.account.clone());
    }
}

/// What a list shows and nobody registered.
struct Found {
    unknown: Vec<Avatar>,
    unclear: Vec<AvatarId>,
}

/// Whether it is the list that the API does not give, and not everything.
fn is_about_the_list(seen: &Observation) -> bool {
    match seen {
        Observation::Denied { denial, .. } => *denial == Denial::Avatar,
        Observation::Failed { fault, .. } => {
            matches!(fault, Fault::Unusable | Fault::Coding | Fault::Wrong)
        }
        Observation::Missing { .. } => true,
        Observation::Seen(_) | Observation::Throttled { .. } => false,
    }
}

/// What the log calls what the first list shows, and who is new in a later one.
const LISTS: &str = "avatars that only a list shows";
/// The most avatars that are watched because a list showed them, of all accounts.
const DISCOVERED_MAX: usize = 10_000;
/// The most that one list after the first adds.
const DISCOVERED_AT_ONCE: usize = 1_000;
/// When the list is asked for again by which avatars may come back that one lacked.
const RELIST: Duration = Duration::from_secs(5 * 60);
