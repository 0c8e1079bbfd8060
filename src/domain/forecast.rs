//! What past trainings tell about when to look.

use std::time::Duration;

use crate::domain::cadence::TrainingPace;

/// When to look at a training.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast(TrainingPace);

impl Forecast {
    /// Learns.
    pub fn learn(_past: &[Duration], _pace: TrainingPace) -> Option<Self> {
        None
    }

    /// How long to wait.
    pub fn wait(&self, age: Duration) -> Duration {
        self.0.wait(age)
    }
}
