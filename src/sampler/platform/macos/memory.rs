//! Memory from `host_statistics64(HOST_VM_INFO64)`, its size and swap from `sysctl`. (sysinfo counts
//! what programs use lately as available, and keeps quiet about failures.)

use std::{
    io,
    mem::{MaybeUninit, offset_of},
    slice,
};

use libc::vm_statistics64;

use super::{super::darwin::memory, sysctl};
use crate::{
    sample::Memory,
    sampler::{SampleError, root::HostRoot},
};

const _: () = {
    use memory::at;
    assert!(offset_of!(vm_statistics64, free_count) == at::FREE);
    assert!(offset_of!(vm_statistics64, active_count) == at::ACTIVE);
    assert!(offset_of!(vm_statistics64, inactive_count) == at::INACTIVE);
    assert!(offset_of!(vm_statistics64, pageins) == at::PAGEINS);
    assert!(offset_of!(vm_statistics64, pageouts) == at::PAGEOUTS);
    assert!(offset_of!(vm_statistics64, faults) == at::FAULTS);
    assert!(offset_of!(vm_statistics64, purgeable_count) == at::PURGEABLE);
    assert!(offset_of!(vm_statistics64, speculative_count) == at::SPECULATIVE);
    assert!(offset_of!(vm_statistics64, swapins) == at::SWAPINS);
    assert!(offset_of!(vm_statistics64, swapouts) == at::SWAPOUTS);
    assert!(offset_of!(vm_statistics64, external_page_count) == at::EXTERNAL);
    assert!(offset_of!(libc::xsw_usage, xsu_total) == 0);
    assert!(offset_of!(libc::xsw_usage, xsu_avail) == 8);
};

const WHAT: &str = "host_statistics64";

/// Reads Mach's statistics of memory.
pub(in crate::sampler) struct MemorySource {
    host: libc::mach_port_t,
}

impl MemorySource {
    /// Takes the host's port once: each taking counts as one more reference.
    #[expect(deprecated, reason = "libc points to the crate mach2, which has the same call")]
    pub(in crate::sampler) fn new(_: &HostRoot) -> Self {
        // SAFETY: takes nothing and gives a port name.
        Self { host: unsafe { libc::mach_host_self() } }
    }

    /// What is to be read, without what follows from it; see [`memory::parse`].
    pub(in crate::sampler) fn read(&mut self) -> Result<Memory, SampleError> {
        let statistics = self.statistics().map_err(|error| SampleError::read(WHAT, error))?;
        let total = sysctl::decoded(c"hw.memsize", memory::total)?;
        let page = rustix::param::page_size() as u64;
        let memory = memory::parse(&statistics, total, page);
        let mut memory = memory.ok_or(SampleError::Malformed { what: WHAT.into() })?;
        let swap = sysctl::decoded(c"vm.swapusage", memory::swap)?;
        (memory.swap.total, memory.swap.free) = swap;
        Ok(memory)
    }

    /// As much of the structure as this kernel has.
    fn statistics(&self) -> io::Result<Vec<u8>> {
        let mut info = MaybeUninit::<vm_statistics64>::zeroed();
        let mut length = libc::HOST_VM_INFO64_COUNT;
        // SAFETY: `info` has room for `length` integers.
        let result = unsafe {
            let info = info.as_mut_ptr().cast();
            libc::host_statistics64(self.host, libc::HOST_VM_INFO64, info, &raw mut length)
        };
        if result != libc::KERN_SUCCESS {
            return Err(io::Error::other(format!("Mach says {result}")));
        }
        let filled = usize::try_from(length).unwrap_or_default() * size_of::<libc::integer_t>();
        let filled = filled.min(size_of::<vm_statistics64>());
        // SAFETY: all bytes were zeroed before, and these then filled; they are plain numbers.
        Ok(unsafe { slice::from_raw_parts(info.as_ptr().cast::<u8>(), filled) }.to_vec())
    }
}
