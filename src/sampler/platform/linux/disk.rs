//! Mounts, their usage, and block devices: `/proc/self/mountinfo`, `statvfs`, `/proc/diskstats`.

use std::io;

use rustix::fs::StatVfsMountFlags;

use super::{diskstats, mountinfo, proc_file::ProcFile};
use crate::{
    sample::Device,
    sampler::{
        SampleError,
        disk::{Mount, Usage},
    },
};

/// The kernel tells of mounts that come and go, but not of a file system that turned read-only
/// below a mount that was so before: for that the list is read again after so many readings.
const MAX_UNREAD: u32 = 10;

/// Reads mounts and block devices.
pub(in crate::sampler) struct DiskSource {
    mountinfo: ProcFile,
    diskstats: ProcFile,
    /// Readings for which the mounts that were read last are good enough.
    still_good: u32,
}

impl DiskSource {
    /// Touches nothing yet.
    pub(in crate::sampler) fn new() -> Self {
        Self {
            mountinfo: ProcFile::new("/proc/self/mountinfo"),
            diskstats: ProcFile::new("/proc/diskstats"),
            still_good: 0,
        }
    }

    /// The mounts of this mount namespace, in the order in which they were made; `None` when they
    /// are as before. With many of them the list is the dearest of all files read here.
    pub(in crate::sampler) fn mounts_if_changed(
        &mut self,
    ) -> Result<Option<Vec<Mount>>, SampleError> {
        let changed = self.mountinfo.has_changed();
        if !changed && self.still_good > 0 {
            self.still_good -= 1;
            return Ok(None);
        }
        self.still_good = 0;
        let mounts = mountinfo::parse(&self.mountinfo.read()?);
        if mounts.is_empty() {
            return Err(self.mountinfo.malformed());
        }
        self.still_good = MAX_UNREAD;
        Ok(Some(mounts))
    }

    /// Asks the file system that is mounted there; waits for a dead server for ever.
    pub(in crate::sampler) fn usage(&mut self, of: &Mount) -> io::Result<Usage> {
        let stat = rustix::fs::statvfs(&of.path)?;
        if stat.f_flag.contains(StatVfsMountFlags::RDONLY) != of.read_only_here {
            self.still_good = 0;
        }
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
