//! Notices when the wall clock is set: whoever samples reads the clocks here, and each reading is held
//! against the one before.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::SignedDuration;

use super::{Clock, Moment};

/// A clock that is set again and again is told once in this time.
const QUIET: Duration = Duration::from_mins(10);

/// One time that the wall clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// By how much: forward, or back when negative.
    pub by: SignedDuration,
    /// When it was noticed.
    pub at: Moment,
}

/// How often the wall clock was set while this process runs. Clones see the same.
#[derive(Debug, Clone, Default)]
pub struct Steps(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    before: Option<Moment>,
    count: u64,
    last: Option<Step>,
    told: Option<Moment>,
}

impl Steps {
    /// Reads `clock`. A step since the reading before is counted, and told in the log.
    pub fn read(&self, clock: &dyn Clock) -> Moment {
        // Read under the lock: two readings must not overtake one another.
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.moment();
        let by = seen.before.and_then(|before| now.stepped_since(&before));
        seen.before = Some(now);
        if let Some(by) = by {
            seen.note(Step { by, at: now });
        }
        now
    }

    /// How often it was set, and the last time.
    #[must_use]
    pub fn seen(&self) -> (u64, Option<Step>) {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (seen.count, seen.last)
    }
}

impl Seen {
    fn note(&mut self, step: Step) {
        self.count += 1;
        self.last = Some(step);
        let seconds = step.by.as_secs_f64();
        let quiet = self.told.and_then(|told| step.at.since(&told)).is_some_and(|it| it < QUIET);
        if quiet {
            tracing::debug!(seconds, "the wall clock was set");
            return;
        }
        self.told = Some(step.at);
        tracing::warn!(
            seconds,
            steps = self.count,
            "the wall clock was set; samples of before that aren't sent yet are put right"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn each_step_is_noticed_once_and_time_that_passes_is_none() {
        let (steps, clock) = (Steps::default(), ManualClock::new(jiff::Timestamp::UNIX_EPOCH));
        let tick = |_| {
            clock.advance(5);
            steps.read(&clock);
        };
        (0..3).for_each(tick);
        assert_eq!(steps.seen(), (0, None));
        clock.step(1_700_000_000);
        (0..3).for_each(tick);
        let (count, last) = steps.seen();
        assert_eq!((count, last.map(|step| step.by.as_secs())), (1, Some(1_700_000_000)));
        clock.step(-3_600);
        (0..3).for_each(tick);
        let (count, last) = steps.seen();
        assert_eq!((count, last.map(|step| step.by.as_secs())), (2, Some(-3_600)));
    }
}
