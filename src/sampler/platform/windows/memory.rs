//! Memory and swap from sysinfo, the size of the file cache from `GetPerformanceInfo`.

use std::io;

use windows_sys::Win32::System::ProcessStatus::{K32GetPerformanceInfo, PERFORMANCE_INFORMATION};

use super::super::sysinfo_memory::SysinfoMemory;
use crate::{
    sample::Memory,
    sampler::{SampleError, root::HostRoot},
};

/// Reads memory and swap.
pub(in crate::sampler) struct MemorySource {
    basis: SysinfoMemory,
}

impl MemorySource {
    /// Touches nothing yet.
    pub(in crate::sampler) fn new(_: &HostRoot) -> Self {
        Self { basis: SysinfoMemory::default() }
    }

    /// What is to be read, without what follows from it. `cached` is the system cache. The kernel counts pages read for all purposes together, so
    /// swap traffic is absent.
    pub(in crate::sampler) fn read(&mut self) -> Result<Memory, SampleError> {
        let mut memory = self.basis.read()?;
        let mut info = PERFORMANCE_INFORMATION::default();
        let size = u32::try_from(size_of::<PERFORMANCE_INFORMATION>()).unwrap_or_default();
        // SAFETY: the structure is ours and has that size.
        if unsafe { K32GetPerformanceInfo(&raw mut info, size) } == 0 {
            return Err(SampleError::read("GetPerformanceInfo", io::Error::last_os_error()));
        }
        memory.cached = Some((info.SystemCache as u64).saturating_mul(info.PageSize as u64));
        Ok(memory)
    }
}
