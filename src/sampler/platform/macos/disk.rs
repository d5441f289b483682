//! Mounts from `getfsstat`, usage from `statfs` (whose counts have 64 bits, unlike those of
//! `statvfs` here), devices from the I/O Registry.

use std::{
    ffi::{CStr, OsStr, c_char},
    io,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use super::{super::names, io_registry};
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
        number: None,
        total: bytes(stat.f_blocks),
        free: bytes(stat.f_bfree),
        available: bytes(stat.f_bavail),
        inodes: (stat.f_files > 0).then_some((stat.f_files, stat.f_ffree)),
        read_only: None,
    })
}

/// Grows until there is room to spare: mounts may have been added in between.
fn getfsstat() -> io::Result<Vec<libc::statfs>> {
    let mut room = 32;
    loop {
        // SAFETY: plain numbers and characters, for which zero is a value.
        let mut mounts = vec![unsafe { std::mem::zeroed::<libc::statfs>() }; room];
        let bytes = i32::try_from(size_of_val(&*mounts)).unwrap_or(i32::MAX);
        // SAFETY: the buffer has at least that many bytes.
        let filled = unsafe { libc::getfsstat(mounts.as_mut_ptr(), bytes, libc::MNT_NOWAIT) };
        let filled = usize::try_from(filled).map_err(|_| io::Error::last_os_error())?;
        if filled < room || bytes == i32::MAX {
            mounts.truncate(filled);
            return Ok(mounts);
        }
        room *= 4;
    }
}

fn mount(stat: &libc::statfs) -> Mount {
    let path = bytes(&stat.f_mntonname);
    let text = |name: &[c_char]| names::escape(&bytes(name)).into_owned();
    let is = |flag: i32| stat.f_flags & flag.cast_unsigned() != 0;
    Mount {
        identity: text(&stat.f_mntfromname),
        device: text(&stat.f_mntfromname),
        path: OsStr::from_bytes(&path).into(),
        mountpoint: names::escape(&path).into_owned(),
        kind: text(&stat.f_fstypename),
        mode: if is(libc::MNT_RDONLY) { Mode::ReadOnly } else { Mode::ReadWrite },
        read_only_here: is(libc::MNT_RDONLY),
        partial: false,
        remote: !is(libc::MNT_LOCAL),
    }
}

fn bytes(name: &[c_char]) -> Vec<u8> {
    let bytes: Vec<u8> = name.iter().map(|&byte| byte.cast_unsigned()).collect();
    CStr::from_bytes_until_nul(&bytes)
        .map_or_else(|_| bytes.clone(), |name| name.to_bytes().to_vec())
}
