//! When which group is due: multiples of its interval from one common start, so that groups stay
//! in phase. Ticks that went by are counted, never made up for.

use std::time::Duration;

use tokio::time::Instant;

use crate::sample::Group;

/// The next tick of each group.
#[derive(Debug)]
pub(super) struct Schedule {
    ticks: Vec<Tick>,
}

#[derive(Debug)]
struct Tick {
    group: Group,
    interval: Duration,
    next: Instant,
}

impl Schedule {
    /// The groups in the order in which they are sampled when they are due together.
    pub(super) fn new(groups: &[(Group, Duration)]) -> Self {
        let next = Instant::now();
        let tick = |&(group, interval): &(Group, Duration)| Tick {
            group,
            interval: interval.max(Duration::from_millis(1)),
            next,
        };
        let mut ticks: Vec<Tick> = groups.iter().map(tick).collect();
        ticks.sort_by_key(|tick| tick.group);
        Self { ticks }
    }

    /// All groups are due at `start`.
    pub(super) fn start(&mut self, start: Instant) {
        for tick in &mut self.ticks {
            tick.next = start;
        }
    }

    /// When the next group is due; far away when there is none.
    pub(super) fn next(&self) -> Instant {
        let far = || Instant::now() + Duration::from_hours(24);
        self.ticks.iter().map(|tick| tick.next).min().unwrap_or_else(far)
    }

    /// The groups that are due at `now`, each with the number of its ticks that went by before
    /// this one without being asked for.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(Group, u64)> {
        let due = self.ticks.iter_mut().filter(|tick| tick.next <= now);
        due.map(|tick| (tick.group, tick.advance(now))).collect()
    }
}

impl Tick {
    /// Moves on to the first tick behind `now`; returns how many lay between.
    fn advance(&mut self, now: Instant) -> u64 {
        let late = now.duration_since(self.next);
        let skipped = late.as_nanos() / self.interval.as_nanos();
        let steps = u32::try_from(skipped + 1).unwrap_or(u32::MAX);
        self.next += self.interval.saturating_mul(steps);
        u64::from(steps) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn started(groups: &[(Group, Duration)]) -> (Schedule, Instant) {
        let mut schedule = Schedule::new(groups);
        let start = Instant::now();
        schedule.start(start);
        (schedule, start)
    }

    #[test]
    fn groups_are_due_together_at_common_multiples() {
        let (mut schedule, start) = started(&[(Group::Disk, SECOND * 6), (Group::Cpu, SECOND * 2)]);
        assert_eq!(schedule.due(start), [(Group::Cpu, 0), (Group::Disk, 0)]);
        assert_eq!(schedule.next(), start + SECOND * 2);
        assert_eq!(schedule.due(start + SECOND * 2), [(Group::Cpu, 0)]);
        assert_eq!(schedule.due(start + SECOND * 4), [(Group::Cpu, 0)]);
        assert_eq!(schedule.due(start + SECOND * 6), [(Group::Cpu, 0), (Group::Disk, 0)]);
    }

    #[test]
    fn lateness_doesn_t_shift_the_ticks_behind_it() {
        let (mut schedule, start) = started(&[(Group::Cpu, SECOND)]);
        assert_eq!(schedule.due(start + SECOND / 3), [(Group::Cpu, 0)]);
        assert_eq!(schedule.next(), start + SECOND);
    }

    #[test]
    fn ticks_that_went_by_are_counted_and_never_made_up_for() {
        let (mut schedule, start) = started(&[(Group::Cpu, SECOND)]);
        assert_eq!(schedule.due(start), [(Group::Cpu, 0)]);
        let woken = start + Duration::from_millis(60_500);
        assert_eq!(schedule.due(woken), [(Group::Cpu, 59)]);
        assert_eq!(schedule.due(woken), []);
        assert_eq!(schedule.next(), start + SECOND * 61);
    }

    #[test]
    fn nothing_is_due_without_groups() {
        let (mut schedule, start) = started(&[]);
        assert_eq!(schedule.due(start), []);
        assert!(schedule.next() > start + SECOND);
    }
}
