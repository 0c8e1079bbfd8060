//! Random trainings from a seed: every polling rule gets the same.

use std::f64::consts::TAU;
use std::time::Duration;

use avatar_watch::daemon::rng::Rng;
use avatar_watch::domain::avatar::status::Status;

/// One training, as it is at Argil.
#[derive(Clone)]
pub(crate) struct Training {
    pub(crate) model: &'static str,
    pub(crate) duration: Duration,
    pub(crate) outcome: Status,
    /// From its start to the first poll that shows the avatar.
    pub(crate) observed_after: Duration,
}

impl Training {
    pub(crate) fn is_ready(&self) -> bool {
        self.outcome == Status::Idle
    }
}

/// Generates random trainings.
pub(crate) struct TrainingGenerator(Rng);

impl TrainingGenerator {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rng::seeded(seed))
    }

    /// A training of an image avatar: about half a minute.
    pub(crate) fn image(&self, observed_within: Duration) -> Training {
        self.training(IMAGE, 30.0 * self.log_normal(0.15), observed_within)
    }

    /// A training of a video avatar: from 8 to 18 hours, uniformly distributed.
    pub(crate) fn video(&self) -> Training {
        self.training(VIDEO, self.uniform(8.0, 18.0) * HOUR_S, Duration::from_secs(60))
    }

    /// A training of a video avatar that always takes about 11 hours.
    pub(crate) fn habit(&self) -> Training {
        let lasts_s = 11.0 * HOUR_S + self.uniform(-600.0, 600.0);
        self.training(VIDEO, lasts_s, Duration::from_secs(60))
    }

    /// A training of about that duration.
    pub(crate) fn around(&self, usual: Duration) -> Training {
        let lasts_s = usual.as_secs_f64() * self.log_normal(0.08);
        self.training(VIDEO, lasts_s, Duration::from_secs(5))
    }

    /// A training from half a minute to a day, log-uniform.
    pub(crate) fn anything(&self) -> Training {
        let lasts_s = 30.0 * 2_880.0f64.powf(self.uniform(0.0, 1.0));
        self.training(VIDEO, lasts_s, Duration::from_secs(5))
    }

    /// A training of an image or a video avatar, with failures.
    pub(crate) fn mixed(&self) -> Training {
        let is_image = self.uniform(0.0, 1.0) < 0.85;
        let ready = if is_image { self.image(Duration::from_secs(5)) } else { self.video() };
        let (share, part) = (self.uniform(0.0, 1.0), self.uniform(0.0, 1.0));
        let (outcome, duration) = if share < 0.05 {
            (Status::TrainingFailed, ready.duration.mul_f64(0.3 * part))
        } else if share < 0.10 {
            (Status::TrainingFailed, ready.duration.mul_f64(0.8 + 0.6 * part))
        } else if share < 0.15 {
            (Status::Refused, Duration::from_secs_f64(60.0 + 240.0 * part))
        } else {
            return ready;
        };
        Training { outcome, duration, ..ready }
    }

    fn training(&self, model: &'static str, lasts_s: f64, observed_within: Duration) -> Training {
        Training {
            model,
            duration: Duration::from_secs_f64(lasts_s),
            outcome: Status::Idle,
            observed_after: observed_within.mul_f64(self.uniform(0.0, 1.0)),
        }
    }

    fn uniform(&self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.0.next_bits().fraction()
    }

    /// Around 1, log-normal with that spread (Box-Muller).
    fn log_normal(&self, spread: f64) -> f64 {
        let (radius, turn) = (1.0 - self.uniform(0.0, 1.0), self.uniform(0.0, TAU));
        ((-2.0 * radius.ln()).sqrt() * turn.cos() * spread).exp()
    }
}

pub(crate) const IMAGE: &str = "ARGIL_ATOM";
pub(crate) const VIDEO: &str = "ARGIL_V1";
const HOUR_S: f64 = 3_600.0;
