//! Volumes from sysinfo, their usage from `GetDiskFreeSpaceExW`, physical drives from
//! `IOCTL_DISK_PERFORMANCE`, which needs no right on the drive.

use std::{
    fs::{File, OpenOptions},
    io,
    os::windows::{ffi::OsStrExt, fs::OpenOptionsExt, io::AsRawHandle},
    path::Path,
    ptr,
};

use sysinfo::{Disk, DiskRefreshKind, Disks};
use windows_sys::Win32::{
    Storage::FileSystem::{FILE_SHARE_READ, FILE_SHARE_WRITE, GetDiskFreeSpaceExW},
    System::{
        IO::DeviceIoControl,
        Ioctl::{DISK_PERFORMANCE, IOCTL_DISK_PERFORMANCE},
    },
};

use crate::{
    sample::{Device, DeviceKind, IoTime, Mode, Pressure, Ticks},
    sampler::{
        SampleError,
        disk::{Mount, Usage},
        root::HostRoot,
    },
};

/// Numbers of drives may have gaps.
const DRIVES: u32 = 32;

/// Reads volumes and physical drives.
pub(in crate::sampler) struct DiskSource {
    volumes: Option<Disks>,
}

impl DiskSource {
    /// Touches nothing yet.
    pub(in crate::sampler) fn new(_: &HostRoot) -> Self {
        Self { volumes: None }
    }

    /// Fixed and removable volumes. A volume mounted at several paths shows as many times, each
    /// with the volume's serial number.
    pub(in crate::sampler) fn mounts_if_changed(
        &mut self,
    ) -> Result<Option<Vec<Mount>>, SampleError> {
        let mut volumes = match self.volumes.take() {
            Some(volumes) => volumes,
            None => Disks::new().map_err(|error| {
                SampleError::read("the volumes", io::Error::other(error.to_string()))
            })?,
        };
        volumes.refresh_specifics(true, DiskRefreshKind::nothing());
        let mounts = volumes.iter().map(mount).collect();
        self.volumes = Some(volumes);
        Ok(Some(mounts))
    }

    /// The list is read at each reading.
    pub(in crate::sampler) fn mounts_are_stale(&mut self) {}

    /// This system doesn't count that.
    pub(in crate::sampler) fn pressure(&mut self) -> Option<Pressure> {
        None
    }

    /// Physical drives that are there and count.
    pub(in crate::sampler) fn devices(&mut self) -> Result<Vec<Device>, SampleError> {
        Ok((0..DRIVES).filter_map(|number| device(number).ok()).collect())
    }
}

/// `GetDiskFreeSpaceExW`: sizes under the user's quota, if there is one.
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
    Ok(Usage { total, free: free.min(total), available, inodes: None, read_only: None })
}

fn mount(volume: &Disk) -> Mount {
    let path = volume.mount_point();
    let mountpoint = path.to_string_lossy().into_owned();
    Mount {
        identity: volume.id().map_or_else(|| mountpoint.clone(), |serial| serial.to_string()),
        device: volume.name().to_string_lossy().into_owned(),
        path: path.to_owned(),
        mountpoint,
        kind: volume.file_system().to_string_lossy().into_owned(),
        mode: if volume.is_read_only() { Mode::ReadOnly } else { Mode::ReadWrite },
        read_only_here: volume.is_read_only(),
        partial: false,
    }
}

fn device(number: u32) -> io::Result<Device> {
    let device = format!("PhysicalDrive{number}");
    let drive = OpenOptions::new()
        .access_mode(0)
        .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE)
        .open(format!(r"\\.\{device}"))?;
    let performance = performance(&drive)?;
    let count = |count: i64| u64::try_from(count).ok();
    // In 100 ns.
    let time = |spent: i64| -> Option<IoTime> { count(spent).map(|spent| Ticks(spent / 10_000)) };
    Ok(Device {
        device,
        kind: Some(DeviceKind::Disk),
        reads: Some(performance.ReadCount.into()),
        writes: Some(performance.WriteCount.into()),
        read_bytes: count(performance.BytesRead),
        write_bytes: count(performance.BytesWritten),
        read_time: time(performance.ReadTime),
        write_time: time(performance.WriteTime),
        ..Device::default()
    })
}

fn performance(drive: &File) -> io::Result<DISK_PERFORMANCE> {
    let mut performance = DISK_PERFORMANCE::default();
    let size = u32::try_from(size_of::<DISK_PERFORMANCE>()).unwrap_or_default();
    let mut written = 0;
    // SAFETY: the handle is open, the result ours and of that size; nothing is passed in.
    let done = unsafe {
        DeviceIoControl(
            drive.as_raw_handle(),
            IOCTL_DISK_PERFORMANCE,
            ptr::null(),
            0,
            (&raw mut performance).cast(),
            size,
            &raw mut written,
            ptr::null_mut(),
        )
    };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(performance) }
}
