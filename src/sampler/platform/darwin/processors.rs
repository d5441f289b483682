//! Times of processors out of `PROCESSOR_CPU_LOAD_INFO`, and the time of boot.

use super::super::bytes::{count, word};
use crate::sample::{CpuTime, CpuTimes, Ticks};

/// User, system, idle, nice; in 1/100 s.
const STATES: usize = 4;

/// Each processor, by its number; `None` without any. The kernel counts in 32 bits, so each wraps
/// after 497 days of one mode.
pub(in crate::sampler) fn parse(ticks: &[i32]) -> Option<Vec<(u32, CpuTimes)>> {
    let each = ticks.chunks_exact(STATES).map(times);
    let cpus: Vec<_> = (0..).zip(each).collect();
    (!cpus.is_empty()).then_some(cpus)
}

/// All of them together.
pub(in crate::sampler) fn total(cpus: &[(u32, CpuTimes)]) -> CpuTimes {
    let sum = |mode: fn(&CpuTimes) -> CpuTime| -> CpuTime {
        Ticks(cpus.iter().map(|(_, times)| mode(times).0).sum())
    };
    CpuTimes {
        user: sum(|times| times.user),
        system: sum(|times| times.system),
        idle: sum(|times| times.idle),
        nice: Some(sum(|times| times.nice.unwrap_or_default())),
        ..CpuTimes::default()
    }
}

fn times(ticks: &[i32]) -> CpuTimes {
    let time = |state: usize| -> CpuTime {
        Ticks(ticks.get(state).map_or(0, |ticks| u64::from(ticks.cast_unsigned())))
    };
    CpuTimes {
        user: time(0),
        system: time(1),
        idle: time(2),
        nice: Some(time(3)),
        ..CpuTimes::default()
    }
}

/// Seconds since 1970, out of the `timeval` of `kern.boottime`.
pub(in crate::sampler) fn boot_time(timeval: &[u8]) -> Option<u64> {
    word(timeval, 8)?;
    count(timeval, 0).filter(|&seconds| seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::platform::bytes::structure;

    #[test]
    fn two_processors_and_their_sum() {
        let cpus = parse(&[10, 20, 30, 1, 100, 200, -1, 2]).unwrap();
        assert_eq!(cpus.iter().map(|cpu| cpu.0).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(cpus[1].1.idle, Ticks(u64::from(u32::MAX)));
        let total = total(&cpus);
        assert_eq!(
            (total.user, total.system, total.nice),
            (Ticks(110), Ticks(220), Some(Ticks(3)))
        );
        assert_eq!((total.iowait, total.interrupt), (None, None));
    }

    #[test]
    fn less_than_a_processor_is_none() {
        assert_eq!((parse(&[]), parse(&[1, 2, 3])), (None, None));
    }

    #[test]
    fn time_of_boot_is_in_seconds() {
        let timeval = structure(16, &[(8, 999_999)], &[(0, 1_795_383_774)]);
        assert_eq!(boot_time(&timeval), Some(1_795_383_774));
        assert_eq!((boot_time(&[0; 16]), boot_time(&timeval[..8])), (None, None));
    }
}
