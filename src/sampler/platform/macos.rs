//! macOS: Mach for processors and memory, `getfsstat` and the I/O Registry for disks, `sysctl` for
//! sockets, sysinfo for interfaces. Absent: iowait, interrupts, steal, buffers, dropped packets.
#![expect(unsafe_code, reason = "Mach, sysctl and IOKit have no safe interface")]
#![allow(
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "the sources of all platforms look alike"
)]

mod cpu;
mod disk;
mod io_registry;
mod memory;
mod network;
mod pcblist;

pub(in crate::sampler) use cpu::CpuSource;
pub(in crate::sampler) use disk::{DiskSource, usage};
pub(in crate::sampler) use memory::MemorySource;
pub(in crate::sampler) use network::NetworkSource;
