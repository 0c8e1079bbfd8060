//! The scenarios: their trainings, and the text of their tables.

use std::time::Duration;

use super::random_trainings::{IMAGE, Training, TrainingGenerator, VIDEO};

/// Trainings that follow each other.
pub(crate) struct Scenario {
    /// The heading of its table.
    pub(crate) name: &'static str,
    /// Its description, as Markdown.
    pub(crate) text: &'static str,
    pub(crate) trainings: Vec<Training>,
    /// The maximum interval of the product's rules, if it is not the default.
    pub(crate) max: Option<Duration>,
    /// The groups of rows in the table.
    pub(crate) parts: &'static [Part],
}

/// A group of trainings, chosen by number and training.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) holds: fn(usize, &Training) -> bool,
}

impl Scenario {
    /// All scenarios.
    pub(crate) fn all() -> [Self; 8] {
        [
            Self::of(IMAGES, IMAGES_SAY, &[ALL], 1_000, |generator, _| generator.image(SOON)),
            Self::of(LATE, LATE_SAYS, &[ALL], 1_000, |generator, _| generator.image(MINUTE)),
            Self::of(VIDEOS, VIDEOS_SAY, &[ALL], 200, |generator, _| generator.video()),
            Self::of(HABIT, HABIT_SAYS, &[ALL, PRACTISED], 200, |generator, _| generator.habit()),
            Self {
                max: Some(10 * MINUTE),
                ..Self::of(WIDE, WIDE_SAYS, &[ALL, PRACTISED], 200, |generator, _| {
                    generator.habit()
                })
            },
            Self::of(MIXTURE, MIXTURE_SAYS, &MIXED, 800, |generator, _| generator.mixed()),
            Self::of(CHANGE, CHANGE_SAYS, &CHANGING, 3 * TURN, |generator, number| {
                generator.around(if number / TURN == 1 { 9 * MINUTE } else { 5 * MINUTE })
            }),
            Self::of(ANYTHING, ANYTHING_SAYS, &[ALL], 200, |generator, _| generator.anything()),
        ]
    }

    fn of(
        name: &'static str,
        text: &'static str,
        parts: &'static [Part],
        count: usize,
        draw: impl Fn(&TrainingGenerator, usize) -> Training,
    ) -> Self {
        let generator = TrainingGenerator::new(SEED);
        let trainings = (0..count).map(|number| draw(&generator, number)).collect();
        Self { name, text, trainings, max: None, parts }
    }
}

const ALL: Part = Part { name: "all", holds: |_, _| true };
const PRACTISED: Part = Part { name: "after the first 20", holds: |number, _| number >= 20 };

const MIXED: [Part; 5] = [
    ALL,
    Part { name: "image, ready", holds: |_, it| it.model == IMAGE && it.is_ready() },
    Part { name: "image, failed or refused", holds: |_, it| it.model == IMAGE && !it.is_ready() },
    Part { name: "video, ready", holds: |_, it| it.model == VIDEO && it.is_ready() },
    Part { name: "video, failed or refused", holds: |_, it| it.model == VIDEO && !it.is_ready() },
];

const CHANGING: [Part; 6] = [
    ALL,
    Part { name: "5 min", holds: |number, _| number < TURN },
    Part { name: "9 min, the first 16", holds: |number, _| within(number, TURN, 16) },
    Part { name: "9 min, the others", holds: |number, _| within(number, TURN + 16, TURN - 16) },
    Part { name: "5 min again, the first 16", holds: |number, _| within(number, 2 * TURN, 16) },
    Part { name: "5 min again, the others", holds: |number, _| number >= 2 * TURN + 16 },
];

fn within(number: usize, first: usize, count: usize) -> bool {
    (first..first + count).contains(&number)
}

pub(crate) const IMAGES: &str = "Image trainings";
const IMAGES_SAY: &str = "\
1,000 trainings around 30 s (log-normal, spread 15 %), registered within 5 s of their start.";

pub(crate) const LATE: &str = "Image trainings, detected late";
const LATE_SAYS: &str = "\
The same, but detected by the poll of `NOT_TRAINED`, up to 60 s after their start. Half of them have
ended by then.";

pub(crate) const VIDEOS: &str = "Video trainings";
const VIDEOS_SAY: &str = "\
200 trainings from 8 to 18 h (uniform), detected within 60 s of their start.";

pub(crate) const HABIT: &str = "Video trainings of similar length";
const HABIT_SAYS: &str = "\
200 trainings of 11 h ± 10 min (uniform), detected within 60 s of their start.";

pub(crate) const WIDE: &str = "The same with a longer `max`";
const WIDE_SAYS: &str = "\
The same trainings with `max = \"10m\"` under `[poll.training]`, which costs few requests.";

pub(crate) const MIXTURE: &str = "A mixture with failures";
const MIXTURE_SAYS: &str = "\
800 trainings of two models: 85 % image and 15 % video trainings as above. Of each, 5 % fail
early, 5 % fail late (after 0.8 to 1.4 times the length), and 5 % are refused after 1 to 5 min.";

pub(crate) const CHANGE: &str = "Lengths that change";
const CHANGE_SAYS: &str = "\
200 trainings around 5 min (log-normal, spread 8 %), then 200 around 9 min, then 200 around 5 min.";

pub(crate) const ANYTHING: &str = "Widely spread lengths";
const ANYTHING_SAYS: &str = "\
200 trainings from 30 s to 24 h (log-uniform).";

const SOON: Duration = Duration::from_secs(5);
const MINUTE: Duration = Duration::from_secs(60);
/// Trainings between two changes of the duration.
const TURN: usize = 200;
const SEED: u64 = 30;
