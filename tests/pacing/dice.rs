//! Seeded dice, and the trainings that they throw: every polling rule gets the same.

use std::f64::consts::TAU;
use std::time::Duration;

use avatar_watch::daemon::rng::Rng;
use avatar_watch::domain::avatar::status::Status;

/// One training, as it truly was.
#[derive(Clone)]
pub(crate) struct Training {
    pub(crate) model: &'static str,
    pub(crate) lasts: Duration,
    pub(crate) becomes: Status,
    /// From its start to the first poll that shows the avatar.
    pub(crate) found_after: Duration,
}

impl Training {
    pub(crate) fn is_ready(&self) -> bool {
        self.becomes == Status::Idle
    }
}

/// Seeded dice.
pub(crate) struct Dice(Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rng::seeded(seed))
    }

    /// Of an image avatar: about half a minute.
    pub(crate) fn image(&self, found_within: Duration) -> Training {
        self.training(IMAGE, 30.0 * self.about_one(0.15), found_within)
    }

    /// Of a video avatar: anything from 8 to 18 hours.
    pub(crate) fn video(&self) -> Training {
        self.training(VIDEO, self.between(8.0, 18.0) * HOUR_S, Duration::from_secs(60))
    }

    /// Of a video avatar that always takes about 11 hours.
    pub(crate) fn habit(&self) -> Training {
        let lasts_s = 11.0 * HOUR_S + self.between(-600.0, 600.0);
        self.training(VIDEO, lasts_s, Duration::from_secs(60))
    }

    /// About that long.
    pub(crate) fn around(&self, usual: Duration) -> Training {
        let lasts_s = usual.as_secs_f64() * self.about_one(0.08);
        self.training(VIDEO, lasts_s, Duration::from_secs(5))
    }

    /// From half a minute to a day.
    pub(crate) fn anything(&self) -> Training {
        let lasts_s = 30.0 * 2_880.0f64.powf(self.between(0.0, 1.0));
        self.training(VIDEO, lasts_s, Duration::from_secs(5))
    }

    /// Of either kind of avatar, with failures.
    pub(crate) fn mixed(&self) -> Training {
        let is_image = self.between(0.0, 1.0) < 0.85;
        let ready = if is_image { self.image(Duration::from_secs(5)) } else { self.video() };
        let (luck, part) = (self.between(0.0, 1.0), self.between(0.0, 1.0));
        let (becomes, lasts) = if luck < 0.05 {
            (Status::TrainingFailed, ready.lasts.mul_f64(0.3 * part))
        } else if luck < 0.10 {
            (Status::TrainingFailed, ready.lasts.mul_f64(0.8 + 0.6 * part))
        } else if luck < 0.15 {
            (Status::Refused, Duration::from_secs_f64(60.0 + 240.0 * part))
        } else {
            return ready;
        };
        Training { becomes, lasts, ..ready }
    }

    fn training(&self, model: &'static str, lasts_s: f64, found_within: Duration) -> Training {
        Training {
            model,
            lasts: Duration::from_secs_f64(lasts_s),
            becomes: Status::Idle,
            found_after: found_within.mul_f64(self.between(0.0, 1.0)),
        }
    }

    fn between(&self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.0.next_bits().fraction()
    }

    /// Around 1, log-normal with that spread, as Box and Muller throw it.
    fn about_one(&self, spread: f64) -> f64 {
        let (radius, turn) = (1.0 - self.between(0.0, 1.0), self.between(0.0, TAU));
        ((-2.0 * radius.ln()).sqrt() * turn.cos() * spread).exp()
    }
}

pub(crate) const IMAGE: &str = "ARGIL_ATOM";
pub(crate) const VIDEO: &str = "ARGIL_V1";
const HOUR_S: f64 = 3_600.0;
