//! How fast a backlog leaves: small requests first after a start or an outage, then larger ones with
//! pauses between them, and the configured rate. Pure but for the dice; it waits for nothing itself.

use std::time::Duration;

use crate::{encode::Limits, retry};

/// Samples of the first request after a start or an outage.
pub(super) const PROBE: usize = 10;
/// The longest pause between two requests of a ramp, as a share of the longest backoff before it.
const PAUSES_PER_BACKOFF: u32 = 5;

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    /// Most samples of the next request, until the ramp has reached what the limits allow.
    ramp: Option<usize>,
    /// No pause of the ramp is longer.
    longest_pause: Duration,
    /// Samples in a second.
    replay_rate: Option<f64>,
    /// Somebody wants everything delivered now.
    hurried: bool,
}

impl Pace {
    /// At the start: nothing is known of the server, so it gets a small request first.
    pub(super) fn new(replay_rate: Option<f64>, longest_backoff: Duration) -> Self {
        let longest_pause = longest_backoff / PAUSES_PER_BACKOFF;
        Self { ramp: Some(PROBE), longest_pause, replay_rate, hurried: false }
    }

    /// `limits`, or the smaller ones that the pace asks for.
    pub(super) fn within(&self, limits: Limits) -> Limits {
        if self.hurried {
            return limits;
        }
        let ramp = self.ramp.unwrap_or(usize::MAX);
        let max_samples = limits.max_samples.min(ramp).min(self.a_second());
        Limits { max_samples, ..limits }
    }

    /// An attempt failed: what comes after it begins anew, with pauses that suit the longest
    /// backoff before it. After a short outage nobody has to be spread over half a minute.
    pub(super) fn failed(&mut self, longest_backoff: Duration) {
        self.ramp = Some(PROBE);
        self.longest_pause = longest_backoff / PAUSES_PER_BACKOFF;
    }

    /// The pace doesn't matter until the queue ran empty.
    pub(super) fn hurry(&mut self) {
        self.hurried = true;
    }

    /// The pause before the next request, after one of `samples` that was accepted at `limits`;
    /// `left` entries wait.
    pub(super) fn accepted(&mut self, samples: usize, left: u64, limits: Limits) -> Duration {
        if left == 0 {
            // Whoever has no backlog is no burden.
            (self.ramp, self.hurried) = (None, false);
            return Duration::ZERO;
        }
        let ramp = self.ramp.take();
        self.ramp = ramp.map(|most| most * 2).filter(|most| *most < limits.max_samples);
        if self.hurried {
            return Duration::ZERO;
        }
        let ramping = match ramp {
            Some(_) => retry::jittered(self.longest_pause, fastrand::f64()),
            None => Duration::ZERO,
        };
        ramping.max(self.replay_pause(samples))
    }

    /// Samples of one second at the configured rate.
    fn a_second(&self) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the configuration bounds it, and a cast from a float saturates"
        )]
        self.replay_rate.map_or(usize::MAX, |rate| rate.ceil().max(1.0) as usize)
    }

    fn replay_pause(&self, samples: usize) -> Duration {
        let samples = u32::try_from(samples).unwrap_or(u32::MAX);
        let pause = self.replay_rate.map(|rate| f64::from(samples) / rate);
        pause.and_then(|pause| Duration::try_from_secs_f64(pause).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { max_samples: 500, max_bytes: 1_000_000 };
    const SECOND: Duration = Duration::from_secs(1);

    fn sizes(pace: &mut Pace, count: usize) -> Vec<usize> {
        let sizes = (0..count).map(|_| {
            let size = pace.within(LIMITS).max_samples;
            let pause = pace.accepted(size, 10_000, LIMITS);
            assert!(pause <= 6 * SECOND);
            size
        });
        sizes.collect()
    }

    #[test]
    fn requests_double_from_a_small_one_after_a_start_and_after_an_outage() {
        let mut pace = Pace::new(None, 30 * SECOND);
        assert_eq!(sizes(&mut pace, 8), [10, 20, 40, 80, 160, 320, 500, 500]);
        assert_eq!(pace.accepted(500, 10_000, LIMITS), Duration::ZERO);
        pace.failed(30 * SECOND);
        assert_eq!(sizes(&mut pace, 3), [10, 20, 40]);
        assert_eq!(pace.accepted(80, 0, LIMITS), Duration::ZERO);
        assert_eq!(sizes(&mut pace, 1), [500]);
    }

    #[test]
    fn replay_rate_bounds_a_backlog_and_nothing_else() {
        let mut pace = Pace::new(Some(2.5), Duration::ZERO);
        assert_eq!(pace.within(LIMITS).max_samples, 3);
        assert_eq!(pace.accepted(3, 7, LIMITS), Duration::from_millis(1200));
        assert_eq!(pace.accepted(3, 0, LIMITS), Duration::ZERO);
    }

    #[test]
    fn hurry_ends_with_the_backlog() {
        let mut pace = Pace::new(Some(1.0), 30 * SECOND);
        pace.hurry();
        assert_eq!((pace.within(LIMITS), pace.accepted(500, 9, LIMITS)), (LIMITS, Duration::ZERO));
        assert_eq!(pace.accepted(9, 0, LIMITS), Duration::ZERO);
        assert_eq!(pace.within(LIMITS).max_samples, 1);
    }
}
