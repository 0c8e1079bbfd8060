//! The part of the oracle that judges requests to the API: rate limits and requested delays (I8).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::simulation::history::{History, Poll, Shown};

pub(super) fn judge(history: &History, violations: &mut Vec<String>) {
    let mut by_plan: BTreeMap<(usize, usize), Vec<&Poll>> = BTreeMap::new();
    for poll in &history.polls {
        let limit = history.plans[poll.plan].max_concurrency;
        if poll.others.len() >= limit {
            violations.push(format!("I8 {} polls beside one, {limit} allowed", poll.others.len()));
        }
        if poll.others.contains(&poll.avatar) {
            violations.push(format!("I8 two polls of `{}` at once", poll.avatar));
        }
        by_plan.entry((poll.boot, poll.plan)).or_default().push(poll);
    }
    for ((_, plan), polls) in by_plan {
        rate(history.plans[plan].max_requests_per_second, &polls, violations);
        retry_after(&polls, violations);
    }
}

/// In no second more than allowed.
fn rate(per_second: usize, polls: &[&Poll], violations: &mut Vec<String>) {
    for (number, poll) in polls.iter().enumerate() {
        let second = polls[number..]
            .iter()
            .take_while(|later| later.begun_at.since(poll.begun_at) < Duration::from_secs(1));
        let count = second.count();
        if count > per_second {
            violations.push(format!("I8 {count} requests in a second, {per_second} allowed"));
        }
    }
}

/// A request to stay away holds for every avatar of the key.
fn retry_after(polls: &[&Poll], violations: &mut Vec<String>) {
    for poll in polls {
        let Some(Shown::Throttled(wait)) = poll.shown else { continue };
        let until = poll.ended_at.plus(wait);
        let hurried =
            polls.iter().find(|later| later.begun_at > poll.ended_at && later.begun_at < until);
        if let Some(hurried) = hurried {
            let early = until.since(hurried.begun_at);
            violations.push(format!("I8 `{}` was polled {early:?} too early", hurried.avatar));
        }
    }
}
