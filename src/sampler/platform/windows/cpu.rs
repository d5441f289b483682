//! Processor times: `NtQuerySystemInformation(SystemProcessorPerformanceInformation)` for each
//! group of processors, and `GetSystemTimes` where it doesn't tell of all of them.

use std::io;

use windows_sys::{
    Wdk::System::SystemInformation::{
        SystemPerformanceInformation, SystemProcessorPerformanceInformation,
        SystemTimeOfDayInformation,
    },
    Win32::{
        Foundation::FILETIME,
        System::{
            Threading::{
                ALL_PROCESSOR_GROUPS, GetActiveProcessorCount, GetActiveProcessorGroupCount,
                GetSystemTimes,
            },
            WindowsProgramming::SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION,
        },
    },
};

use super::{
    super::nt::{
        processors::{self, Processor},
        system::{self, Counters},
    },
    query,
};
use crate::{
    sample::{CpuTimes, Pressure},
    sampler::{
        SampleError,
        cpu::{CpuReading, Load, Scheduling},
        root::HostRoot,
    },
};

const _: () =
    assert!(size_of::<SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION>() == processors::ROW_BYTES);

/// The most processors that a group has, so that numbers don't depend on how many there are.
const OF_A_GROUP: u32 = 64;

/// Reads the kernel's processor times.
pub(in crate::sampler) struct CpuSource;

impl CpuSource {
    /// Touches nothing yet.
    pub(in crate::sampler) fn new(_: &HostRoot) -> Self {
        Self
    }

    /// Times since boot; a processor's number is its place in its group + 64 for each group before.
    pub(in crate::sampler) fn read(&mut self) -> Result<CpuReading, SampleError> {
        let groups = groups()?;
        let sum = groups.iter().flatten().copied().fold(Processor::default(), Processor::and);
        let told: usize = groups.iter().map(Vec::len).sum();
        let all = told == active();
        let total = if all { sum.times() } else { system_times()? };
        Ok(CpuReading {
            total,
            cpus: numbered(groups),
            scheduling: scheduling(all.then_some(sum.interrupts)),
        })
    }

    /// This system has no load average.
    pub(in crate::sampler) fn load(&mut self) -> Load {
        let threads = query::performance().ok().map(|info| info.ThreadCount.into());
        Load { average: None, threads }
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

/// The processors of each group; where there are several and the kernel doesn't tell of each, those
/// of this process's.
fn groups() -> Result<Vec<Vec<Processor>>, SampleError> {
    let most = active().max(1) * processors::ROW_BYTES;
    let class = SystemProcessorPerformanceInformation;
    // SAFETY: takes nothing and gives a number.
    let count = unsafe { GetActiveProcessorGroupCount() };
    let each = |group| query::of_group(class, group, most);
    let rows = match (0..count).map(each).collect::<io::Result<Vec<_>>>() {
        Ok(rows) if count > 1 => rows,
        _ => vec![
            query::system(class, most)
                .map_err(|error| SampleError::read("the times of the processors", error))?,
        ],
    };
    let parsed = rows.iter().map(|rows| processors::parse(rows)).collect::<Option<Vec<_>>>();
    parsed
        .filter(|groups| groups.iter().any(|group| !group.is_empty()))
        .ok_or(SampleError::Malformed { what: "the times of the processors".into() })
}

fn numbered(groups: Vec<Vec<Processor>>) -> Vec<(u32, CpuTimes)> {
    let first = (0..).step_by(OF_A_GROUP as usize);
    let group = |(first, group): (u32, Vec<Processor>)| {
        (first..).zip(group.into_iter().map(Processor::times))
    };
    first.zip(groups).flat_map(group).collect()
}

/// How many processors are active in all groups.
fn active() -> usize {
    // SAFETY: takes and gives numbers.
    let count = unsafe { GetActiveProcessorCount(ALL_PROCESSOR_GROUPS) };
    usize::try_from(count).unwrap_or_default()
}

/// What can't be read is absent.
fn scheduling(interrupts: Option<u32>) -> Scheduling {
    let performance = query::system(SystemPerformanceInformation, system::PERFORMANCE_BYTES).ok();
    let counters = performance.and_then(|performance| Counters::parse(&performance));
    let time = query::system(SystemTimeOfDayInformation, system::TIME_OF_DAY_BYTES).ok();
    Scheduling {
        boot_time: time.and_then(|time| system::boot_time(&time)),
        interrupts: interrupts.map(u64::from),
        context_switches: counters.map(|counters| counters.context_switches.into()),
        ..Scheduling::default()
    }
}

fn system_times() -> Result<CpuTimes, SampleError> {
    let [mut idle, mut kernel, mut user] = [FILETIME::default(); 3];
    // SAFETY: the three results are ours.
    if unsafe { GetSystemTimes(&raw mut idle, &raw mut kernel, &raw mut user) } == 0 {
        return Err(SampleError::read("GetSystemTimes", io::Error::last_os_error()));
    }
    let times = [idle, kernel, user]
        .map(|time| processors::file_time([time.dwLowDateTime, time.dwHighDateTime]));
    Ok(Processor::of_system(times).times())
}
