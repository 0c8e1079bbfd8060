//! Time limits of transactions, checked by SQLite every few thousand steps.
//!
//! Invariants: a limit counts from the start of its transaction. During a shutdown, a shorter limit
//! counts from the shutdown; after it has interrupted a statement, no transaction starts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::store::error::StoreError;
use crate::store::sqlite::connection::BUSY_TIMEOUT;

/// The classes of work, by their limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) enum TimeClass {
    /// What the loops wait for, and all that is none of the others.
    Normal,
    /// Reading the schema of a file, which has a few pages; damaged pages can form a cycle.
    Schema,
    /// A step of the retention, which reads some thousand rows all over the disk.
    Retention,
}

/// The time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct TimeLimits {
    /// [`TimeClass::Normal`].
    pub(in crate::store) normal: Duration,
    pub(in crate::store) schema: Duration,
    pub(in crate::store) retention: Duration,
    /// Any of them during a shutdown.
    pub(in crate::store) after_stop: Duration,
}

impl Default for TimeLimits {
    /// The loops wait for a few transactions in a row, and the watchdog permits the store 90
    /// seconds.
    fn default() -> Self {
        Self {
            normal: Duration::from_secs(20),
            schema: Duration::from_secs(5),
            retention: Duration::from_secs(40),
            after_stop: Duration::from_secs(3),
        }
    }
}

/// The time limit of one connection; clones share it.
#[derive(Clone, Debug)]
pub(in crate::store) struct TimeLimit(Arc<LimitState>);

/// Times are milliseconds since `origin`.
#[derive(Debug)]
struct LimitState {
    limits: TimeLimits,
    origin: Instant,
    begun_at: AtomicU64,
    ends_at: AtomicU64,
    stopping_at: AtomicU64,
    is_interrupted_by_stop: AtomicBool,
}

/// Limits a transaction until it is dropped.
#[derive(Debug)]
pub(in crate::store) struct TimeLimitGuard(TimeLimit);

impl TimeLimit {
    pub(in crate::store) fn install(
        connection: &mut Connection,
        limits: TimeLimits,
    ) -> rusqlite::Result<Self> {
        let limit = Self(Arc::new(LimitState {
            limits,
            origin: Instant::now(),
            begun_at: AtomicU64::new(0),
            ends_at: AtomicU64::new(NEVER),
            stopping_at: AtomicU64::new(NEVER),
            is_interrupted_by_stop: AtomicBool::new(false),
        }));
        let handler_limit = limit.clone();
        connection.progress_handler(STEPS, Some(move || handler_limit.must_interrupt()))?;
        Ok(limit)
    }

    pub(in crate::store) fn begin(
        &self,
        doing: &'static str,
        class: TimeClass,
    ) -> Result<TimeLimitGuard, StoreError> {
        if self.0.is_interrupted_by_stop.load(Ordering::Relaxed) {
            return Err(StoreError::Interrupted(doing));
        }
        let limit = match class {
            TimeClass::Normal => self.0.limits.normal,
            TimeClass::Schema => self.0.limits.schema,
            TimeClass::Retention => self.0.limits.retention,
        };
        let now = self.now();
        self.0.begun_at.store(now, Ordering::Relaxed);
        let ends_at = now.saturating_add(milliseconds(limit)).min(NEVER - 1);
        self.0.ends_at.store(ends_at, Ordering::Relaxed);
        Ok(TimeLimitGuard(self.clone()))
    }

    /// Applies the shorter limit of a shutdown to this and all later transactions.
    pub(in crate::store) fn stop(&self) {
        self.0.stopping_at.fetch_min(self.now(), Ordering::Relaxed);
    }

    pub(in crate::store) fn is_stopping(&self) -> bool {
        self.0.stopping_at.load(Ordering::Relaxed) != NEVER
    }

    /// How long a transaction may wait for the lock of another process. During a shutdown it is the
    /// rest of that limit, and at least enough for a short lock.
    pub(in crate::store) fn lock_timeout(&self) -> Duration {
        let stopping_at = self.0.stopping_at.load(Ordering::Relaxed);
        if stopping_at == NEVER {
            return BUSY_TIMEOUT;
        }
        let ends_at = stopping_at.saturating_add(milliseconds(self.0.limits.after_stop));
        let left = Duration::from_millis(ends_at.saturating_sub(self.now()));
        left.clamp(LOCK_TIMEOUT_MIN, BUSY_TIMEOUT)
    }

    fn must_interrupt(&self) -> bool {
        let LimitState { limits, begun_at, ends_at, stopping_at, is_interrupted_by_stop, .. } =
            &*self.0;
        let (now, ends_at) = (self.now(), ends_at.load(Ordering::Relaxed));
        if ends_at == NEVER {
            return false;
        }
        let since = stopping_at.load(Ordering::Relaxed).max(begun_at.load(Ordering::Relaxed));
        let is_stopped = now >= since.saturating_add(milliseconds(limits.after_stop));
        if is_stopped {
            is_interrupted_by_stop.store(true, Ordering::Relaxed);
        }
        is_stopped || now >= ends_at
    }

    fn now(&self) -> u64 {
        milliseconds(self.0.origin.elapsed())
    }
}

impl Drop for TimeLimitGuard {
    fn drop(&mut self) {
        self.0.0.ends_at.store(NEVER, Ordering::Relaxed);
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER)
}

const NEVER: u64 = u64::MAX;
/// Longer than this program usually holds a lock.
const LOCK_TIMEOUT_MIN: Duration = Duration::from_millis(500);
/// Steps of SQLite's virtual machine between two checks, usually less than a millisecond.
const STEPS: i32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// `store::writer` tests statements that exceed their limit.
    #[test]
    fn a_statement_without_a_limit_is_not_interrupted() {
        let mut connection = Connection::open_in_memory().unwrap();
        let (normal, after_stop) = (Duration::ZERO, Duration::ZERO);
        let limits = TimeLimits { normal, after_stop, ..TimeLimits::default() };
        let limit = TimeLimit::install(&mut connection, limits).unwrap();
        drop(limit.begin("testing", TimeClass::Normal).unwrap());
        limit.stop();
        let long =
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1000000)
                    SELECT count(*) FROM n";
        let counted: i64 = connection.query_row(long, [], |row| row.get(0)).unwrap();
        assert_eq!(counted, 1_000_000);
    }
}
