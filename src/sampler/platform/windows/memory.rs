//! Memory from `GlobalMemoryStatusEx` and `GetPerformanceInfo`, page files from `EnumPageFiles`,
//! faults and traffic from `NtQuerySystemInformation(SystemPerformanceInformation)`. (sysinfo tells
//! the commit limit without the memory for swap, which isn't what the page files hold.)

use std::{ffi::c_void, io};

use windows_sys::{
    Wdk::System::SystemInformation::SystemPerformanceInformation,
    Win32::System::{
        ProcessStatus::{ENUM_PAGE_FILE_INFORMATION, K32EnumPageFilesW, PERFORMANCE_INFORMATION},
        SystemInformation::{GlobalMemoryStatusEx, MEMORYSTATUSEX},
    },
    core::{BOOL, PCWSTR},
};

use super::{
    super::nt::system::{self, Counters},
    query,
};
use crate::{
    sample::Memory,
    sampler::{SampleError, root::HostRoot},
};

/// Reads memory and swap.
pub(in crate::sampler) struct MemorySource;

impl MemorySource {
    /// Touches nothing yet.
    pub(in crate::sampler) fn new(_: &HostRoot) -> Self {
        Self
    }

    /// What is to be read, without what follows from it.
    ///
    /// `free` is `available`: what of it is empty and what a cache is told to administrators alone.
    /// `cached` is the system's cache. What the kernel reads from page files it counts with what it
    /// reads from others, so that one is absent.
    pub(in crate::sampler) fn read(&mut self) -> Result<Memory, SampleError> {
        let status = status().map_err(|error| SampleError::read("GlobalMemoryStatusEx", error))?;
        let info =
            query::performance().map_err(|error| SampleError::read("GetPerformanceInfo", error))?;
        let page = info.PageSize as u64;
        let bytes = |pages: usize| (pages as u64).saturating_mul(page);
        let mut memory = Memory {
            total: status.ullTotalPhys,
            free: status.ullAvailPhys,
            available: status.ullAvailPhys,
            cached: Some(bytes(info.SystemCache)),
            committed: Some(bytes(info.CommitTotal)),
            commit_limit: Some(bytes(info.CommitLimit)),
            ..Memory::default()
        };
        let files = PageFiles::read().unwrap_or_else(|_| PageFiles::beyond_memory(&info));
        memory.swap.total = bytes(files.total);
        memory.swap.free = bytes(files.total.saturating_sub(files.used));
        let counted = query::system(SystemPerformanceInformation, system::PERFORMANCE_BYTES).ok();
        if let Some(counters) = counted.and_then(|counted| Counters::parse(&counted)) {
            counters.add_to(&mut memory, page);
        }
        Ok(memory)
    }
}

fn status() -> io::Result<MEMORYSTATUSEX> {
    let mut status = MEMORYSTATUSEX::default();
    status.dwLength = query::size(&status);
    // SAFETY: the structure is ours and says its size.
    if unsafe { GlobalMemoryStatusEx(&raw mut status) } == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(status)
}

/// All page files together, in pages; none on a machine without.
#[derive(Default)]
struct PageFiles {
    total: usize,
    used: usize,
}

impl PageFiles {
    /// What may be and is promised beyond the memory: near enough where the files themselves can't
    /// be listed.
    fn beyond_memory(info: &PERFORMANCE_INFORMATION) -> Self {
        let beyond = |pages: usize| pages.saturating_sub(info.PhysicalTotal);
        Self { total: beyond(info.CommitLimit), used: beyond(info.CommitTotal) }
    }

    fn read() -> io::Result<Self> {
        let mut files = Self::default();
        // SAFETY: the system calls `add` with the context that it gets here, before it returns.
        if unsafe { K32EnumPageFilesW(Some(add), (&raw mut files).cast()) } == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(files)
    }
}

/// Adds one page file to the context.
unsafe extern "system" fn add(
    context: *mut c_void,
    file: *mut ENUM_PAGE_FILE_INFORMATION,
    _: PCWSTR,
) -> BOOL {
    // SAFETY: the context is the `PageFiles` that `read` gave, borrowed by nobody else meanwhile;
    // the system's structure lives as long as this call.
    if let (Some(files), Some(file)) =
        unsafe { (context.cast::<PageFiles>().as_mut(), file.as_ref()) }
    {
        files.total = files.total.saturating_add(file.TotalSize);
        files.used = files.used.saturating_add(file.TotalInUse);
    }
    1
}
