//! The polling rules that are compared: a loop with a fixed interval, and the product's own
//! intervals, by age and adaptive.

use std::fs;
use std::time::Duration;

use avatar_watch::config::config_file_trust::ConfigFile;
use avatar_watch::config::environment::Environment;
use avatar_watch::config::file;
use avatar_watch::domain::polling::interval::{PollIntervals, TrainingInterval};

/// A polling rule.
pub(crate) struct PollingRule {
    pub(crate) name: &'static str,
    pub(crate) intervals: Intervals,
}

/// The intervals of a rule.
pub(crate) enum Intervals {
    /// One interval, as in a simple script.
    Fixed(Duration),
    /// The product's.
    Configured(Box<PollIntervals>),
}

impl PollingRule {
    /// All rules; `max` replaces the maximum of the product's intervals.
    pub(crate) fn all(max: Option<Duration>) -> [Self; 4] {
        let fixed = |name, seconds| {
            let interval = Duration::from_secs(seconds);
            Self { name, intervals: Intervals::Fixed(interval) }
        };
        let ours = |name, adaptive| {
            let defaults = defaults();
            let max = max.unwrap_or(defaults.training.max);
            let training = TrainingInterval { max, adaptive, ..defaults.training };
            Self {
                name,
                intervals: Intervals::Configured(Box::new(PollIntervals { training, ..defaults })),
            }
        };
        [
            fixed("every 10 s", 10),
            fixed("every 60 s", 60),
            ours(BY_AGE, false),
            ours(ADAPTIVE, true),
        ]
    }
}

/// The default intervals of the config.
pub(crate) fn defaults() -> PollIntervals {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("avatar-watch.toml");
    fs::write(&path, "[argil]\napi_key = { env = \"KEY\" }\n").unwrap();
    let variables = [("KEY".to_owned(), "secret".to_owned())];
    let environment: Environment = variables.into_iter().collect();
    file::load(&ConfigFile::named(path), &environment).unwrap().intervals
}

pub(crate) const BY_AGE: &str = "by age";
pub(crate) const ADAPTIVE: &str = "adaptive";
