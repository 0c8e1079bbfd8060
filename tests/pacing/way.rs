//! The polling rules that are compared: a plain loop with a fixed interval, and the product's
//! own pace, by age and learned.

use std::fs;
use std::time::Duration;

use avatar_watch::config::environment::Environment;
use avatar_watch::config::file;
use avatar_watch::config::location::ConfigFile;
use avatar_watch::domain::polling::interval::{PollIntervals, TrainingInterval};

/// A polling rule.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) pace: Pace,
}

/// What decides about the waits.
pub(crate) enum Pace {
    /// What people write: ask, sleep, ask again.
    Fixed(Duration),
    /// The product.
    Ours(Box<PollIntervals>),
}

impl Way {
    /// All of them; ours never waits longer than `max` or, without one, than the default.
    pub(crate) fn all(max: Option<Duration>) -> [Self; 4] {
        let fixed = |name, seconds| {
            let interval = Duration::from_secs(seconds);
            Self { name, pace: Pace::Fixed(interval) }
        };
        let ours = |name, learn| {
            let defaults = defaults();
            let max = max.unwrap_or(defaults.training.max);
            let training = TrainingInterval { max, adaptive: learn, ..defaults.training };
            Self { name, pace: Pace::Ours(Box::new(PollIntervals { training, ..defaults })) }
        };
        [fixed("every 10 s", 10), fixed("every 60 s", 60), ours(BY_AGE, false), ours(LEARNED, true)]
    }
}

/// The pace of a config that says nothing about it.
pub(crate) fn defaults() -> PollIntervals {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("avatar-watch.toml");
    fs::write(&path, "[argil]\napi_key = { env = \"KEY\" }\n").unwrap();
    let variables = [("KEY".to_owned(), "secret".to_owned())];
    let environment: Environment = variables.into_iter().collect();
    file::load(&ConfigFile::named(path), &environment).unwrap().intervals
}

pub(crate) const BY_AGE: &str = "by age";
pub(crate) const LEARNED: &str = "adaptive";
