//! The part of the oracle that judges manners towards the API: I8.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::simulation::history::{History, Poll, Shown};

pub(super) fn judge(history: &History, wrongs: &mut Vec<String>) {
    let mut by_plan: BTreeMap<(usize, usize), Vec<&Poll>> = BTreeMap::new();
    for poll in &history.polls {
        let most = history.plans[poll.plan].max_concurrency;
        if poll.others.len() >= most {
            wrongs.push(format!("I8 {} polls beside one, {most} allowed", poll.others.len()));
        }
        if poll.others.contains(&poll.avatar) {
            wrongs.push(format!("I8 two polls of `{}` at once", poll.avatar));
        }
        by_plan.entry((poll.boot, poll.plan)).or_default().push(poll);
    }
    for ((_, plan), polls) in by_plan {
        rate(history.plans[plan].max_requests_per_second, &polls, wrongs);
        retry_after(&polls, wrongs);
    }
}

/// In no second more than allowed.
fn rate(per_second: usize, polls: &[&Poll], wrongs: &mut Vec<String>) {
    for (number, poll) in polls.iter().enumerate() {
        let second = polls[number..]
            .iter()
            .take_while(|later| later.begun_at.since(poll.begun_at) < Duration::from_secs(1));
        let count = second.count();
        if count > per_second {
            wrongs.push(format!("I8 {count} requests in a second, {per_second} allowed"));
        }
    }
}

/// A request to stay away holds for every avatar of the key.
fn retry_after(polls: &[&Poll], wrongs: &mut Vec<String>) {
    for poll in polls {
        let Some(Shown::Throttled(wait)) = poll.shown else { continue };
        let until = poll.ended_at.plus(wait);
        let hurried =
            polls.iter().find(|later| later.begun_at > poll.ended_at && later.begun_at < until);
        if let Some(hurried) = hurried {
            let early = until.since(hurried.begun_at);
            wrongs.push(format!("I8 `{}` was polled {early:?} too early", hurried.avatar));
        }
    }
}
