//! The scenario: scripts of the simulated avatars, generated from a seed.
//!
//! As documented for the API, an image avatar starts as `TRAINING` and is ready within about half a
//! minute; a video avatar starts as `NOT_TRAINED`. A video training takes hours in reality and a
//! minute here.

use std::time::Duration;

use crate::daemon::rng::Rng;
use crate::domain::avatar::status::Status;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct AvatarScript {
    /// Its id, in UUID format.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) model: &'static str,
    /// Its statuses and their durations; the last one stays.
    pub(super) steps: Vec<(Status, Duration)>,
}

impl AvatarScript {
    /// The status at this age, and whether it is the final one.
    pub(super) fn at(&self, age: Duration) -> (&Status, bool) {
        let mut end = Duration::ZERO;
        for (number, (status, lasts)) in self.steps.iter().enumerate() {
            end = end.saturating_add(*lasts);
            let last = number + 1 == self.steps.len();
            if age < end || last {
                return (status, last);
            }
        }
        // Every script has a step.
        (&Status::Training, false)
    }
}

/// Scripts of `count` avatars at this speed factor.
pub(super) fn scenario(count: u16, speed: f64, seed: u64) -> Vec<AvatarScript> {
    let rng = Rng::seeded(seed);
    (0..count).map(|number| script(number, speed, &rng)).collect()
}

fn script(number: u16, speed: f64, rng: &Rng) -> AvatarScript {
    let fraction = || rng.next_bits().fraction();
    let between =
        |low: f64, high: f64| Duration::from_secs_f64((low + (high - low) * fraction()) / speed);
    let video = number % 4 == 3;
    let mut steps = Vec::new();
    if video {
        steps.push((Status::NotTrained, between(4.0, 8.0)));
        steps.push((Status::Training, between(20.0, 55.0)));
    } else {
        steps.push((Status::Training, between(8.0, 32.0)));
    }
    let ends = match number % 8 {
        2 => vec![Status::TrainingFailed, Status::Training, Status::Idle],
        4 => vec![Status::Refused],
        7 => vec![Status::TrainingFailed],
        _ => vec![Status::Idle],
    };
    steps.extend(ends.into_iter().map(|status| (status, between(8.0, 14.0))));
    let name = NAMES[usize::from(number) % NAMES.len()];
    let round = usize::from(number) / NAMES.len();
    let bits = rng.next_bits().bits();
    AvatarScript {
        id: uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string(),
        name: if round == 0 { name.to_owned() } else { format!("{name} {}", round + 1) },
        model: if video { "ARGIL_V1" } else { "ARGIL_ATOM" },
        steps,
    }
}

const NAMES: [&str; 12] = [
    "Ada", "Béla", "Chidi", "Daria", "Emeka", "Freya", "Goro", "Hanna", "Inés", "Jonas", "Kaya",
    "Lea",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_reproduces_its_scripts_and_every_script_ends() {
        assert_eq!(scenario(20, 1.0, 5), scenario(20, 1.0, 5));
        assert_ne!(scenario(20, 1.0, 5), scenario(20, 1.0, 6));
        let settled = [Status::Idle, Status::Refused, Status::TrainingFailed];
        let mut ends = Vec::new();
        for script in scenario(16, 1.0, 7) {
            let (first, _) = script.at(Duration::ZERO);
            let started =
                if script.model == "ARGIL_V1" { Status::NotTrained } else { Status::Training };
            assert_eq!(*first, started);
            let (end, last) = script.at(Duration::from_secs(3_600));
            assert!(last && settled.contains(end), "{} ends as {end}", script.name);
            ends.push(end.clone());
        }
        assert!(settled.iter().all(|status| ends.contains(status)), "{ends:?}");
    }
}
