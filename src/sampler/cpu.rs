//! Processor time, utilisation and load. Compares two readings, which are the platform's.

use std::time::Instant;

use super::{
    SampleError, Sampler, platform,
    rate::{Earlier, Previous, share},
    root::HostRoot,
};
use crate::sample::{Cpu, CpuTime, CpuTimes, Group, LoadAverage, LogicalCpu, Metrics, Processes};

/// Since-boot times of the whole machine and of each online processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CpuReading {
    /// Summed over all processors.
    pub(super) total: CpuTimes,
    /// The kernel's number of each online processor, and its times.
    pub(super) cpus: Vec<(u32, CpuTimes)>,
    /// What the scheduler counts.
    pub(super) scheduling: Scheduling,
}

/// What the scheduler counts; all `None` where the platform doesn't tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Scheduling {
    /// Seconds since 1970.
    pub(super) boot_time: Option<u64>,
    /// Since boot.
    pub(super) interrupts: Option<u64>,
    /// Since boot.
    pub(super) context_switches: Option<u64>,
    /// Tasks, but for the number of threads.
    pub(super) processes: Processes,
}

/// How much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Load {
    /// Over three spans of time.
    pub(super) average: Option<LoadAverage>,
    /// Threads that exist.
    pub(super) threads: Option<u64>,
}

/// Samples [`Group::Cpu`].
pub(super) struct CpuSampler {
    source: platform::CpuSource,
    per_cpu: bool,
    previous: Option<Previous<CpuReading>>,
}

impl CpuSampler {
    /// Tells of each processor if `per_cpu`.
    pub(super) fn new(root: &HostRoot, per_cpu: bool) -> Self {
        Self { source: platform::CpuSource::new(root), per_cpu, previous: None }
    }
}

impl Sampler for CpuSampler {
    fn group(&self) -> Group {
        Group::Cpu
    }

    fn sample(&mut self) -> Result<Metrics, SampleError> {
        let reading = self.source.read()?;
        let before = self.previous.as_ref().map(|previous| &previous.reading);
        let mut cpu = compare(&reading, before, self.per_cpu);
        let load = self.source.load();
        cpu.load_average = load.average;
        let processes = Processes { threads: load.threads, ..reading.scheduling.processes };
        cpu.processes = Some(processes).filter(|processes| *processes != Processes::default());
        cpu.pressure = self.source.pressure();
        cpu.limit = self.source.limit();
        self.previous = Some(Previous::new(Instant::now(), reading));
        Ok(Metrics::Cpu(cpu))
    }
}

fn compare(now: &CpuReading, before: Option<&CpuReading>, per_cpu: bool) -> Cpu {
    let mut earlier = Earlier::new(before.map_or(&[], |before| &before.cpus));
    let logical = |&(id, time): &(u32, CpuTimes)| {
        let earlier = earlier.find(|cpu| cpu.0 == id);
        let utilization = earlier.and_then(|(_, earlier)| busy_share(earlier, &time));
        LogicalCpu { id, utilization, time }
    };
    Cpu {
        utilization: before.and_then(|before| busy_share(&before.total, &now.total)),
        logical_count: u32::try_from(now.cpus.len()).unwrap_or(u32::MAX),
        time: now.total,
        cpus: per_cpu.then(|| now.cpus.iter().map(logical).collect()),
        boot_time: now.scheduling.boot_time,
        context_switches: now.scheduling.context_switches,
        interrupts: now.scheduling.interrupts,
        ..Cpu::default()
    }
}

/// Busy share between two readings: everything but idle and iowait, steal included.
fn busy_share(before: &CpuTimes, now: &CpuTimes) -> Option<f32> {
    // The kernel's iowait may step back a little (proc(5)); a whole that fell is a reset.
    let (before, now) = (modes(before), modes(now));
    now.iter().sum::<u64>().checked_sub(before.iter().sum())?;
    let spent = |mode: usize| now[mode].saturating_sub(before[mode]);
    let idle = spent(0) + spent(1);
    let busy: u64 = (2..now.len()).map(spent).sum();
    share(busy, busy + idle)
}

/// The times by mode, idle and iowait first. Guest time isn't here: user and nice include it.
fn modes(times: &CpuTimes) -> [u64; 8] {
    let optional = |time: Option<CpuTime>| time.unwrap_or_default().0;
    [
        times.idle.0,
        optional(times.iowait),
        times.user.0,
        optional(times.nice),
        times.system.0,
        optional(times.interrupt),
        optional(times.softirq),
        optional(times.steal),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Ticks;

    fn times(user: u64, idle: u64, iowait: u64, steal: u64) -> CpuTimes {
        CpuTimes {
            user: Ticks(user),
            idle: Ticks(idle),
            iowait: Some(Ticks(iowait)),
            steal: Some(Ticks(steal)),
            ..CpuTimes::default()
        }
    }

    fn reading(cpus: &[(u32, CpuTimes)]) -> CpuReading {
        CpuReading { total: cpus[0].1, cpus: cpus.to_vec(), scheduling: Scheduling::default() }
    }

    #[test]
    fn iowait_is_idle_and_steal_is_busy() {
        let share = busy_share(&times(0, 0, 0, 0), &times(10, 50, 25, 15));
        assert_eq!(share, Some(0.25));
    }

    #[test]
    fn iowait_that_steps_back_is_no_wait() {
        assert_eq!(busy_share(&times(0, 0, 10, 0), &times(20, 60, 7, 0)), Some(0.25));
    }

    #[test]
    fn counters_that_fell_give_no_utilization() {
        assert_eq!(busy_share(&times(500, 500, 0, 0), &times(1, 1, 0, 0)), None);
        assert_eq!(busy_share(&times(5, 5, 0, 0), &times(5, 5, 0, 0)), None);
    }

    #[test]
    fn first_reading_has_times_but_no_utilization() {
        let cpu = compare(&reading(&[(0, times(1, 2, 3, 4))]), None, true);
        assert_eq!(cpu.utilization, None);
        assert_eq!(cpu.time, times(1, 2, 3, 4));
        assert_eq!(cpu.cpus.unwrap()[0].utilization, None);
    }

    #[test]
    fn processors_are_compared_by_their_number_not_by_their_place() {
        let before = reading(&[(0, times(0, 0, 0, 0)), (2, times(0, 0, 0, 0))]);
        let now =
            reading(&[(0, times(1, 3, 0, 0)), (1, times(9, 1, 0, 0)), (2, times(3, 1, 0, 0))]);
        let cpus = compare(&now, Some(&before), true).cpus.unwrap();
        let shares: Vec<_> = cpus.iter().map(|cpu| (cpu.id, cpu.utilization)).collect();
        assert_eq!(shares, [(0, Some(0.25)), (1, None), (2, Some(0.75))]);
    }

    #[test]
    fn processors_are_left_out_but_counted_without_per_cpu() {
        let cpu = compare(&reading(&[(0, times(1, 2, 3, 4)), (1, times(1, 2, 3, 4))]), None, false);
        assert_eq!((cpu.cpus, cpu.logical_count), (None, 2));
    }
}
