//! The oracle itself: good histories from the simulation, each spoilt in one way that a broken
//! daemon could spoil it, must be found out under the right promise.

use std::sync::OnceLock;
use std::time::Duration;

use avatar_watch::domain::avatar::status::Status;
use avatar_watch::domain::avatar::transition::{Earlier, Previous, Transition};
use avatar_watch::domain::delivery::{DeliveryId, OutcomeClass};
use avatar_watch::domain::id::EventId;
use avatar_watch::domain::random::RandomBits;
use avatar_watch::domain::time::timestamp::Timestamp;

use crate::simulation::history::{Call, ConditionEvent, Delivery, EventRow, History, Poll, Shown};
use crate::simulation::{oracle, simulate};

/// The good history of a seed, as the simulation made it.
fn good(seed: usize) -> History {
    static GOOD: [OnceLock<History>; SEEDS_MAX] = [const { OnceLock::new() }; SEEDS_MAX];
    let history = GOOD[seed].get_or_init(|| simulate(u64::try_from(seed).unwrap()));
    assert_eq!(oracle::judge(history), Vec::<String>::new(), "seed {seed} made no good history");
    history.clone()
}

/// A good history that was spoilt like this is found out, under this promise. Not every history
/// has what can be spoilt; the first that does is taken.
#[track_caller]
fn check(promise: &str, spoil: impl Fn(&mut History) -> Option<()>) {
    let spoilt = (0..SEEDS_MAX).find_map(|seed| {
        let mut history = good(seed);
        spoil(&mut history).map(|()| history)
    });
    let violations = oracle::judge(&spoilt.unwrap());
    let found = violations.iter().any(|violation| violation.starts_with(promise));
    assert!(found, "no {promise} among {violations:#?}");
}

/// A delivery that fits.
fn find(history: &mut History, fits: impl Fn(&Delivery) -> bool) -> Option<&mut Delivery> {
    history.deliveries.iter_mut().find(|delivery| fits(delivery))
}

/// The place of a call that was taken, known to be, and lived on after.
fn taken(history: &History) -> Option<usize> {
    let fits = |call: &Call| call.outlived && call.answered == Some(OutcomeClass::Delivered);
    history.calls.iter().position(fits)
}

/// The first transition that is not a first poll.
fn second(history: &mut History) -> Option<&mut Transition> {
    history.transitions.iter_mut().find(|transition| transition.sequence == 2)
}

/// Whether the transition came from this poll.
fn saw(poll: &Poll, transition: &Transition) -> bool {
    poll.avatar == transition.avatar_id
        && poll.wall == transition.detected_at
        && poll.shown == Some(Shown::Status(transition.status.clone()))
}

/// The index of the poll of the first transition that is not a first poll.
fn origin(history: &mut History) -> Option<usize> {
    let second = second(history)?.clone();
    history.polls.iter().position(|poll| saw(poll, &second))
}

/// The indexes of an attempt and the next one of the same delivery.
fn tried_again(history: &History, fits: impl Fn(&Call, &Call) -> bool) -> Option<(usize, usize)> {
    let calls = &history.calls;
    (0..calls.len()).find_map(|first| {
        let same = |later: &usize| calls[*later].delivery_id == calls[first].delivery_id;
        let later = (first + 1..calls.len()).find(same)?;
        fits(&calls[first], &calls[later]).then_some((first, later))
    })
}

#[test]
fn a_transition_that_is_missing_is_found_out() {
    let lost = |history: &mut History| {
        // A poll during a crash may leave no transition.
        let outlived =
            |t: &Transition| history.polls.iter().any(|poll| poll.outlived && saw(poll, t));
        let last = history.transitions.iter().rposition(|t| t.sequence > 1 && outlived(t))?;
        history.transitions.remove(last);
        Some(())
    };
    check("LOST", lost);
    check("I9", lost);
    check("I2", |history| {
        let with_third = history.transitions.iter().find(|t| t.sequence == 3)?.avatar_id.clone();
        history.transitions.retain(|t| t.avatar_id != with_third || t.sequence != 2);
        Some(())
    });
}

#[test]
fn a_transition_that_was_never_shown_is_found_out() {
    check("I7", |history| {
        let mut invented = history.transitions.last()?.clone();
        invented.sequence += 1;
        invented.previous =
            Previous::Observed { status: invented.status.clone(), at: invented.detected_at };
        invented.status = Status::Unrecognized("INVENTED".to_owned());
        history.transitions.push(invented);
        Some(())
    });
    check("I7", |history| {
        let poll = origin(history)?;
        history.polls[poll].shown = Some(Shown::Nothing);
        Some(())
    });
    check("I7", |history| {
        second(history)?.detected_at = Timestamp::from_millis(7);
        Some(())
    });
}

#[test]
fn a_transition_with_a_past_that_was_not_is_found_out() {
    check("I7", |history| {
        let Previous::Observed { at, .. } = &mut second(history)?.previous else { return None };
        *at = Timestamp::from_millis(at.as_millis() + 1);
        Some(())
    });
    check("I2", |history| {
        let Previous::Observed { status, .. } = &mut second(history)?.previous else { return None };
        *status = Status::Unrecognized("NEVER".to_owned());
        Some(())
    });
}

#[test]
fn an_event_that_is_missing_doubled_or_of_another_kind_is_found_out() {
    check("I3", |history| history.events.pop().map(drop));
    check("I3", |history| {
        let again = history.events.first()?.clone();
        history.events.push(again);
        Some(())
    });
    check("I3", |history| {
        history.events.first_mut()?.kind = "test.ping".to_owned();
        Some(())
    });
    check("I7", |history| {
        let mut invented = history.events.first()?.clone();
        invented.sequence = 1000;
        history.events.push(invented);
        Some(())
    });
}

#[test]
fn a_delivery_to_a_channel_that_is_for_other_avatars_is_found_out() {
    check("I3", |history| {
        let channels = history.plans.iter_mut().flat_map(|plan| plan.channels.values_mut());
        channels.for_each(|channel| channel.for_tagged = !channel.for_tagged);
        Some(())
    });
}

#[test]
fn an_unreported_outcome_after_an_unknown_status_is_found_out() {
    /// An outcome that did not come straight from the training that was seen.
    fn roundabout(history: &mut History, earlier: Earlier) -> Option<&mut Transition> {
        history.transitions.iter_mut().find(|it| it.earlier == Some(earlier))
    }
    for earlier in [Earlier::Observed, Earlier::Assumed] {
        check("I3", |history| {
            let outcome = roundabout(history, earlier)?.clone();
            let notified = |it: &&mut EventRow| {
                it.avatar == outcome.avatar_id && it.sequence == outcome.sequence
            };
            history.events.iter_mut().find(notified)?.kind = "avatar.status_changed".to_owned();
            Some(())
        });
        check("TRAINED", |history| {
            let outcome = roundabout(history, earlier)?;
            outcome.earlier = (earlier == Earlier::Assumed).then_some(Earlier::Observed);
            Some(())
        });
    }
    check("TRAINED", |history| {
        let straight = |it: &&mut Transition| it.earlier.is_none() && it.status == Status::Idle;
        let untrained = |it: &Transition| it.previous.status() == Some(&Status::NotTrained);
        history.transitions.iter_mut().filter(straight).find(|it| untrained(it))?.earlier =
            Some(Earlier::Observed);
        Some(())
    });
}

#[test]
fn an_unknown_status_that_is_not_notified_or_notified_twice_is_found_out() {
    let begun = |history: &History| {
        let fits =
            |it: &ConditionEvent| it.kind == "avatar.status_unrecognized" && it.state == "firing";
        history.conditions.iter().position(fits)
    };
    check("CONDITION avatar.status_unrecognized", |history| {
        let place = begun(history)?;
        history.conditions.remove(place);
        Some(())
    });
    check("CONDITION avatar.status_unrecognized", |history| {
        let again = history.conditions[begun(history)?].clone();
        history.conditions.push(again);
        Some(())
    });
    check("I7 avatar.status_unrecognized", |history| {
        let place = begun(history)?;
        history.conditions[place].status = Some("IDLE".to_owned());
        Some(())
    });
}

#[test]
fn a_delivery_that_is_missing_or_doubled_is_found_out() {
    check("I3", |history| {
        let scheduled = history.deliveries.iter().position(|d| d.row.replay == 0)?;
        history.deliveries.remove(scheduled);
        Some(())
    });
    check("I3", |history| {
        let mut again = find(history, |delivery| delivery.row.replay == 0)?.clone();
        again.row.id = fresh_id();
        history.deliveries.push(again);
        Some(())
    });
    check("I3", |history| {
        find(history, |delivery| delivery.row.replay > 0)?;
        history.manual.clear();
        Some(())
    });
}

#[test]
fn a_delivery_that_ended_without_being_notified_is_found_out() {
    check("I4", |history| {
        let call = taken(history)?;
        let id = history.calls[call].delivery_id.clone();
        history.calls.retain(|call| call.delivery_id != id);
        Some(())
    });
    check("I4", |history| {
        find(history, |delivery| delivery.row.state == "dead")?.row.final_reason = None;
        Some(())
    });
    check("I4", |history| {
        let call = taken(history)?;
        let id = history.calls[call].delivery_id.clone();
        let notified = find(history, |delivery| delivery.row.id == id)?;
        notified.row.state = "dead".to_owned();
        notified.row.final_reason = Some("invented".to_owned());
        Some(())
    });
    check("I4", |history| {
        let manual = history.manual.clone();
        let own = find(history, |delivery| !manual.contains(&delivery.row.id))?;
        own.row.state = "cancelled".to_owned();
        Some(())
    });
    check("I9", |history| {
        history.deliveries.first_mut()?.row.state = "pending".to_owned();
        Some(())
    });
}

#[test]
fn a_repeat_with_other_bytes_or_without_a_reason_is_found_out() {
    check("I5", |history| {
        let call = taken(history)?;
        history.calls[call].body.push(b' ');
        Some(())
    });
    check("I5", |history| {
        let (_, later) = tried_again(history, |_, _| true)?;
        history.calls[later].event_id = EventId::parse("evt_other").ok()?;
        Some(())
    });
    check("I6", |history| {
        let call = taken(history)?;
        let again = history.calls[call].clone();
        history.calls.insert(call + 1, again);
        Some(())
    });
    check("I6", |history| {
        // A crash is an excuse only when it came before the answer could be written down.
        let call = taken(history)?;
        let mut again = history.calls[call].clone();
        again.boot += 1;
        history.calls.insert(call + 1, again);
        Some(())
    });
}

#[test]
fn a_message_that_overtook_another_is_found_out() {
    check("ORDER", |history| {
        let line = |call: &Call| {
            let delivery = history.deliveries.iter().find(|d| d.row.id == call.delivery_id)?;
            Some((&delivery.row.channel, &delivery.row.recipient, &delivery.row.ordering_key))
        };
        let calls = &history.calls;
        let (first, later) = (0..calls.len()).find_map(|first| {
            let overtaken = |later: &usize| {
                line(&calls[*later]) == line(&calls[first])
                    && calls[*later].delivery_id != calls[first].delivery_id
            };
            (first + 1..calls.len()).find(overtaken).map(|later| (first, later))
        })?;
        history.calls.swap(first, later);
        Some(())
    });
}

#[test]
fn an_attempt_without_a_row_and_a_row_without_an_attempt_are_found_out() {
    check("ATTEMPT", |history| {
        let call = taken(history)?;
        let id = history.calls[call].delivery_id.clone();
        find(history, |delivery| delivery.row.id == id)?.attempts.pop().map(drop)
    });
    check("ATTEMPT", |history| {
        let call = taken(history)?;
        history.calls.remove(call);
        Some(())
    });
    check("I7", |history| {
        history.calls.first_mut()?.delivery_id = fresh_id();
        Some(())
    });
}

#[test]
fn a_condition_that_is_lost_doubled_or_invented_is_found_out() {
    check("CONDITION", |history| {
        let ended = history.conditions.iter().position(|event| event.state == "resolved")?;
        history.conditions.remove(ended);
        Some(())
    });
    check("CONDITION", |history| {
        let again = history.conditions.first()?.clone();
        history.conditions.insert(1, again);
        Some(())
    });
    check("CONDITION", |history| {
        let outage = ("account.unavailable".to_owned(), "account argil".to_owned());
        history.holding.insert(outage).then_some(())
    });
    check("I3", |history| {
        let notified = &history.conditions.first()?.id;
        let place = history.deliveries.iter().position(|d| d.row.event_id == *notified)?;
        history.deliveries.remove(place);
        Some(())
    });
    check("I7", |history| {
        let about_avatar = |event: &&mut ConditionEvent| event.kind.starts_with("avatar.");
        history.conditions.iter_mut().find(about_avatar)?.at = Some(Timestamp::from_millis(7));
        Some(())
    });
    check("I9", |history| {
        let missing = history.conditions.iter().find(|event| event.kind == "avatar.missing")?;
        history.holding.insert((missing.kind.clone(), missing.subject.clone()));
        Some(())
    });
}

#[test]
fn a_request_that_breaks_a_limit_is_found_out() {
    check("I8", |history| {
        let poll = history.polls.first_mut()?;
        poll.others = vec![poll.avatar.clone()];
        Some(())
    });
    check("I8", |history| {
        let plan = history.polls.first()?.plan;
        history.plans[plan].max_concurrency = 0;
        Some(())
    });
    check("I8", |history| {
        let plan = history.polls.first()?.plan;
        history.plans[plan].max_requests_per_second = 0;
        Some(())
    });
    check("I8", |history| {
        let first = history.polls.first()?.clone();
        let fits = |poll: &&Poll| {
            (poll.boot, poll.plan) == (first.boot, first.plan) && poll.begun_at > first.ended_at
        };
        let later = history.polls.iter().rfind(fits)?.begun_at;
        let wait = later.since(first.ended_at) + Duration::from_secs(1);
        history.polls.first_mut()?.shown = Some(Shown::Throttled(wait));
        Some(())
    });
    check("I8", |history| {
        let heard = |before: &Call, after: &Call| {
            let own = !history.manual.contains(&after.delivery_id);
            own && before.outlived && before.jumps == after.jumps
        };
        let (first, _) = tried_again(history, heard)?;
        history.calls[first].retry_after = Some(Duration::from_secs(1 << 30));
        Some(())
    });
}

fn fresh_id() -> DeliveryId {
    DeliveryId::mint(Timestamp::from_millis(0), RandomBits::new(0))
}

/// Seeds that are tried for a history that has what can be spoilt. The rarest (a training that ends
/// through an unknown status) is in one of some thirty histories, and which ones have it depends on
/// the order in which the machine runs what is due at the same time. Only the needed ones are run.
const SEEDS_MAX: usize = 400;
