//! Mounts from `getfsstat`, usage from `statfs` (whose counts have 64 bits, unlike those of
//! `statvfs` here), devices from the I/O Registry.

use std::{
    ffi::{CStr, OsStr, c_char},
    io,
    os::unix::ffi::OsStrExt,
    path::Path,
    ptr,
};

use super::io_registry;
use crate::{
    sample::{Device, Mode, Pressure},
    sampler::{
        SampleError,
        disk::{Mount, Usage},
        root::HostRoot,
    },
};

/// Reads mounts and block devices.
pub(in crate::sampler) struct DiskSource;

impl DiskSource {
    /// Touches nothing yet.
    pub(in crate::sampler) fn new(_: &HostRoot) -> Self {
        Self
    }

    /// What the kernel knows of the mounts; asks no file system and so waits for none.
    pub(in crate::sampler) fn mounts_if_changed(
        &mut self,
    ) -> Result<Option<Vec<Mount>>, SampleError> {
        let mounts = getfsstat().map_err(|error| SampleError::read("getfsstat", error))?;
        Ok(Some(mounts.iter().map(mount).collect()))
    }

    /// The list is read at each reading.
    pub(in crate::sampler) fn mounts_are_stale(&mut self) {}

    /// This system doesn't count that.
    pub(in crate::sampler) fn pressure(&mut self) -> Option<Pressure> {
        None
    }

    /// Whole disks; see [`io_registry`].
    pub(in crate::sampler) fn devices(&mut self) -> Result<Vec<Device>, SampleError> {
        io_registry::devices().map_err(|error| SampleError::read("the I/O Registry", error))
    }
}

/// Asks the file system that is mounted there; waits for a dead server for ever.
pub(in crate::sampler) fn usage(path: &Path) -> io::Result<Usage> {
    let stat = rustix::fs::statfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_bsize.into());
    Ok(Usage {
        total: bytes(stat.f_blocks),
        free: bytes(stat.f_bfree),
        available: bytes(stat.f_bavail),
        inodes: (stat.f_files > 0).then_some((stat.f_files, stat.f_ffree)),
        read_only: None,
    })
}

fn getfsstat() -> io::Result<Vec<libc::statfs>> {
    // SAFETY: without a buffer the call only counts.
    let count = unsafe { libc::getfsstat(ptr::null_mut(), 0, libc::MNT_NOWAIT) };
    // Room for those that are mounted in between.
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())? + 8;
    // SAFETY: plain numbers and characters, for which zero is a value.
    let mut mounts = vec![unsafe { std::mem::zeroed::<libc::statfs>() }; count];
    let bytes = i32::try_from(count * size_of::<libc::statfs>()).unwrap_or(i32::MAX);
    // SAFETY: the buffer has at least that many bytes.
    let filled = unsafe { libc::getfsstat(mounts.as_mut_ptr(), bytes, libc::MNT_NOWAIT) };
    mounts.truncate(usize::try_from(filled).map_err(|_| io::Error::last_os_error())?);
    Ok(mounts)
}

fn mount(stat: &libc::statfs) -> Mount {
    let path = bytes(&stat.f_mntonname);
    let text = |name: &[c_char]| String::from_utf8_lossy(&bytes(name)).into_owned();
    let read_only = stat.f_flags & u32::try_from(libc::MNT_RDONLY).unwrap_or_default() != 0;
    Mount {
        identity: text(&stat.f_mntfromname),
        device: text(&stat.f_mntfromname),
        path: OsStr::from_bytes(&path).into(),
        mountpoint: String::from_utf8_lossy(&path).into_owned(),
        kind: text(&stat.f_fstypename),
        mode: if read_only { Mode::ReadOnly } else { Mode::ReadWrite },
        read_only_here: read_only,
        partial: false,
    }
}

fn bytes(name: &[c_char]) -> Vec<u8> {
    let bytes: Vec<u8> = name.iter().map(|&byte| byte.cast_unsigned()).collect();
    CStr::from_bytes_until_nul(&bytes)
        .map_or_else(|_| bytes.clone(), |name| name.to_bytes().to_vec())
}
