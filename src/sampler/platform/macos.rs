//! macOS: Mach for processors and memory, `getfsstat` and the I/O Registry for disks, `sysctl` for
//! swap, interfaces, protocols and sockets. This only makes the calls; `darwin` decodes what they
//! give. What the system lacks is absent, and named in docs/metrics.md.
#![expect(unsafe_code, reason = "Mach, sysctl and IOKit have no safe interface")]
#![allow(
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "the sources of all platforms look alike"
)]

mod cpu;
mod disk;
mod io_registry;
mod media;
mod memory;
mod network;
mod sysctl;

pub(in crate::sampler) use cpu::CpuSource;
pub(in crate::sampler) use disk::{DiskSource, usage};
pub(in crate::sampler) use memory::MemorySource;
pub(in crate::sampler) use network::NetworkSource;
