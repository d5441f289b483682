//! Where volumes and network drives are mounted. The volume manager and the object manager answer,
//! never a server; a volume is only asked for the name of its file system.

use std::{ffi::OsString, io, os::windows::ffi::OsStringExt, ptr};

use windows_sys::Win32::{
    Foundation::{
        ERROR_INSUFFICIENT_BUFFER, ERROR_MORE_DATA, ERROR_NO_MORE_FILES, ERROR_NOT_READY, HANDLE,
        INVALID_HANDLE_VALUE,
    },
    Storage::FileSystem::{
        FindFirstVolumeW, FindNextVolumeW, FindVolumeClose, GetDriveTypeW, GetLogicalDriveStringsW,
        GetVolumeInformationW, GetVolumePathNamesForVolumeNameW, QueryDosDeviceW,
    },
    System::WindowsProgramming::{DRIVE_CDROM, DRIVE_REMOTE},
};

use super::super::nt::names;
use crate::{sample::Mode, sampler::disk::Mount};

/// The longest name of a volume, `\\?\Volume{…}\` with its zero, is 50.
const VOLUME_NAME: usize = 64;
/// `FILE_READ_ONLY_VOLUME`.
const READ_ONLY_VOLUME: u32 = 0x8_0000;
/// The longest list of names that is read.
const MOST_UNITS: usize = 1 << 22;

/// Volumes of this machine, at each of their mount points. Volumes without any, optical media and
/// empty drives are left out.
pub(super) fn local() -> io::Result<Vec<Mount>> {
    let mut mounts = Vec::new();
    for volume in Volumes::new()? {
        let volume = volume?;
        // SAFETY: the name ends with a zero.
        let kind = unsafe { GetDriveTypeW(volume.as_ptr()) };
        // One that is always full tells nothing, and asking for it may start its motor.
        if kind != DRIVE_CDROM {
            mounts.extend(mounts_of(&volume));
        }
    }
    Ok(mounts)
}

/// Network drives of this logon session.
pub(super) fn remote() -> io::Result<Vec<Mount>> {
    let letters = filled(|to, units| {
        // SAFETY: the buffer has room for that many units.
        unsafe { GetLogicalDriveStringsW(units, to) }
    })?;
    Ok(names::list(&letters).filter_map(remote_mount).collect())
}

/// What the object manager says of a name that ends with a zero; without one, all names there are.
pub(super) fn dos_device(name: Option<&[u16]>) -> io::Result<Vec<u16>> {
    let name = name.map_or(ptr::null(), <[u16]>::as_ptr);
    filled(|to, units| {
        // SAFETY: the name is none or ends with a zero; the buffer has room for that many units.
        unsafe { QueryDosDeviceW(name, to, units) }
    })
}

fn remote_mount(root: &[u16]) -> Option<Mount> {
    let root_zero: Vec<u16> = root.iter().copied().chain([0]).collect();
    // SAFETY: the name ends with a zero.
    if unsafe { GetDriveTypeW(root_zero.as_ptr()) } != DRIVE_REMOTE {
        return None;
    }
    let letter: Vec<u16> =
        root.iter().copied().filter(|&unit| unit != u16::from(b'\\')).chain([0]).collect();
    let targets = dos_device(Some(&letter)).ok()?;
    let (share, kind) = names::remote(names::list(&targets).next()?)?;
    Some(Mount {
        identity: share.clone(),
        device: share,
        path: OsString::from_wide(root).into(),
        mountpoint: names::text(root),
        kind: kind.into(),
        mode: Mode::ReadWrite,
        read_only_here: false,
        partial: false,
        remote: true,
    })
}

fn mounts_of(volume: &[u16]) -> Vec<Mount> {
    let Some((kind, read_only)) = file_system(volume) else { return Vec::new() };
    let identity = names::list(volume).next().map(names::text).unwrap_or_default();
    let device = device(volume).unwrap_or_else(|| identity.clone());
    let paths = paths(volume).unwrap_or_default();
    let mount = |path: &[u16]| Mount {
        identity: identity.clone(),
        device: device.clone(),
        path: OsString::from_wide(path).into(),
        mountpoint: names::text(path),
        kind: kind.clone(),
        mode: if read_only { Mode::ReadOnly } else { Mode::ReadWrite },
        read_only_here: read_only,
        partial: false,
        remote: false,
    };
    names::list(&paths).map(mount).collect()
}

/// `\\?\Volume{…}\` without what is around it names the device.
fn device(volume: &[u16]) -> Option<String> {
    let name = names::list(volume).next()?;
    let name = name.get(4..name.len().checked_sub(1)?)?;
    let name: Vec<u16> = name.iter().copied().chain([0]).collect();
    let targets = dos_device(Some(&name)).ok()?;
    names::list(&targets).next().map(names::device)
}

/// Letters and directories.
fn paths(volume: &[u16]) -> io::Result<Vec<u16>> {
    let mut needed = 0;
    filled(|to, units| {
        // SAFETY: the name ends with a zero; the buffer has room for that many units; the length is
        // ours.
        let done = unsafe {
            GetVolumePathNamesForVolumeNameW(volume.as_ptr(), to, units, &raw mut needed)
        };
        // The other calls tell the length in their result.
        if done == 0 { 0 } else { units }
    })
}

/// The file system's name, and whether nothing can be written to it; `None` for a drive without a
/// medium. What can't be read (an encrypted volume that is locked, say) has no name.
fn file_system(volume: &[u16]) -> Option<(String, bool)> {
    let (mut flags, mut name) = (0, [0_u16; 64]);
    let units = u32::try_from(name.len()).unwrap_or_default();
    // SAFETY: the name of the volume ends with a zero; the other has room for that many units.
    let done = unsafe {
        GetVolumeInformationW(
            volume.as_ptr(),
            ptr::null_mut(),
            0,
            ptr::null_mut(),
            ptr::null_mut(),
            &raw mut flags,
            name.as_mut_ptr(),
            units,
        )
    };
    if done == 0 {
        let empty = is(&io::Error::last_os_error(), ERROR_NOT_READY);
        return (!empty).then(|| ("unknown".into(), false));
    }
    let name = names::list(&name).next().map(names::text).unwrap_or_default();
    Some((name, flags & READ_ONLY_VOLUME != 0))
}

/// Calls until the list has room: it may grow in between.
fn filled(mut call: impl FnMut(*mut u16, u32) -> u32) -> io::Result<Vec<u16>> {
    let mut units = vec![0_u16; 1024];
    loop {
        let room = u32::try_from(units.len()).unwrap_or(u32::MAX);
        let length = call(units.as_mut_ptr(), room);
        if length > 0 && length <= room {
            return Ok(units);
        }
        if length == 0 {
            let error = io::Error::last_os_error();
            if !is(&error, ERROR_INSUFFICIENT_BUFFER) && !is(&error, ERROR_MORE_DATA) {
                return Err(error);
            }
        }
        if units.len() >= MOST_UNITS {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        units = vec![0; units.len() * 4];
    }
}

fn is(error: &io::Error, code: u32) -> bool {
    error.raw_os_error().and_then(|code| u32::try_from(code).ok()) == Some(code)
}

/// The volumes of this machine; the names end with a zero.
struct Volumes {
    search: HANDLE,
    /// The one that was found last and not yet given.
    found: Option<[u16; VOLUME_NAME]>,
}

impl Volumes {
    fn new() -> io::Result<Self> {
        let mut name = [0_u16; VOLUME_NAME];
        // SAFETY: the buffer has room for that many units.
        let search = unsafe { FindFirstVolumeW(name.as_mut_ptr(), units(&name)) };
        if search == INVALID_HANDLE_VALUE {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { search, found: Some(name) })
    }
}

impl Iterator for Volumes {
    type Item = io::Result<[u16; VOLUME_NAME]>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(name) = self.found.take() {
            return Some(Ok(name));
        }
        let mut name = [0_u16; VOLUME_NAME];
        // SAFETY: the search is open; the buffer has room for that many units.
        if unsafe { FindNextVolumeW(self.search, name.as_mut_ptr(), units(&name)) } != 0 {
            return Some(Ok(name));
        }
        let error = io::Error::last_os_error();
        (!is(&error, ERROR_NO_MORE_FILES)).then_some(Err(error))
    }
}

impl Drop for Volumes {
    fn drop(&mut self) {
        // SAFETY: the search is open and not used after this.
        unsafe { FindVolumeClose(self.search) };
    }
}

/// The zero at the end isn't for the system to fill.
fn units(name: &[u16; VOLUME_NAME]) -> u32 {
    u32::try_from(name.len() - 1).unwrap_or_default()
}
