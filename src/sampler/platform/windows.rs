//! Windows: the NT kernel's own counters for processors and disks, IP Helper for the network,
//! sysinfo for volumes. Absent: load average, iowait, steal, inodes, buffers, swap traffic.
#![expect(unsafe_code, reason = "the system's calls have no safe interface")]
#![allow(
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "the sources of all platforms look alike"
)]

mod cpu;
mod disk;
mod memory;
mod network;
mod tcp_table;

pub(in crate::sampler) use cpu::CpuSource;
pub(in crate::sampler) use disk::{DiskSource, usage};
pub(in crate::sampler) use memory::MemorySource;
pub(in crate::sampler) use network::NetworkSource;
