//! How fast a backlog leaves: small requests first after a start or an outage, then larger ones with
//! pauses between them, and the configured rate. Pure but for the dice; it waits for nothing itself.

use std::time::Duration;

use crate::{encode::Limits, retry};

/// Samples of the first request after a start or an outage.
pub(super) const PROBE: usize = 10;
/// All pauses of a recovery together, as a multiple of the longest backoff before it. Everybody is back
/// within one such backoff, most of them early in it; spread over half as much again, what they send
/// then never adds up to twice its mean, however much of it there is.
const SPREAD: f64 = 1.5;

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    /// Most samples of the next request, until the ramp has reached what the limits allow.
    ramp: Option<usize>,
    /// What is left of the pauses of this recovery.
    spread: Duration,
    /// Samples in a second.
    replay_rate: Option<f64>,
    /// Somebody wants everything delivered now.
    hurried: bool,
}

impl Pace {
    /// At the start: nothing is known of the server, so it gets a small request first.
    pub(super) fn new(replay_rate: Option<f64>, longest_backoff: Duration) -> Self {
        let spread = longest_backoff.mul_f64(SPREAD);
        Self { ramp: Some(PROBE), spread, replay_rate, hurried: false }
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
        self.spread = longest_backoff.mul_f64(SPREAD);
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
            (self.ramp, self.spread, self.hurried) = (None, Duration::ZERO, false);
            return Duration::ZERO;
        }
        self.ramp = self.ramp.map(|most| most * 2).filter(|most| *most < limits.max_samples);
        if self.hurried {
            return Duration::ZERO;
        }
        let pause = self.share(self.requests(left, limits)).max(self.replay_pause(samples));
        self.spread = self.spread.saturating_sub(pause);
        pause
    }

    /// What a pause before each of so many requests may take of the time that is left for all.
    fn share(&self, requests: u64) -> Duration {
        let shares = u32::try_from(requests.saturating_add(1)).unwrap_or(u32::MAX);
        let longest = (self.spread * 2 / shares).min(self.spread);
        retry::jittered(longest, fastrand::f64())
    }

    /// How many requests `left` entries take; more, when their bytes bound them.
    fn requests(&self, mut left: u64, limits: Limits) -> u64 {
        let full = limits.max_samples as u64;
        let mut size = self.ramp.unwrap_or(limits.max_samples) as u64;
        let mut requests = 0;
        while left > 0 && size < full {
            (left, size, requests) = (left.saturating_sub(size), size * 2, requests + 1);
        }
        requests + left.div_ceil(full.max(1))
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
            let _pause = pace.accepted(size, 10_000, LIMITS);
            size
        });
        sizes.collect()
    }

    #[test]
    fn requests_double_from_a_small_one_after_a_start_and_after_an_outage() {
        let mut pace = Pace::new(None, 30 * SECOND);
        assert_eq!(sizes(&mut pace, 8), [10, 20, 40, 80, 160, 320, 500, 500]);
        pace.failed(30 * SECOND);
        assert_eq!(sizes(&mut pace, 3), [10, 20, 40]);
        assert_eq!(pace.accepted(80, 0, LIMITS), Duration::ZERO);
        assert_eq!(sizes(&mut pace, 1), [500]);
    }

    #[test]
    fn pauses_of_a_recovery_are_shared_by_its_requests_and_bounded_together() {
        let mut shortest = Duration::MAX;
        for backlog in [11_u64, 640, 10_000, 200_000] {
            let mut pace = Pace::new(None, 30 * SECOND);
            let (mut left, mut all, mut longest) = (backlog, Duration::ZERO, Duration::ZERO);
            while left > 0 {
                let size = pace.within(LIMITS).max_samples as u64;
                left = left.saturating_sub(size);
                let pause = pace.accepted(500, left, LIMITS);
                (all, longest) = (all + pause, longest.max(pause));
            }
            assert!(all <= 45 * SECOND, "{backlog}: {all:?}");
            shortest = shortest.min(longest);
        }
        // Of 405 requests none waits for long.
        assert!(shortest < 5 * SECOND, "{shortest:?}");
    }

    #[test]
    fn stream_that_never_runs_dry_is_soon_not_paused_any_more() {
        let mut pace = Pace::new(None, 30 * SECOND);
        let pauses: Vec<Duration> = (0..200).map(|_| pace.accepted(3, 1, LIMITS)).collect();
        assert!(pauses.iter().sum::<Duration>() <= 45 * SECOND);
        assert!(pauses[100..].iter().all(|pause| *pause < Duration::from_millis(1)), "{pauses:?}");
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
