//! What sysinfo doesn't tell of memory: the size of the file cache, from `GetPerformanceInfo`.

use std::io;

use windows_sys::Win32::System::ProcessStatus::{K32GetPerformanceInfo, PERFORMANCE_INFORMATION};

use crate::{
    sample::Memory,
    sampler::{SampleError, memory::MemoryDetails},
};

/// Reads the details of memory.
pub(in crate::sampler) struct MemorySource;

impl MemorySource {
    /// Touches nothing yet.
    pub(in crate::sampler) fn new() -> Self {
        Self
    }

    /// `cached` is the system cache. The kernel counts pages read for all purposes together, so
    /// swap traffic is absent.
    pub(in crate::sampler) fn details(&mut self, _: &Memory) -> Result<MemoryDetails, SampleError> {
        let mut info = PERFORMANCE_INFORMATION::default();
        let size = u32::try_from(size_of::<PERFORMANCE_INFORMATION>()).unwrap_or_default();
        // SAFETY: the structure is ours and has that size.
        if unsafe { K32GetPerformanceInfo(&raw mut info, size) } == 0 {
            return Err(SampleError::read("GetPerformanceInfo", io::Error::last_os_error()));
        }
        let cached = (info.SystemCache as u64).saturating_mul(info.PageSize as u64);
        Ok(MemoryDetails { cached: Some(cached), ..MemoryDetails::default() })
    }
}
