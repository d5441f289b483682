//! Figures of processors: their time, their load, what the scheduler did.

use serde::Serialize;

use super::{Pressure, ticks};
use crate::sample::{
    CpuTime,
    pack::{Codec, Layout, Result},
};

/// Figures of [`Group::Cpu`](crate::sample::Group::Cpu).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Cpu {
    /// Busy share since the last reading, 0 to 1; idle and iowait aren't busy.
    pub utilization: Option<f32>,
    /// Logical processors that are online.
    pub logical_count: u32,
    /// Processors that the container may use at most, 1.5 say; `None` where it has no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<f32>,
    /// Load average; Windows has none.
    pub load_average: Option<LoadAverage>,
    /// Time since boot by mode, summed over all processors.
    pub time: CpuTimes,
    /// Each logical processor, unless the configuration leaves them out.
    pub cpus: Option<Vec<LogicalCpu>>,
    /// When the machine booted, by its wall clock now; seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_time: Option<u64>,
    /// Tasks now and since boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<Processes>,
    /// Switches from one task to another since boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_switches: Option<u64>,
    /// Interrupts since boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interrupts: Option<u64>,
    /// Time in which tasks waited for a processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Pressure>,
}

/// Average number of runnable tasks over 1, 5 and 15 minutes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct LoadAverage {
    /// Over one minute.
    #[serde(rename = "1m")]
    pub one: f32,
    /// Over five minutes.
    #[serde(rename = "5m")]
    pub five: f32,
    /// Over fifteen minutes.
    #[serde(rename = "15m")]
    pub fifteen: f32,
}

/// Tasks of the whole machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Processes {
    /// Running or ready to.
    pub running: Option<u64>,
    /// Waiting for the disk, not to be interrupted.
    pub blocked: Option<u64>,
    /// Threads that exist.
    pub threads: Option<u64>,
    /// Processes and threads made since boot.
    pub created: Option<u64>,
}

/// Processor time since boot by mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CpuTimes {
    /// Programs, guests included.
    pub user: CpuTime,
    /// Programs of low priority, guests included.
    pub nice: Option<CpuTime>,
    /// The kernel, interrupts not included.
    pub system: CpuTime,
    /// Nothing to do.
    pub idle: CpuTime,
    /// Nothing to do but wait for the disk.
    pub iowait: Option<CpuTime>,
    /// Interrupts.
    pub interrupt: Option<CpuTime>,
    /// Deferred interrupts.
    pub softirq: Option<CpuTime>,
    /// Taken by the hypervisor.
    pub steal: Option<CpuTime>,
    /// Virtual machines; part of `user`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest: Option<CpuTime>,
    /// Virtual machines of low priority; part of `nice`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_nice: Option<CpuTime>,
}

/// One logical processor.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct LogicalCpu {
    /// The kernel's number; offline processors leave gaps.
    pub id: u32,
    /// Busy share since the last reading, 0 to 1.
    pub utilization: Option<f32>,
    /// Time since boot by mode.
    pub time: CpuTimes,
}

impl Layout for Cpu {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        codec.optional(&mut self.cpus, C::list)?;
        // Offline processors and rounding make the total differ.
        codec.expect_sums();
        self.time.layout(codec)?;
        codec.float(&mut self.utilization)?;
        codec.small(&mut self.logical_count)?;
        codec.float(&mut self.limit)?;
        codec.optional(&mut self.load_average, |codec, load| load.layout(codec))?;
        codec.count(&mut self.boot_time)?;
        codec.optional(&mut self.processes, |codec, processes| processes.layout(codec))?;
        codec.count(&mut self.context_switches)?;
        codec.count(&mut self.interrupts)?;
        codec.optional(&mut self.pressure, |codec, pressure| pressure.layout(codec))
    }
}

impl Layout for LoadAverage {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        for load in [&mut self.one, &mut self.five, &mut self.fifteen] {
            let mut figure = Some(*load);
            codec.float(&mut figure)?;
            *load = figure.unwrap_or_default();
        }
        Ok(())
    }
}

impl Layout for Processes {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        codec.count(&mut self.running)?;
        codec.count(&mut self.blocked)?;
        codec.count(&mut self.threads)?;
        codec.count(&mut self.created)
    }
}

impl Layout for CpuTimes {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        for time in [&mut self.user, &mut self.system, &mut self.idle] {
            codec.number(&mut time.0)?;
        }
        let Self { nice, iowait, interrupt, softirq, steal, guest, guest_nice, .. } = self;
        for time in [nice, iowait, interrupt, softirq, steal, guest, guest_nice] {
            ticks(time, codec)?;
        }
        Ok(())
    }
}

impl Layout for LogicalCpu {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        // First, so that they stand where the total's do.
        self.time.layout(codec)?;
        codec.float(&mut self.utilization)?;
        codec.small(&mut self.id)
    }
}
