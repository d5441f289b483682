//! Memory and swap: sysinfo's figures, and what it lacks from the platform.

use sysinfo::System;

use super::{SampleError, Sampler, partial::Part, platform, rate::share};
use crate::sample::{Group, Memory, Metrics, Swap};

/// What sysinfo doesn't tell; bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct MemoryDetails {
    /// See [`Memory::buffers`].
    pub(super) buffers: Option<u64>,
    /// See [`Memory::cached`].
    pub(super) cached: Option<u64>,
    /// See [`Memory::limit`].
    pub(super) limit: Option<u64>,
    /// See [`Swap::swapped_in`].
    pub(super) swapped_in: Option<u64>,
    /// See [`Swap::swapped_out`].
    pub(super) swapped_out: Option<u64>,
}

/// Samples [`Group::Memory`].
pub(super) struct MemorySampler {
    system: Option<System>,
    source: platform::MemorySource,
    details: Part,
}

impl MemorySampler {
    /// Reads nothing yet.
    pub(super) fn new() -> Self {
        Self {
            system: None,
            source: platform::MemorySource::new(),
            details: Part::new("memory details"),
        }
    }

    /// The host's memory and swap. sysinfo reads `/proc/meminfo` on Linux, `GlobalMemoryStatusEx`
    /// and `GetPerformanceInfo` on Windows, `host_statistics64` and `vm.swapusage` on macOS.
    fn system(&mut self) -> Result<&System, SampleError> {
        if self.system.is_none() {
            let unsupported = |error: sysinfo::Error| {
                SampleError::read("the memory figures", std::io::Error::other(error.to_string()))
            };
            self.system = Some(System::new().map_err(unsupported)?);
        }
        let system = self.system.as_mut().ok_or(SampleError::Malformed { what: "memory" })?;
        system.refresh_memory();
        // sysinfo keeps quiet about a failure; no machine has no memory.
        if system.total_memory() == 0 {
            return Err(SampleError::Malformed { what: "the size of the memory" });
        }
        Ok(system)
    }
}

impl Sampler for MemorySampler {
    fn group(&self) -> Group {
        Group::Memory
    }

    fn sample(&mut self) -> Result<Metrics, SampleError> {
        let mut memory = figures(self.system()?);
        let details = self.source.details(&memory);
        add(self.details.settle(details).unwrap_or_default(), &mut memory);
        Ok(Metrics::Memory(memory))
    }
}

fn figures(system: &System) -> Memory {
    let (total, available) = (system.total_memory(), system.available_memory());
    let used = total.saturating_sub(available);
    let (swap_total, swap_free) = (system.total_swap(), system.free_swap());
    let swap_used = swap_total.saturating_sub(swap_free);
    Memory {
        total,
        used,
        free: system.free_memory(),
        available,
        utilization: share(used, total),
        swap: Swap {
            total: swap_total,
            used: swap_used,
            free: swap_free,
            utilization: share(swap_used, swap_total),
            ..Swap::default()
        },
        ..Memory::default()
    }
}

fn add(details: MemoryDetails, to: &mut Memory) {
    to.buffers = details.buffers;
    to.cached = details.cached;
    // A cgroup without a limit shows a number beyond any memory.
    to.limit = details.limit.filter(|&limit| limit < to.total);
    to.swap.swapped_in = details.swapped_in;
    to.swap.swapped_out = details.swapped_out;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_beyond_the_memory_is_none() {
        let mut memory = Memory { total: 1 << 30, ..Memory::default() };
        let details = |limit| MemoryDetails { limit: Some(limit), ..MemoryDetails::default() };
        add(details(0x7fff_ffff_ffff_f000), &mut memory);
        assert_eq!(memory.limit, None);
        add(details(1 << 29), &mut memory);
        assert_eq!(memory.limit, Some(1 << 29));
    }

    #[test]
    fn used_and_available_make_the_total() {
        let Metrics::Memory(memory) = MemorySampler::new().sample().unwrap() else { panic!() };
        assert!(memory.total > 0);
        assert_eq!(memory.used + memory.available, memory.total);
        assert_eq!(memory.swap.used + memory.swap.free, memory.swap.total);
    }
}
