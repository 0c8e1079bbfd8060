//! The part of the oracle that judges manners towards the API: I8.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::simulation::history::{History, Look, Shown};

pub(super) fn judge(history: &History, wrongs: &mut Vec<String>) {
    let mut by_plan: BTreeMap<(usize, usize), Vec<&Look>> = BTreeMap::new();
    for look in &history.looks {
        let most = history.plans[look.plan].max_concurrency;
        if look.others.len() >= most {
            wrongs.push(format!("I8 {} looks beside one, {most} allowed", look.others.len()));
        }
        if look.others.contains(&look.avatar) {
            wrongs.push(format!("I8 two looks at `{}` at once", look.avatar));
        }
        by_plan.entry((look.boot, look.plan)).or_default().push(look);
    }
    for ((_, plan), looks) in by_plan {
        rate(history.plans[plan].max_requests_per_second, &looks, wrongs);
        retry_after(&looks, wrongs);
    }
}

/// In no second more than allowed.
fn rate(per_second: usize, looks: &[&Look], wrongs: &mut Vec<String>) {
    for (number, look) in looks.iter().enumerate() {
        let second = looks[number..]
            .iter()
            .take_while(|later| later.begun_at.since(look.begun_at) < Duration::from_secs(1));
        let count = second.count();
        if count > per_second {
            wrongs.push(format!("I8 {count} requests in a second, {per_second} allowed"));
        }
    }
}

/// A request to stay away holds for every avatar of the key.
fn retry_after(looks: &[&Look], wrongs: &mut Vec<String>) {
    for look in looks {
        let Some(Shown::Throttled(wait)) = look.shown else { continue };
        let until = look.ended_at.plus(wait);
        let hurried =
            looks.iter().find(|later| later.begun_at > look.ended_at && later.begun_at < until);
        if let Some(hurried) = hurried {
            let early = until.since(hurried.begun_at);
            wrongs.push(format!("I8 `{}` was looked at {early:?} too early", hurried.avatar));
        }
    }
}
