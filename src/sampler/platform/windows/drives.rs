//! Physical drives: their names from the object manager, their counters from
//! `IOCTL_DISK_PERFORMANCE`, what they are from `IOCTL_STORAGE_QUERY_PROPERTY`. None of it needs a
//! right on the drive.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io,
    mem::offset_of,
    os::windows::{fs::OpenOptionsExt, io::AsRawHandle},
    ptr,
    time::{Duration, Instant},
};

use windows_sys::Win32::{
    Storage::FileSystem::{FILE_SHARE_READ, FILE_SHARE_WRITE},
    System::{
        IO::DeviceIoControl,
        Ioctl::{
            DISK_PERFORMANCE, IOCTL_DISK_PERFORMANCE, IOCTL_STORAGE_QUERY_PROPERTY,
            PropertyStandardQuery, STORAGE_DEVICE_DESCRIPTOR, STORAGE_PROPERTY_QUERY,
            StorageDeviceProperty,
        },
    },
};

use super::{
    super::nt::{drive, names},
    query, volumes,
};
use crate::sample::Device;

const _: () = assert!(
    size_of::<DISK_PERFORMANCE>() == drive::PERFORMANCE_BYTES
        && offset_of!(DISK_PERFORMANCE, IdleTime) == 32
        && offset_of!(DISK_PERFORMANCE, ReadCount) == 40
        && offset_of!(DISK_PERFORMANCE, QueueDepth) == 48
        && offset_of!(STORAGE_DEVICE_DESCRIPTOR, BusType) == drive::BUS
);

/// Reads the drives, and remembers how long each has been idle.
#[derive(Default)]
pub(super) struct Drives {
    idle: BTreeMap<String, (Instant, Duration)>,
}

impl Drives {
    /// Those that are there and count.
    pub(super) fn read(&mut self) -> io::Result<Vec<Device>> {
        let numbers = names::drives(&volumes::dos_device(None)?);
        let mut idle = BTreeMap::new();
        let mut devices = Vec::new();
        for name in numbers.into_iter().map(|number| format!("PhysicalDrive{number}")) {
            let Some((mut device, idle_now)) = read(&name) else { continue };
            let now = Instant::now();
            if let Some((at, before)) = self.idle.get(&name) {
                let elapsed = now.saturating_duration_since(*at);
                device.utilization = drive::busy(*before, idle_now, elapsed);
            }
            idle.insert(name, (now, idle_now));
            devices.push(device);
        }
        // What is gone is forgotten: another drive may get its name.
        self.idle = idle;
        Ok(devices)
    }
}

/// `None` for a drive that went meanwhile or doesn't count.
fn read(name: &str) -> Option<(Device, Duration)> {
    let drive = OpenOptions::new()
        .access_mode(0)
        .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE)
        .open(format!(r"\\.\{name}"))
        .ok()?;
    let nothing: [u8; 0] = [];
    let performance = DISK_PERFORMANCE::default();
    let performance = control(&drive, IOCTL_DISK_PERFORMANCE, &nothing, performance).ok()?;
    let (device, idle) = drive::parse(name.to_owned(), query::bytes(&[performance]))?;
    Some((Device { kind: descriptor(&drive).and_then(|it| drive::kind(&it)), ..device }, idle))
}

fn descriptor(drive: &File) -> Option<Vec<u8>> {
    let query = STORAGE_PROPERTY_QUERY {
        PropertyId: StorageDeviceProperty,
        QueryType: PropertyStandardQuery,
        ..STORAGE_PROPERTY_QUERY::default()
    };
    let descriptor = STORAGE_DEVICE_DESCRIPTOR::default();
    let descriptor = control(drive, IOCTL_STORAGE_QUERY_PROPERTY, &[query], descriptor).ok()?;
    Some(query::bytes(&[descriptor]).to_vec())
}

/// The answer that the drive writes over `answer`; of a longer one the beginning.
fn control<I, O>(drive: &File, code: u32, input: &[I], mut answer: O) -> io::Result<O> {
    let asked = u32::try_from(size_of_val(input)).unwrap_or_default();
    let room = query::size(&answer);
    let mut written = 0;
    // SAFETY: the handle is open; the input has that size, the answer is ours and has the other.
    let done = unsafe {
        DeviceIoControl(
            drive.as_raw_handle(),
            code,
            input.as_ptr().cast(),
            asked,
            (&raw mut answer).cast(),
            room,
            &raw mut written,
            ptr::null_mut(),
        )
    };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}
