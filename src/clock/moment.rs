//! Two clocks at one moment: the wall clock, which may be wrong and may step, and the time since
//! boot, which never does. Together they tell how old something of the same boot is whatever the
//! wall clock has done since, and what that should have said. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::sample::{Sample, unix_micros};

/// What the machine's clocks say at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The wall clock.
    #[serde(with = "unix_micros")]
    pub wall: Timestamp,
    /// Time since boot, sleep included, where the platform tells.
    pub since_boot: Option<Duration>,
    /// Which boot; all zero where the platform doesn't tell.
    pub boot_id: [u8; 16],
}

/// Before it no clock was right that this program has seen: 2025 began.
const NOT_BEFORE: i64 = 1_735_689_600;
/// A leap second or a moment's correction is no step.
const LEAST_STEP: Duration = Duration::from_secs(2);
/// Where the two clocks aren't ruled by the same crystal they part by less than a five-thousandth.
const DRIFT: u32 = 5_000;

/// When something was: the clocks as they were.
pub type Stamp = Moment;

impl Default for Moment {
    /// A moment of which nothing is known.
    fn default() -> Self {
        Self { wall: Timestamp::UNIX_EPOCH, since_boot: None, boot_id: [0; 16] }
    }
}

impl Moment {
    /// When `sample` was taken.
    #[must_use]
    pub fn of(sample: &Sample) -> Stamp {
        let Sample { timestamp, since_boot, origin, .. } = sample;
        Self { wall: *timestamp, since_boot: *since_boot, boot_id: origin.boot_id }
    }

    /// Whether the wall clock may be right: one that stands in 1970, or wherever a machine without
    /// a battery begins, isn't.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        self.wall.as_second() >= NOT_BEFORE
    }

    /// The time that has passed since `then`, if that was in the same boot.
    #[must_use]
    pub fn since(&self, then: &Stamp) -> Option<Duration> {
        if self.boot_id != then.boot_id || self.boot_id == [0; 16] {
            return None;
        }
        self.since_boot?.checked_sub(then.since_boot?)
    }

    /// How old what was stamped `then` is; `None` when that can't be known: it is of another boot,
    /// and one of the two wall clocks is wrong.
    #[must_use]
    pub fn age(&self, then: &Stamp) -> Option<SignedDuration> {
        if let Some(passed) = self.since(then) {
            return SignedDuration::try_from(passed).ok();
        }
        let told = self.wall.duration_since(then.wall);
        (self.is_plausible() && then.is_plausible()).then_some(told)
    }

    /// By how much the wall clock was set between `then` and now, forward or back; `None` when it
    /// wasn't, or when that can't be known.
    #[must_use]
    pub fn stepped_since(&self, then: &Stamp) -> Option<SignedDuration> {
        let passed = self.since(then)?;
        let step = self.wall.duration_since(then.wall) - SignedDuration::try_from(passed).ok()?;
        (step.unsigned_abs() > LEAST_STEP + passed / DRIFT).then_some(step)
    }

    /// What the wall clock should have said `then` if it is right now, where that differs from what
    /// it said: it was set since.
    #[must_use]
    pub fn put_right(&self, then: &Stamp) -> Option<Timestamp> {
        let step = self.stepped_since(then).filter(|_| self.is_plausible())?;
        let right = then.wall.checked_add(step).ok()?;
        Timestamp::from_microsecond(right.as_microsecond()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: [u8; 16] = [7; 16];

    fn at(wall: &str, since_boot: u64) -> Moment {
        let since_boot = Some(Duration::from_secs(since_boot));
        Moment { wall: wall.parse().unwrap(), since_boot, boot_id: BOOT }
    }

    #[test]
    fn what_was_taken_before_the_clock_was_set_is_put_right() {
        let taken = at("1970-01-01T00:01:00Z", 60);
        let now = at("2026-11-24T12:00:00Z", 3_660);
        assert_eq!(now.put_right(&taken), Some("2026-11-24T11:00:00Z".parse().unwrap()));
        assert_eq!(now.age(&taken), Some(SignedDuration::from_hours(1)));
        let back = at("2026-11-24T09:00:00Z", 3_660);
        let taken = at("2026-11-24T12:00:00Z", 60);
        assert_eq!(back.put_right(&taken), Some("2026-11-24T08:00:00Z".parse().unwrap()));
        assert_eq!(back.stepped_since(&taken), Some(SignedDuration::from_hours(-4)));
    }

    #[test]
    fn clock_that_was_not_set_changes_nothing() {
        let taken = at("2026-11-24T12:00:00Z", 60);
        assert_eq!(at("2026-11-24T13:00:00Z", 3_660).put_right(&taken), None);
        assert_eq!(at("2026-11-24T13:00:02Z", 3_660).put_right(&taken), None, "a leap second");
        // A week in which the two clocks part by a minute.
        assert_eq!(at("2026-12-01T12:01:00Z", 60 + 604_800).put_right(&taken), None);
    }

    #[test]
    fn clock_that_can_t_be_right_puts_nothing_right() {
        let taken = at("2026-11-24T12:00:00Z", 60);
        assert_eq!(at("1970-01-02T00:00:00Z", 3_660).put_right(&taken), None);
    }

    #[test]
    fn of_another_boot_only_plausible_clocks_tell() {
        let other = |wall| Moment { boot_id: [8; 16], ..at(wall, 60) };
        let now = at("2026-11-24T12:00:00Z", 3_660);
        let age = |wall| now.age(&other(wall));
        assert_eq!(age("2026-11-24T11:00:00Z"), Some(SignedDuration::from_hours(1)));
        assert_eq!(
            (age("1970-01-01T00:01:00Z"), now.put_right(&other("1970-01-01T00:01:00Z"))),
            (None, None)
        );
        assert_eq!(at("1970-01-01T01:00:00Z", 5).age(&other("2026-11-24T11:00:00Z")), None);
        let unknown = Moment { boot_id: [0; 16], ..now };
        assert_eq!(unknown.since(&unknown), None, "boots that have no id aren't the same");
    }
}
