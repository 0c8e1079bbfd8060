//! What past trainings tell about when to look, by model; kept in memory, learned from the
//! table.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::avatar::training::Training;
use crate::domain::polling::forecast::Forecast;
use crate::domain::polling::interval::TrainingInterval;

/// The lessons, and what was made of them.
#[derive(Clone, Debug, Default)]
pub struct ForecastCache {
    samples: HashMap<Option<String>, Vec<Duration>>,
    forecasts: HashMap<Option<String>, Option<Arc<Forecast>>>,
    interval: Option<TrainingInterval>,
}

impl ForecastCache {
    /// What these lessons teach, oldest first.
    pub fn new(samples: HashMap<Option<String>, Vec<Duration>>) -> Self {
        Self { samples, ..Self::default() }
    }

    /// Takes up one more training.
    pub fn add(&mut self, training: &Training) {
        let Some(sample) = training.sample() else { return };
        let samples = self.samples.entry(training.model.clone()).or_default();
        if samples.len() >= SAMPLES_MAX {
            samples.remove(0);
        }
        samples.push(sample);
        self.forecasts.remove(&training.model);
    }

    /// When to look at trainings of that model, if that is known better than by their age.
    pub fn forecast(
        &mut self,
        model: Option<&String>,
        interval: TrainingInterval,
    ) -> Option<Arc<Forecast>> {
        if !interval.adaptive {
            return None;
        }
        if self.interval != Some(interval) {
            self.forecasts.clear();
            self.interval = Some(interval);
        }
        let model = model.cloned();
        let samples = self.samples.get(&model)?;
        let learn = || Forecast::from_samples(samples, interval).map(Arc::new);
        self.forecasts.entry(model).or_insert_with(learn).clone()
    }
}

/// Trainings of one model that are remembered: enough to tell a habit, few enough to follow it
/// when it changes.
pub const SAMPLES_MAX: usize = 64;
