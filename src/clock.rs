//! The wall clock's seam. Owns the only call of the system's wall clock; never measures durations
//! (that is the monotonic clock's work, `tokio::time::Instant`).

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{Timestamp, ToSpan};

/// Tells the wall-clock time. Two implementations: [`SystemClock`] and, for tests, [`ManualClock`].
pub trait Clock: Send + Sync + 'static {
    /// The wall-clock time now. It may jump either way.
    fn now(&self) -> Timestamp;
}

/// The operating system's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the system's wall clock"
    )]
    fn now(&self) -> Timestamp {
        // A system clock outside of the years -9999 to 9999 isn't a time; the epoch says "unknown".
        Timestamp::try_from(std::time::SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// A clock that moves only when told to.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Timestamp>>);

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }

    /// Moves the clock by `seconds`, backwards when negative.
    pub fn advance(&self, seconds: i64) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.saturating_add(seconds.seconds()).unwrap_or(*now);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
