//! Memory and swap through sysinfo, for the platforms where it is as cheap as asking oneself:
//! `GlobalMemoryStatusEx` and `GetPerformanceInfo` on Windows, `host_statistics64` and
//! `vm.swapusage` on macOS.

use std::io;

use sysinfo::System;

use crate::{
    sample::{Memory, Swap},
    sampler::SampleError,
};

/// sysinfo's reading, made at the first use.
#[derive(Default)]
pub(super) struct SysinfoMemory(Option<System>);

impl SysinfoMemory {
    /// Total, free and available memory, total and free swap.
    pub(super) fn read(&mut self) -> Result<Memory, SampleError> {
        let mut system = match self.0.take() {
            Some(system) => system,
            None => System::new().map_err(|error| {
                SampleError::read("the memory figures", io::Error::other(error.to_string()))
            })?,
        };
        system.refresh_memory();
        let memory = Memory {
            total: system.total_memory(),
            free: system.free_memory(),
            available: system.available_memory(),
            swap: Swap { total: system.total_swap(), free: system.free_swap(), ..Swap::default() },
            ..Memory::default()
        };
        self.0 = Some(system);
        // sysinfo keeps quiet about a failure; no machine has no memory.
        if memory.total == 0 {
            return Err(SampleError::Malformed { what: "the size of the memory".into() });
        }
        Ok(memory)
    }
}
