//! Arithmetic between two readings of a counter. A counter that fell was reset or wrapped, and
//! tells nothing: `None`, never a negative or a huge rate.

use std::time::{Duration, Instant};

pub(super) use crate::sample::share;

/// A reading and when it was taken, kept for the rates of the next one.
#[derive(Debug)]
pub(super) struct Previous<T> {
    at: Instant,
    /// What was read.
    pub(super) reading: T,
}

impl<T> Previous<T> {
    /// `reading`, taken at `at`.
    pub(super) fn new(at: Instant, reading: T) -> Self {
        Self { at, reading }
    }

    /// The time from this reading to `now`.
    pub(super) fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }
}

/// How fast a counter rose.
pub(super) fn per_second(before: u64, now: u64, elapsed: Duration) -> Option<f32> {
    let rise = now.checked_sub(before)?;
    (!elapsed.is_zero()).then(|| rounded(float(rise) / elapsed.as_secs_f64()))
}

/// A rate to three digits or more: few decimals are few bytes, in the queue and on the wire.
fn rounded(rate: f64) -> f32 {
    let unit = match rate {
        ..0.01 => return narrow(rate),
        ..1.0 => 10_000.0,
        ..1000.0 => 100.0,
        _ => 1.0,
    };
    narrow((rate * unit).round() / unit)
}

/// [`per_second`] of a counter that the platform may lack.
pub(super) fn per_second_of(
    before: Option<u64>,
    now: Option<u64>,
    elapsed: Duration,
) -> Option<f32> {
    per_second(before?, now?, elapsed)
}

/// The figure as it is stored: seven digits are plenty for a rate or a ratio.
#[expect(clippy::cast_possible_truncation, reason = "rounds; the range of f32 holds any u64")]
pub(super) fn narrow(figure: f64) -> f32 {
    figure as f32
}

#[expect(clippy::cast_precision_loss, reason = "rounds beyond 2^53, far below the digits of f32")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rate_is_over_the_time_that_has_truly_passed() {
        assert_eq!(per_second(100, 400, Duration::from_millis(1500)), Some(200.0));
        assert_eq!(per_second(7, 7, SECOND), Some(0.0));
    }

    #[test]
    fn rate_keeps_three_digits_or_more() {
        let rate = |rise, seconds| per_second(0, rise, Duration::from_secs(seconds)).unwrap();
        let texts = [rate(1, 3), rate(100, 3), rate(10_000, 3)].map(|rate| rate.to_string());
        assert_eq!(texts, ["0.3333", "33.33", "3333"]);
        assert!((rate(1, 86_400) - 1.157_407_4e-5).abs() < 1e-10);
    }

    #[test]
    fn counter_that_fell_has_no_rate() {
        assert_eq!(per_second(u64::MAX, 3, SECOND), None);
        assert_eq!(per_second_of(Some(1), None, SECOND), None);
    }

    #[test]
    fn no_time_means_no_rate() {
        assert_eq!(per_second(1, 2, Duration::ZERO), None);
    }

    #[test]
    fn share_stays_between_none_and_one() {
        assert_eq!(share(1, 4), Some(0.25));
        assert_eq!(share(5, 4), Some(1.0));
        assert_eq!(share(0, 0), None);
    }
}
