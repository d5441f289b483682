//! Volumes and network drives, their usage from `GetDiskFreeSpaceExW`, and physical drives.

use std::{io, os::windows::ffi::OsStrExt, path::Path};

use windows_sys::Win32::Storage::FileSystem::GetDiskFreeSpaceExW;

use super::{drives::Drives, volumes};
use crate::{
    sample::{Device, Pressure},
    sampler::{
        SampleError,
        disk::{Mount, Usage},
        root::HostRoot,
    },
};

/// Reads volumes and physical drives.
pub(in crate::sampler) struct DiskSource {
    drives: Drives,
}

impl DiskSource {
    /// Touches nothing yet.
    pub(in crate::sampler) fn new(_: &HostRoot) -> Self {
        Self { drives: Drives::default() }
    }

    /// Volumes with a letter or a directory, at each of them, and network drives of this logon
    /// session. Asks no server.
    pub(in crate::sampler) fn mounts_if_changed(
        &mut self,
    ) -> Result<Option<Vec<Mount>>, SampleError> {
        let mounts = volumes::local().map_err(|error| SampleError::read("the volumes", error))?;
        let remote =
            volumes::remote().map_err(|error| SampleError::read("the network drives", error))?;
        Ok(Some([mounts, remote].concat()))
    }

    /// The list is read at each reading.
    pub(in crate::sampler) fn mounts_are_stale(&mut self) {}

    /// This system doesn't count that.
    pub(in crate::sampler) fn pressure(&mut self) -> Option<Pressure> {
        None
    }

    /// Physical drives that are there and count.
    pub(in crate::sampler) fn devices(&mut self) -> Result<Vec<Device>, SampleError> {
        self.drives.read().map_err(|error| SampleError::read("the names of the drives", error))
    }
}

/// `GetDiskFreeSpaceExW`: sizes under the user's quota, if there is one. Waits for a dead server as
/// long as the system does.
pub(in crate::sampler) fn usage(path: &Path) -> io::Result<Usage> {
    let name: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    let (mut available, mut total, mut free) = (0, 0, 0);
    // SAFETY: the path ends with a zero; the three results are ours.
    let done = unsafe {
        GetDiskFreeSpaceExW(name.as_ptr(), &raw mut available, &raw mut total, &raw mut free)
    };
    if done == 0 {
        return Err(io::Error::last_os_error());
    }
    // With a quota, the free space is that of the volume but the total that of the user.
    Ok(Usage {
        total,
        free: free.min(total),
        available,
        inodes: None,
        read_only: None,
        number: None,
    })
}
