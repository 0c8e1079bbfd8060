//! What views of avatars show besides the rows of the avatars.

use std::collections::{BTreeMap, HashMap};

use crate::domain::avatar::AvatarId;
use crate::domain::avatar::training::UsualDuration;
use crate::store::error::StoreError;
use crate::store::reader::{DeliveryCounts, Reader};

/// Numbers of deliveries, and durations.
#[derive(Debug)]
pub(crate) struct ViewRows {
    /// Numbers of deliveries by avatar.
    pub(crate) counts: BTreeMap<AvatarId, DeliveryCounts>,
    /// The usual duration of a training by model.
    pub(crate) usual_training: HashMap<Option<String>, Option<UsualDuration>>,
}

impl ViewRows {
    /// Reads the rows.
    pub(crate) fn read(reader: &Reader) -> Result<Self, StoreError> {
        let samples = reader.training_samples(SAMPLES_MAX)?.into_iter();
        Ok(Self {
            counts: reader.delivery_counts()?,
            usual_training: samples
                .map(|(model, samples)| (model, UsualDuration::of(&samples)))
                .collect(),
        })
    }
}

/// The maximum of past trainings per model for the usual duration.
const SAMPLES_MAX: usize = 64;
