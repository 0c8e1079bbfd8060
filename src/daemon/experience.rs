//! What past trainings tell about when to look, by model; kept in memory, learned from the
//! table.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::cadence::TrainingPace;
use crate::domain::forecast::Forecast;
use crate::domain::training::Training;

/// The lessons, and what was made of them.
#[derive(Clone, Debug, Default)]
pub struct Experience {
    lessons: HashMap<Option<String>, Vec<Duration>>,
    forecasts: HashMap<Option<String>, Option<Arc<Forecast>>>,
    pace: Option<TrainingPace>,
}

impl Experience {
    /// What these lessons teach, oldest first.
    pub fn new(lessons: HashMap<Option<String>, Vec<Duration>>) -> Self {
        Self { lessons, ..Self::default() }
    }

    /// Takes up one more training.
    pub fn add(&mut self, training: &Training) {
        let Some(lesson) = training.lesson() else { return };
        let lessons = self.lessons.entry(training.model.clone()).or_default();
        if lessons.len() >= LESSONS_MAX {
            lessons.remove(0);
        }
        lessons.push(lesson);
        self.forecasts.remove(&training.model);
    }

    /// When to look at trainings of that model, if that is known better than by their age.
    pub fn forecast(
        &mut self,
        model: Option<&String>,
        pace: TrainingPace,
    ) -> Option<Arc<Forecast>> {
        if !pace.learn {
            return None;
        }
        if self.pace != Some(pace) {
            self.forecasts.clear();
            self.pace = Some(pace);
        }
        let model = model.cloned();
        let lessons = self.lessons.get(&model)?;
        let learn = || Forecast::learn(lessons, pace).map(Arc::new);
        self.forecasts.entry(model).or_insert_with(learn).clone()
    }
}

/// Trainings of one model that are remembered: enough to tell a habit, few enough to follow it
/// when it changes.
pub const LESSONS_MAX: usize = 64;
