//! What past trainings say of each model: forecasts and usual durations, in memory; computed from
//! the store.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::avatar::training::{TrainingSample, UsualDuration};
use crate::domain::avatar::transition::Transition;
use crate::domain::polling::forecast::Forecast;
use crate::domain::polling::interval::TrainingInterval;

/// Training samples and the forecasts computed from them.
#[derive(Clone, Debug, Default)]
pub struct ForecastCache {
    samples: HashMap<Option<String>, Vec<TrainingSample>>,
    forecasts: HashMap<Option<String>, Option<Arc<Forecast>>>,
    usual: HashMap<Option<String>, Option<UsualDuration>>,
    interval: Option<TrainingInterval>,
}

impl ForecastCache {
    /// Creates a cache from samples, oldest first.
    pub fn new(samples: HashMap<Option<String>, Vec<TrainingSample>>) -> Self {
        Self { samples, ..Self::default() }
    }

    /// Adds the sample of the training that ended with a transition, if any.
    pub fn add(&mut self, transition: &Transition) {
        let Some(training) = &transition.training else { return };
        let Some(sample) = training.sample(&transition.status) else { return };
        let samples = self.samples.entry(training.model.clone()).or_default();
        if samples.len() >= SAMPLES_MAX {
            samples.remove(0);
        }
        samples.push(sample);
        self.forecasts.remove(&training.model);
        self.usual.remove(&training.model);
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
        let durations = || samples.iter().map(|sample| sample.duration).collect::<Vec<_>>();
        let learn = || Forecast::from_samples(&durations(), interval).map(Arc::new);
        self.forecasts.entry(model).or_insert_with(learn).clone()
    }

    /// The usual duration of trainings of a model, if known.
    pub fn usual(&mut self, model: Option<&String>) -> Option<UsualDuration> {
        let model = model.cloned();
        let samples = self.samples.get(&model)?;
        *self.usual.entry(model).or_insert_with(|| UsualDuration::of(samples))
    }
}

/// Samples kept per model: enough for a stable forecast, few enough to follow a change.
pub const SAMPLES_MAX: usize = 64;
