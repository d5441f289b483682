//! Windows: the NT kernel's own counters for processors, memory and disks, the volume manager for
//! volumes, IP Helper for the network. This only makes the calls; `nt` decodes what they give. What
//! the system lacks is absent, and named in docs/metrics.md.
#![expect(unsafe_code, reason = "the system's calls have no safe interface")]
#![allow(
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "the sources of all platforms look alike"
)]

mod cpu;
mod disk;
mod drives;
mod memory;
mod network;
mod query;
mod volumes;

pub(in crate::sampler) use cpu::CpuSource;
pub(in crate::sampler) use disk::{DiskSource, usage};
pub(in crate::sampler) use memory::MemorySource;
pub(in crate::sampler) use network::NetworkSource;
