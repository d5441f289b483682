//! Mounts, their usage, and block devices: `/proc/self/mountinfo`, `statvfs`, `/proc/diskstats`.

use std::{io, path::Path};

use super::{diskstats, mountinfo, proc_file::ProcFile};
use crate::{
    sample::Device,
    sampler::{
        SampleError,
        disk::{Mount, Usage},
    },
};

/// Reads mounts and block devices.
pub(in crate::sampler) struct DiskSource {
    mountinfo: ProcFile,
    diskstats: ProcFile,
}

impl DiskSource {
    /// Touches nothing yet.
    pub(in crate::sampler) fn new() -> Self {
        Self {
            mountinfo: ProcFile::new("/proc/self/mountinfo"),
            diskstats: ProcFile::new("/proc/diskstats"),
        }
    }

    /// The mounts of this mount namespace, in the order in which they were made.
    pub(in crate::sampler) fn mounts(&mut self) -> Result<Vec<Mount>, SampleError> {
        let mounts = mountinfo::parse(&self.mountinfo.read()?);
        if mounts.is_empty() { Err(self.mountinfo.malformed()) } else { Ok(mounts) }
    }

    /// Asks the file system that is mounted at `path`; waits for a dead server for ever.
    pub(in crate::sampler) fn usage(path: &Path) -> io::Result<Usage> {
        let stat = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Usage {
            total: bytes(stat.f_blocks),
            free: bytes(stat.f_bfree),
            available: bytes(stat.f_bavail),
            inodes: (stat.f_files > 0).then_some((stat.f_files, stat.f_ffree)),
        })
    }

    /// Every block device and partition of `/proc/diskstats`.
    pub(in crate::sampler) fn devices(&mut self) -> Result<Vec<Device>, SampleError> {
        let parsed = diskstats::parse(&self.diskstats.read()?);
        parsed.ok_or_else(|| self.diskstats.malformed())
    }
}
