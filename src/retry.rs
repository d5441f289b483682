//! How long to wait before the next attempt: exponential backoff with full jitter, and the wish of
//! a server in `Retry-After`. The only file that names `backoff`; it waits for nothing itself.

use std::time::{Duration, SystemTime};

use backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff as _};
use jiff::Timestamp;

/// No wait is shorter (unless the policy's maximum is), so that no failure makes a busy loop.
const FLOOR: Duration = Duration::from_millis(100);
/// No server may ask for a longer wait.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Bounds of the exponential backoff; checked by [`Policy::try_new`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    initial: Duration,
    max: Duration,
    multiplier: f64,
}

/// Why a policy was refused; a variant a configuration key.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// `initial_interval` is zero or more than `max_interval`.
    #[error("must be more than 0 and at most max_interval ({max:?})")]
    Initial {
        /// The maximum it was compared with.
        max: Duration,
    },
    /// `max_interval` is out of range.
    #[error("must be at most 1h")]
    Max,
    /// `multiplier` is out of range.
    #[error("must be from 1 to 100")]
    Multiplier,
}

impl Policy {
    /// Checks the bounds: `0 < initial ≤ max ≤ 1 h`, `1 ≤ multiplier ≤ 100`.
    pub fn try_new(initial: Duration, max: Duration, multiplier: f64) -> Result<Self, PolicyError> {
        if max > Duration::from_hours(1) {
            return Err(PolicyError::Max);
        }
        if initial.is_zero() || initial > max {
            return Err(PolicyError::Initial { max });
        }
        if !(1.0..=100.0).contains(&multiplier) {
            return Err(PolicyError::Multiplier);
        }
        Ok(Self { initial, max, multiplier })
    }

    /// The shortest ceiling of a backoff.
    #[must_use]
    pub fn initial(&self) -> Duration {
        self.initial
    }

    /// What a server asks for in `Retry-After`, and up to as much again, but no more than the maximum:
    /// all who were told the same moment don't come at that moment.
    #[must_use]
    pub fn spread(&self, wished: Duration) -> Duration {
        wished + jittered(wished.min(self.max), fastrand::f64())
    }

    /// The slowest pace: a hold's probe and the longest backoff.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.max
    }
}

/// The waits between the attempts of one outage. It never gives up: only a success ends it.
#[derive(Debug)]
pub struct Backoff {
    ceilings: ExponentialBackoff,
    max: Duration,
    longest: Duration,
}

impl Backoff {
    /// A backoff at its shortest ceiling.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        // The crate gives up after 15 minutes by default, and its jitter passes its own maximum:
        // only its sequence of ceilings is taken.
        let ceilings = ExponentialBackoffBuilder::new()
            .with_initial_interval(policy.initial)
            .with_max_interval(policy.max)
            .with_multiplier(policy.multiplier)
            .with_randomization_factor(0.0)
            .with_max_elapsed_time(None)
            .build();
        Self { ceilings, max: policy.max, longest: policy.initial }
    }

    /// The wait before the next attempt: uniform in `0..=ceiling`, at least 100 ms where the
    /// maximum allows, never more than the policy's maximum. The ceiling rises with each call.
    pub fn next_delay(&mut self) -> Duration {
        let ceiling = self.ceilings.next_backoff().unwrap_or(self.max).min(self.max);
        self.longest = ceiling;
        jittered(ceiling, fastrand::f64()).max(FLOOR.min(self.max))
    }

    /// The ceiling of the last wait.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// Starts over at the shortest ceiling: something was delivered.
    pub fn reset(&mut self) {
        self.ceilings.reset();
    }
}

/// Full jitter: the point of `0..=ceiling` at `random`, which is clamped to `0..=1`.
#[must_use]
pub fn jittered(ceiling: Duration, random: f64) -> Duration {
    let share = if random.is_finite() { random.clamp(0.0, 1.0) } else { 1.0 };
    ceiling.mul_f64(share).min(ceiling)
}

/// Reads a `Retry-After`: seconds, or a date of any of HTTP's three forms, judged by the answer's
/// own `date` when that is one, else by `now`. A past date is no wait; more than an hour is an
/// hour; anything else is `None`.
#[must_use]
pub fn retry_after(value: &str, date: Option<&str>, now: Timestamp) -> Option<Duration> {
    let value = value.trim_matches([' ', '\t']);
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits that don't fit are merely a very long wait.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let from = date
        .and_then(|date| httpdate::parse_http_date(date.trim()).ok())
        .unwrap_or_else(|| SystemTime::from(now));
    Some(until.duration_since(from).unwrap_or_default().min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(initial_ms: u64, max_ms: u64, multiplier: f64) -> Policy {
        let (initial, max) = (Duration::from_millis(initial_ms), Duration::from_millis(max_ms));
        Policy::try_new(initial, max, multiplier).unwrap()
    }

    fn after(value: &str, date: Option<&str>) -> Option<u64> {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        retry_after(value, date, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn jitter_spans_zero_to_ceiling_and_never_passes_it() {
        let ceiling = Duration::from_secs(30);
        assert_eq!(jittered(ceiling, 0.0), Duration::ZERO);
        assert_eq!(jittered(ceiling, 0.5), Duration::from_secs(15));
        assert_eq!(jittered(ceiling, 1.0), ceiling);
        for odd in [f64::NAN, f64::INFINITY, -1.0, 2.0] {
            assert!(jittered(ceiling, odd) <= ceiling);
        }
    }

    #[test]
    fn backoff_never_gives_up_and_stays_between_floor_and_maximum() {
        let policy = policy(1_000, 30_000, 2.0);
        let mut backoff = Backoff::new(&policy);
        for _ in 0..10_000 {
            let delay = backoff.next_delay();
            assert!(delay >= FLOOR && delay <= policy.max(), "{delay:?}");
        }
    }

    #[test]
    fn ceiling_doubles_up_to_the_maximum_and_starts_over_after_a_success() {
        let mut backoff = Backoff::new(&policy(1_000, 5_000, 2.0));
        let mut ceilings = || backoff.ceilings.next_backoff().unwrap().as_secs_f64();
        let first: Vec<f64> = (0..5).map(|_| ceilings()).collect();
        assert_eq!(first, [1.0, 2.0, 4.0, 5.0, 5.0]);
        backoff.reset();
        assert_eq!(backoff.ceilings.next_backoff(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn floor_gives_way_to_a_smaller_maximum() {
        let mut backoff = Backoff::new(&policy(5, 10, 1.0));
        assert!((0..100).all(|_| backoff.next_delay() == Duration::from_millis(10)));
    }

    #[test]
    fn retry_after_takes_seconds_and_clamps_them_to_an_hour() {
        assert_eq!(after("0", None), Some(0));
        assert_eq!(after(" 120 ", None), Some(120));
        assert_eq!(after("3601", None), Some(3600));
        assert_eq!(after("1000000000000000000", None), Some(3600));
        assert_eq!(after(&"9".repeat(400), None), Some(3600));
    }

    #[test]
    fn retry_after_takes_all_three_dates() {
        for date in [
            "Sun, 22 Nov 2026 12:01:30 GMT",
            "Sunday, 22-Nov-26 12:01:30 GMT",
            "Sun Nov 22 12:01:30 2026",
        ] {
            assert_eq!(after(date, None), Some(90), "{date}");
        }
        assert_eq!(after("Sun, 22 Nov 2026 11:59:00 GMT", None), Some(0));
        assert_eq!(after("Fri, 22 Nov 2126 12:00:00 GMT", None), Some(3600));
    }

    #[test]
    fn retry_after_is_judged_by_the_answers_own_date() {
        let until = "Sat, 01 Jan 2000 00:02:00 GMT";
        assert_eq!(after(until, Some("Sat, 01 Jan 2000 00:00:00 GMT")), Some(120));
        assert_eq!(after(until, Some("not a date")), Some(0));
    }

    #[test]
    fn retry_after_ignores_garbage() {
        for garbage in ["", " ", "-1", "+5", "1.5", "1e18", "soon", "٣", "1 2", "Sun, 99 Nov 2026"]
        {
            assert_eq!(after(garbage, None), None, "{garbage:?}");
        }
    }
}
