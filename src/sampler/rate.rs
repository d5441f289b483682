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

/// Finds the things of a reading in the one before, where they stand in the same order as a rule: then
/// each is found at once, however many there are.
pub(super) struct Earlier<'a, T> {
    things: &'a [T],
    /// Behind the one that was found last.
    next: usize,
}

impl<'a, T> Earlier<'a, T> {
    /// Nothing was looked for yet.
    pub(super) fn new(things: &'a [T]) -> Self {
        Self { things, next: 0 }
    }

    /// The one that is `same`.
    pub(super) fn find(&mut self, same: impl Fn(&T) -> bool) -> Option<&'a T> {
        let mut places = (self.next..self.things.len()).chain(0..self.next);
        let found = places.find(|&at| same(&self.things[at]))?;
        self.next = found + 1;
        Some(&self.things[found])
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
    fn thing_is_found_in_the_reading_before_wherever_it_stands() {
        let mut before = Earlier::new(&[1, 2, 3, 4]);
        for wanted in [1, 2, 4, 1, 9, 3, 2, 2] {
            let found = before.find(|thing| *thing == wanted).copied();
            assert_eq!(found, Some(wanted).filter(|wanted| *wanted != 9));
        }
        assert_eq!(Earlier::<u32>::new(&[]).find(|_| true), None);
    }

    #[test]
    fn thing_at_the_same_place_is_the_only_one_that_is_looked_at() {
        let things: Vec<u32> = (0..100).collect();
        let (mut before, looked_at) = (Earlier::new(&things), std::cell::Cell::new(0));
        for wanted in &things {
            let same = |thing: &u32| {
                looked_at.set(looked_at.get() + 1);
                thing == wanted
            };
            assert_eq!(before.find(same), Some(wanted));
        }
        assert_eq!(looked_at.get(), 100);
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
