//! Times of processors: rows of `SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION`, and `FILETIME`s.

use super::super::bytes::{count, word};
use crate::sample::{CpuTime, CpuTimes, Ticks};

/// What one row takes.
pub(in crate::sampler) const ROW_BYTES: usize = 48;
/// The kernel counts in 100 ns.
const PER_CENTISECOND: u64 = 100_000;

/// What one processor, or several together, have done since boot; times in 100 ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::sampler) struct Processor {
    idle: u64,
    /// Idle time, deferred procedure calls and interrupts included.
    kernel: u64,
    user: u64,
    /// Deferred procedure calls and interrupts; `None` where they aren't told apart.
    deferred: Option<u64>,
    interrupt: Option<u64>,
    /// 32 bits: wraps.
    pub(in crate::sampler) interrupts: u32,
}

impl Processor {
    /// From the three times of `GetSystemTimes`.
    pub(in crate::sampler) fn of_system([idle, kernel, user]: [u64; 3]) -> Self {
        Self { idle, kernel, user, ..Self::default() }
    }

    /// By mode, in hundredths of a second.
    pub(in crate::sampler) fn times(self) -> CpuTimes {
        let time = |count: u64| -> CpuTime { Ticks(count / PER_CENTISECOND) };
        let apart = [Some(self.idle), self.deferred, self.interrupt];
        let system = apart.into_iter().flatten().fold(self.kernel, u64::saturating_sub);
        CpuTimes {
            user: time(self.user),
            system: time(system),
            idle: time(self.idle),
            interrupt: self.interrupt.map(time),
            softirq: self.deferred.map(time),
            ..CpuTimes::default()
        }
    }

    /// Both together. The interrupts stay one counter of 32 bits: the sum wraps where each does.
    pub(in crate::sampler) fn and(self, other: Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (one, other) => one.or(other),
        };
        Self {
            idle: self.idle.saturating_add(other.idle),
            kernel: self.kernel.saturating_add(other.kernel),
            user: self.user.saturating_add(other.user),
            deferred: sum(self.deferred, other.deferred),
            interrupt: sum(self.interrupt, other.interrupt),
            interrupts: self.interrupts.wrapping_add(other.interrupts),
        }
    }

    fn parse(row: &[u8]) -> Option<Self> {
        Some(Self {
            idle: count(row, 0)?,
            kernel: count(row, 8)?,
            user: count(row, 16)?,
            deferred: Some(count(row, 24)?),
            interrupt: Some(count(row, 32)?),
            interrupts: word(row, 40)?,
        })
    }
}

/// The rows, of which each is one processor; `None` if one isn't as it should be.
pub(in crate::sampler) fn parse(rows: &[u8]) -> Option<Vec<Processor>> {
    rows.chunks_exact(ROW_BYTES).map(Processor::parse).collect()
}

/// The two halves of a `FILETIME`, lower first.
pub(in crate::sampler) fn file_time([low, high]: [u32; 2]) -> u64 {
    (u64::from(high) << 32) | u64::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::platform::bytes::structure;

    const SECOND: u64 = 10_000_000;

    fn row(seconds: [u64; 5], interrupts: u32) -> Vec<u8> {
        let longs: Vec<_> = (0..).step_by(8).zip(seconds.map(|time| time * SECOND)).collect();
        structure(ROW_BYTES, &[(40, interrupts)], &longs)
    }

    #[test]
    fn kernel_time_is_told_apart_into_idle_deferred_calls_interrupts_and_the_rest() {
        let processors = parse(&row([50, 70, 30, 4, 6], 9)).unwrap();
        let expected = CpuTimes {
            user: Ticks(3000),
            system: Ticks(1000),
            idle: Ticks(5000),
            interrupt: Some(Ticks(600)),
            softirq: Some(Ticks(400)),
            ..CpuTimes::default()
        };
        assert_eq!(processors[0].times(), expected);
    }

    #[test]
    fn sum_of_interrupts_wraps_where_each_counter_does() {
        let rows = [row([1, 2, 3, 0, 0], u32::MAX), row([10, 20, 30, 1, 1], 3)].concat();
        let sum = parse(&rows).unwrap().into_iter().fold(Processor::default(), Processor::and);
        assert_eq!(sum.interrupts, 2);
        assert_eq!((sum.times().idle, sum.times().user), (Ticks(1100), Ticks(3300)));
        assert_eq!(sum.times().softirq, Some(Ticks(100)));
    }

    #[test]
    fn times_of_the_whole_system_lack_interrupts_instead_of_showing_zeros() {
        let times = [5, 8, 1].map(|seconds| {
            let halves = u32::try_from(seconds * SECOND).unwrap();
            file_time([halves, 0])
        });
        let times = Processor::of_system(times).times();
        assert_eq!((times.system, times.idle, times.user), (Ticks(300), Ticks(500), Ticks(100)));
        assert_eq!((times.interrupt, times.softirq), (None, None));
        assert_eq!(file_time([1, 1]), (1 << 32) + 1);
    }

    #[test]
    fn negative_time_is_refused_and_half_a_row_is_left() {
        let mut rows = row([1, 2, 3, 0, 0], 0);
        assert_eq!(parse(&rows[..40]), Some(vec![]));
        rows[7] = 0xff;
        assert_eq!(parse(&rows), None);
    }
}
