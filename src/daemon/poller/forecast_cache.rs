//! Caches training forecasts by model, in memory; computed from past trainings in the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::avatar::training::Training;
use crate::domain::polling::forecast::Forecast;
use crate::domain::polling::interval::TrainingInterval;

/// Training samples and the forecasts computed from them.
#[derive(Clone, Debug, Default)]
pub struct ForecastCache {
    samples: HashMap<Option<String>, Vec<Duration>>,
    forecasts: HashMap<Option<String>, Option<Arc<Forecast>>>,
    interval: Option<TrainingInterval>,
}

impl ForecastCache {
    /// Creates a cache from samples, oldest first.
    pub fn new(samples: HashMap<Option<String>, Vec<Duration>>) -> Self {
        Self { samples, ..Self::default() }
    }

    /// Adds the sample of a finished training.
    pub fn add(&mut self, training: &Training) {
        let Some(sample) = training.sample() else { return };
        let samples = self.samples.entry(training.model.clone()).or_default();
        if samples.len() >= SAMPLES_MAX {
            samples.remove(0);
        }
        samples.push(sample);
        self.forecasts.remove(&training.model);
    }

    /// Forecast for trainings of a model; `None` if there are too few samples.
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

/// Samples kept per model: enough for a stable forecast, few enough to follow a change.
pub const SAMPLES_MAX: usize = 64;
