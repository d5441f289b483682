//! The wall clock's seam, and the clock beside it that never steps. Owns the only call of the
//! system's wall clock; never measures durations (that is the monotonic clock's work,
//! `tokio::time::Instant`).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{Timestamp, ToSpan};

use crate::host;

mod moment;
mod steps;

pub use moment::{Moment, Stamp};
pub use steps::{Step, Steps};

/// Tells the wall-clock time. Two implementations: [`SystemClock`] and, for tests, [`ManualClock`].
pub trait Clock: Send + Sync + 'static {
    /// The wall-clock time now. It may jump either way.
    fn now(&self) -> Timestamp;

    /// The wall-clock time and the time since boot, where the platform tells, of one moment.
    fn moment(&self) -> Moment {
        Moment { wall: self.now(), ..Moment::default() }
    }
}

/// The operating system's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// A thread that is put aside between two clocks for longer reads them again.
const LONGEST_READING: Duration = Duration::from_millis(100);

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the system's wall clock"
    )]
    fn now(&self) -> Timestamp {
        // To the microsecond, as it is stored and told everywhere. A system clock outside of the years
        // -9999 to 9999 isn't a time; the epoch says "unknown".
        let now = Timestamp::try_from(std::time::SystemTime::now());
        let whole = now.and_then(|now| Timestamp::from_microsecond(now.as_microsecond()));
        whole.unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn moment(&self) -> Moment {
        let mut moment = Moment { boot_id: host::boot_id(), ..Moment::default() };
        for _ in 0..3 {
            let before = host::since_boot();
            moment.wall = self.now();
            moment.since_boot = host::since_boot();
            let took =
                moment.since_boot.zip(before).map(|(now, before)| now.saturating_sub(before));
            if took.is_none_or(|took| took < LONGEST_READING) {
                break;
            }
        }
        moment
    }
}

/// A clock that moves only when told to.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Moment>>);

impl ManualClock {
    /// A clock that stands at `now`, some time after a boot.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let since_boot = Some(Duration::from_hours(1));
        Self(Arc::new(Mutex::new(Moment { wall: now, since_boot, boot_id: [1; 16] })))
    }

    /// Moves the clock by `seconds`, backwards when negative; that is a step.
    pub fn advance(&self, seconds: i64) {
        self.step(seconds);
        if let Ok(seconds) = u64::try_from(seconds) {
            self.change(|now| {
                now.since_boot = now.since_boot.map(|since| since + Duration::from_secs(seconds));
            });
        }
    }

    /// Sets the clock forward by `seconds`, or back, without any time passing.
    pub fn step(&self, seconds: i64) {
        self.change(|now| {
            now.wall = now.wall.saturating_add(seconds.seconds()).unwrap_or(now.wall);
        });
    }

    /// The machine was started again, at the time that the clock tells.
    pub fn reboot(&self) {
        self.change(|now| {
            now.boot_id[0] = now.boot_id[0].wrapping_add(1);
            now.since_boot = Some(Duration::from_secs(10));
        });
    }

    fn change(&self, change: impl FnOnce(&mut Moment)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.moment().wall
    }

    fn moment(&self) -> Moment {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
