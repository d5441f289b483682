//! Processor times: `NtQuerySystemInformation(SystemProcessorPerformanceInformation)` for each
//! processor, `GetSystemTimes` for all.

use std::io;

use windows_sys::{
    Wdk::System::SystemInformation::{
        NtQuerySystemInformation, SystemProcessorPerformanceInformation,
    },
    Win32::{
        Foundation::FILETIME,
        System::{
            Threading::{ALL_PROCESSOR_GROUPS, GetActiveProcessorCount, GetSystemTimes},
            WindowsProgramming::SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION,
        },
    },
};

use crate::{
    sample::{CpuTime, CpuTimes, Pressure, Ticks},
    sampler::{
        SampleError,
        cpu::{CpuReading, Load, Scheduling},
        root::HostRoot,
    },
};

/// The kernel counts in 100 ns.
const PER_CENTISECOND: u64 = 100_000;

/// Reads the kernel's processor times.
pub(in crate::sampler) struct CpuSource;

impl CpuSource {
    /// Touches nothing yet.
    pub(in crate::sampler) fn new(_: &HostRoot) -> Self {
        Self
    }

    /// Times since boot. On a machine with more than one processor group, `cpus` are those of this
    /// process's group, and the total's interrupts are part of its system time.
    pub(in crate::sampler) fn read(&mut self) -> Result<CpuReading, SampleError> {
        let (processors, all) =
            processors().map_err(|error| SampleError::read("NtQuerySystemInformation", error))?;
        let total = if processors.len() == all {
            total(&processors)
        } else {
            system_times().map_err(|error| SampleError::read("GetSystemTimes", error))?
        };
        let cpus = (0..).zip(processors.iter().map(times)).collect();
        Ok(CpuReading { total, cpus, scheduling: Scheduling::default() })
    }
}

impl CpuSource {
    /// This system has no load average.
    pub(in crate::sampler) fn load(&mut self) -> Load {
        Load::default()
    }

    /// This system doesn't count that.
    pub(in crate::sampler) fn pressure(&mut self) -> Option<Pressure> {
        None
    }

    /// Not read on this system.
    pub(in crate::sampler) fn limit(&mut self) -> Option<f32> {
        None
    }
}

/// Those of this process's group, and how many there are in all groups.
fn processors() -> io::Result<(Vec<SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION>, usize)> {
    // SAFETY: takes and gives numbers.
    let all = unsafe { GetActiveProcessorCount(ALL_PROCESSOR_GROUPS) };
    let all = usize::try_from(all).unwrap_or_default();
    let mut processors = vec![SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION::default(); all];
    let one = size_of::<SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION>();
    let room = u32::try_from(all * one).unwrap_or(u32::MAX);
    let mut length = 0;
    // SAFETY: the buffer has room for `room` bytes of plain numbers.
    let status = unsafe {
        NtQuerySystemInformation(
            SystemProcessorPerformanceInformation,
            processors.as_mut_ptr().cast(),
            room,
            &raw mut length,
        )
    };
    if status < 0 {
        return Err(io::Error::other(format!("NT status {status:#x}")));
    }
    processors.truncate(usize::try_from(length).unwrap_or_default() / one);
    Ok((processors, all))
}

fn times(processor: &SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION) -> CpuTimes {
    // Kernel time includes idle, deferred procedure calls and interrupts.
    let [deferred, interrupt] = processor.Reserved1;
    let others = processor.IdleTime + deferred + interrupt;
    CpuTimes {
        user: time(processor.UserTime),
        system: time(processor.KernelTime.saturating_sub(others)),
        idle: time(processor.IdleTime),
        interrupt: Some(time(interrupt)),
        softirq: Some(time(deferred)),
        ..CpuTimes::default()
    }
}

fn total(processors: &[SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION]) -> CpuTimes {
    let mut sum = SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION::default();
    for processor in processors {
        sum.IdleTime += processor.IdleTime;
        sum.KernelTime += processor.KernelTime;
        sum.UserTime += processor.UserTime;
        sum.Reserved1[0] += processor.Reserved1[0];
        sum.Reserved1[1] += processor.Reserved1[1];
    }
    times(&sum)
}

fn system_times() -> io::Result<CpuTimes> {
    let (mut idle, mut kernel, mut user) =
        (FILETIME::default(), FILETIME::default(), FILETIME::default());
    // SAFETY: the three results are ours.
    if unsafe { GetSystemTimes(&raw mut idle, &raw mut kernel, &raw mut user) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let [idle, kernel, user] = [idle, kernel, user]
        .map(|time| (i64::from(time.dwHighDateTime) << 32) | i64::from(time.dwLowDateTime));
    Ok(CpuTimes {
        user: time(user),
        system: time(kernel.saturating_sub(idle)),
        idle: time(idle),
        ..CpuTimes::default()
    })
}

fn time(count: i64) -> CpuTime {
    Ticks(u64::try_from(count).unwrap_or_default() / PER_CENTISECOND)
}
