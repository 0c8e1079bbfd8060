//! What the poller does with a list of all avatars of an account.
//!
//! Whoever is in the list was looked at. Whoever waited for it and is not in it is looked at
//! singly, before anything is concluded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tracing::{info, warn};

use crate::daemon::admission::folded;
use crate::daemon::lane::Urgency;
use crate::daemon::look::{Case, Judged, Looked, Unwritten, judge, write, write_first};
use crate::daemon::plan::Registration;
use crate::daemon::poller::{Errand, Poller, Returned};
use crate::daemon::ports::{AvatarSource, Clock, Notifier};
use crate::daemon::roster::Extent;
use crate::domain::account::AccountName;
use crate::domain::avatar::{Avatar, AvatarId};
use crate::domain::key_gate::Welcome;
use crate::domain::listing::Listing;
use crate::domain::moment::Moment;
use crate::domain::observation::Observation;
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
        let waiting = lane.take_for_list();
        match listing {
            Listing::Unseen(seen) => {
                self.notice(account, &Glimpse::from(&seen));
                for id in waiting {
                    // They share what was observed, as each of them would have observed it.
                    self.observe(&id, seen.clone(), now);
                }
                Ok(())
            }
            Listing::Shown { avatars, unusable, page } => {
                self.notice(account, &Glimpse { welcome: Welcome::Answered, dark: None });
                if unusable > 0 {
                    warn!(account = %account, "{unusable} avatars in the list of account \
                        `{account}` cannot be read; they are looked at singly");
                }
                let extent = self.measure(account, &avatars, page);
                let unknown = self.look_through(account, avatars, asked_at);
                for id in waiting.iter().filter(|id| self.idle.contains_key(id)) {
                    let Some(lane) = self.lanes.get_mut(account) else { break };
                    if lane.roster.lacks(id) {
                        lane.ready(id.clone(), Urgency::Usual, now);
                    }
                }
                self.discover(account, unknown, &extent, asked_at).await
            }
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
        let Some(lane) = self.lanes.get_mut(account) else { return Extent::Whole };
        let extent = lane.roster.take(avatars.len(), page, absent);
        if let Some(doubt) = lane.roster.doubt(&extent) {
            warn!(account = %account, "the list of account `{account}` is taken for one page of a \
                longer one, since {doubt}: whoever is not in it is looked at singly");
        }
        extent
    }

    /// Takes every registered avatar of the list as looked at; the others.
    fn look_through(
        &mut self,
        account: &AccountName,
        avatars: Vec<Avatar>,
        asked_at: Moment,
    ) -> Vec<Avatar> {
        let mut unknown = Vec::new();
        for avatar in avatars {
            let Some(id) = self.folded.get(&folded(&avatar.id)).cloned() else {
                unknown.push(avatar);
                continue;
            };
            let ours = self.registered.get(&id).is_some_and(|it| it.account == *account);
            if ours {
                let avatar = Avatar { id: id.clone(), ..avatar };
                self.observe(&id, Observation::Seen(Box::new(avatar)), asked_at);
            }
        }
        unknown
    }

    /// Takes what was observed of an avatar that nobody is looking at just now.
    fn observe(&mut self, id: &AvatarId, seen: Observation, begin: Moment) {
        if self.unwritten.contains_key(id) {
            return;
        }
        let (Some(watch), Some(case)) = (self.idle.remove(id), self.case(id)) else { return };
        self.lanes.values_mut().for_each(|lane| lane.remove(id));
        let case = Case { forecast: self.forecast(&watch), ..case };
        match judge(&self.tools, &self.plan, &case, watch, seen) {
            Judged::Same(watch, next_poll_in) => self.keep(*watch, begin, next_poll_in),
            Judged::New(unwritten) => self.send_to_be_written(id.clone(), unwritten, begin),
        }
    }

    fn send_to_be_written(&mut self, id: AvatarId, unwritten: Box<Unwritten>, begin: Moment) {
        self.due.remove(&id);
        let tools = self.tools.clone();
        let handle = self.in_flight.spawn(async move {
            Returned::Looked(Box::new(write(&tools, unwritten, begin).await))
        });
        self.errands.insert(handle.id(), Errand { avatar: Some(id), account: None });
    }

    /// Registers what the list shows and the config does not name. What the first whole list
    /// shows was there before us; what appears later is new.
    async fn discover(
        &mut self,
        account: &AccountName,
        unknown: Vec<Avatar>,
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
        let found = self.judge_found(unknown, &registration, is_new);
        if !first {
            for (id, unwritten) in found {
                info!(avatar.id = %id, "avatar `{id}` of account `{account}` is new, and \
                    watched from now on");
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
                warn!(account = %account, "the first list of account `{account}` is not written \
                    yet: {failure}");
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    fn judge_found(
        &mut self,
        unknown: Vec<Avatar>,
        registration: &Arc<Registration>,
        is_new: bool,
    ) -> HashMap<AvatarId, Box<Unwritten>> {
        let mut found = HashMap::new();
        for avatar in unknown {
            let id = avatar.id.clone();
            let case = Case {
                registration: Arc::clone(registration),
                is_new,
                discovered: true,
                key_answered_at: None,
                forecast: None,
            };
            let seen = Observation::Seen(Box::new(avatar));
            let watch = Watch::new(id.clone());
            if let Judged::New(unwritten) = judge(&self.tools, &self.plan, &case, watch, seen) {
                found.insert(id, unwritten);
            }
        }
        found
    }

    fn register(&mut self, id: &AvatarId, registration: &Arc<Registration>) {
        self.registered.insert(id.clone(), Arc::clone(registration));
        self.folded.insert(folded(id), id.clone());
    }
}
