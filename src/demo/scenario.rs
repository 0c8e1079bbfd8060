//! The script: how each simulated avatar lives, made from a seed and nothing else.
//!
//! As the API's page says it: an image avatar is born `TRAINING` and is ready within about half a
//! minute; a video avatar is born `NOT_TRAINED`. A video's training takes hours in life; here it
//! is a minute.

use std::time::Duration;

use crate::daemon::rng::Rng;
use crate::domain::avatar::status::Status;

/// One simulated avatar.
#[derive(Clone, Debug, PartialEq)]
pub struct AvatarScript {
    /// Its id, a UUID in form.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its model.
    pub model: &'static str,
    /// What it is, one after the other, and for how long; the last one lasts.
    pub steps: Vec<(Status, Duration)>,
}

impl AvatarScript {
    /// What it is, that long after its birth, and whether that is its last.
    pub fn at(&self, age: Duration) -> (&Status, bool) {
        let mut end = Duration::ZERO;
        for (number, (status, lasts)) in self.steps.iter().enumerate() {
            end = end.saturating_add(*lasts);
            let last = number + 1 == self.steps.len();
            if age < end || last {
                return (status, last);
            }
        }
        // A script gives every life a step; without one nothing ever happens.
        (&Status::Training, false)
    }
}

/// The lives of `count` avatars at that many times the speed of life.
pub fn scenario(count: u16, speed: f64, seed: u64) -> Vec<AvatarScript> {
    let chance = Rng::seeded(seed);
    (0..count).map(|number| life(number, speed, &chance)).collect()
}

fn life(number: u16, speed: f64, chance: &Rng) -> AvatarScript {
    let fraction = || chance.next_bits().fraction();
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
    let bits = chance.next_bits().bits();
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
    fn a_seed_repeats_its_lives_and_every_life_settles() {
        assert_eq!(scenario(20, 1.0, 5), scenario(20, 1.0, 5));
        assert_ne!(scenario(20, 1.0, 5), scenario(20, 1.0, 6));
        let settled = [Status::Idle, Status::Refused, Status::TrainingFailed];
        let mut ends = Vec::new();
        for life in scenario(16, 1.0, 7) {
            let (first, _) = life.at(Duration::ZERO);
            let born = if life.model == "ARGIL_V1" { Status::NotTrained } else { Status::Training };
            assert_eq!(*first, born);
            let (end, last) = life.at(Duration::from_secs(3_600));
            assert!(last && settled.contains(end), "{} ends as {end}", life.name);
            ends.push(end.clone());
        }
        assert!(settled.iter().all(|status| ends.contains(status)), "{ends:?}");
    }
}
