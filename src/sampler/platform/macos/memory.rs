//! Memory and swap from sysinfo, the rest from `host_statistics64(HOST_VM_INFO64)`.

use std::io;

use super::super::sysinfo_memory::SysinfoMemory;
use crate::{
    sample::Memory,
    sampler::{SampleError, root::HostRoot},
};

/// Reads Mach's statistics of memory.
pub(in crate::sampler) struct MemorySource {
    host: libc::mach_port_t,
    basis: SysinfoMemory,
}

impl MemorySource {
    /// Takes the host's port once: each taking counts as one more reference.
    #[expect(deprecated, reason = "libc points to the crate mach2, which has the same call")]
    pub(in crate::sampler) fn new(_: &HostRoot) -> Self {
        // SAFETY: takes nothing and gives a port name.
        Self { host: unsafe { libc::mach_host_self() }, basis: SysinfoMemory::default() }
    }

    /// What is to be read, without what follows from it. `cached` are the pages that belong to files; swap counts whole pages in and out.
    pub(in crate::sampler) fn read(&mut self) -> Result<Memory, SampleError> {
        let mut memory = self.basis.read()?;
        // SAFETY: plain numbers, for which zero is a value.
        let mut info: libc::vm_statistics64 = unsafe { std::mem::zeroed() };
        let mut length = libc::HOST_VM_INFO64_COUNT;
        // SAFETY: `info` has room for `length` integers.
        let result = unsafe {
            let info = (&raw mut info).cast();
            libc::host_statistics64(self.host, libc::HOST_VM_INFO64, info, &raw mut length)
        };
        if result != libc::KERN_SUCCESS {
            let error = io::Error::other(format!("Mach says {result}"));
            return Err(SampleError::read("host_statistics64", error));
        }
        let page = rustix::param::page_size() as u64;
        let bytes = |pages: u64| Some(pages.saturating_mul(page));
        memory.cached = bytes(info.external_page_count.into());
        memory.swap.swapped_in = bytes(info.swapins);
        memory.swap.swapped_out = bytes(info.swapouts);
        Ok(memory)
    }
}
