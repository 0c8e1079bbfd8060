//! Whether the last write succeeded, and why not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::error::StoreError;

/// The result of the last write; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct WriteHealth(Arc<Mutex<Option<String>>>);

impl WriteHealth {
    pub(super) fn record_success(&self) {
        *self.last_failure() = None;
    }

    pub(super) fn record_failure(&self, failure: &StoreError) {
        *self.last_failure() = Some(failure.to_string());
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.last_failure().clone()
    }

    fn last_failure(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
