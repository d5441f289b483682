//! Mounts, their usage, and block devices: `/proc/self/mountinfo`, `statvfs`, `/proc/diskstats`, and
//! `/sys` for what a device is.

use std::{
    collections::BTreeMap,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::fs::StatVfsMountFlags;

use super::{diskstats, mountinfo, names, pressure::PressureFile, proc_file::ProcFile};
use crate::{
    sample::{Device, DeviceKind, Pressure},
    sampler::{
        SampleError,
        disk::{Mount, Usage},
        root::HostRoot,
    },
};

/// The kernel tells of mounts that come and go, but not of a file system that turned read-only
/// below a mount that was so before: for that the list is read again after so many readings.
const MAX_UNREAD: u32 = 10;

/// Reads mounts and block devices.
pub(in crate::sampler) struct DiskSource {
    root: HostRoot,
    mountinfo: ProcFile,
    diskstats: ProcFile,
    pressure: PressureFile,
    kinds: BTreeMap<String, Option<DeviceKind>>,
    /// Readings for which the mounts that were read last are good enough.
    still_good: u32,
}

impl DiskSource {
    /// Touches nothing yet.
    pub(in crate::sampler) fn new(root: &HostRoot) -> Self {
        let of = if root.0.is_some() { "1/mountinfo" } else { "self/mountinfo" };
        Self {
            mountinfo: ProcFile::new(root.proc(of)),
            diskstats: ProcFile::new(root.proc("diskstats")),
            pressure: PressureFile::new(root.proc("pressure/io")),
            kinds: BTreeMap::new(),
            still_good: 0,
            root: root.clone(),
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
        let mounts = self.mounts()?;
        if mounts.is_empty() {
            return Err(self.mountinfo.malformed());
        }
        self.still_good = MAX_UNREAD;
        Ok(Some(mounts))
    }

    /// A mount isn't as the list says: it is read anew next time.
    pub(in crate::sampler) fn mounts_are_stale(&mut self) {
        self.still_good = 0;
    }

    /// With a host's root: those of its first process, or without the right to read them those of
    /// our own that lie below the root.
    fn mounts(&mut self) -> Result<Vec<Mount>, SampleError> {
        let mounts = self.mountinfo.read().map(|text| mountinfo::parse(&text));
        let Some(root) = self.root.0.clone() else { return mounts };
        if let Ok(mut mounts) = mounts {
            for mount in &mut mounts {
                mount.path = self.root.path(&mount.path);
            }
            return Ok(mounts);
        }
        let own = mountinfo::parse(&ProcFile::new("/proc/self/mountinfo").read()?);
        Ok(own.into_iter().filter_map(|mount| below(&root, mount)).collect())
    }

    /// Every block device and partition of `/proc/diskstats`.
    pub(in crate::sampler) fn devices(&mut self) -> Result<Vec<Device>, SampleError> {
        let parsed = diskstats::parse(&self.diskstats.read()?);
        let mut devices = parsed.ok_or_else(|| self.diskstats.malformed())?;
        // What is gone is forgotten: another device may get its name.
        let mut kinds = BTreeMap::new();
        for device in &mut devices {
            let known = self.kinds.remove(&device.device);
            device.kind = known.unwrap_or_else(|| kind(&self.root, &device.device));
            kinds.insert(device.device.clone(), device.kind);
        }
        self.kinds = kinds;
        Ok(devices)
    }

    /// `/proc/pressure/io`.
    pub(in crate::sampler) fn pressure(&mut self) -> Option<Pressure> {
        self.pressure.read()
    }
}

/// Asks the file system that is mounted there; waits for a dead server for ever.
pub(in crate::sampler) fn usage(path: &Path) -> io::Result<Usage> {
    let stat = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok(Usage {
        total: bytes(stat.f_blocks),
        free: bytes(stat.f_bfree),
        available: bytes(stat.f_bavail),
        inodes: (stat.f_files > 0).then_some((stat.f_files, stat.f_ffree)),
        read_only: Some(stat.f_flag.contains(StatVfsMountFlags::RDONLY)),
        number: number(path),
    })
}

/// The number of the file system in which a directory lies. A file's (one is mounted as well) may be
/// that of another file system below.
fn number(path: &Path) -> Option<(u32, u32)> {
    let stat = rustix::fs::stat(path).ok()?;
    let is_directory = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir();
    is_directory.then(|| (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev)))
}

/// The mount as the host sees it; `None` if it lies elsewhere.
fn below(root: &Path, mount: Mount) -> Option<Mount> {
    let place = Path::new("/").join(mount.path.strip_prefix(root).ok()?);
    let mountpoint = names::escape(place.as_os_str().as_bytes()).into_owned();
    Some(Mount { mountpoint, ..mount })
}

/// What `/sys/class/block` says; `None` where that isn't to be seen.
fn kind(root: &HostRoot, device: &str) -> Option<DeviceKind> {
    // A slash in a name is an exclamation mark there.
    let directory = root.sys(PathBuf::from("class/block").join(device.replace('/', "!")));
    if directory.join("partition").exists() {
        Some(DeviceKind::Partition)
    } else if directory.join("device").exists() {
        Some(DeviceKind::Disk)
    } else {
        directory.exists().then_some(DeviceKind::Virtual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_system_that_answers_has_the_number_of_its_mount() {
        let mounts = DiskSource::new(&HostRoot::default()).mounts().unwrap();
        let proc = mounts.iter().rfind(|mount| mount.mountpoint == "/proc").unwrap();
        let (major, minor) = usage(&proc.path).unwrap().number.unwrap();
        assert_eq!(proc.identity, format!("{major}:{minor}"));
        assert_ne!(usage(Path::new("/")).unwrap().number, Some((major, minor)));
        assert_eq!(number(Path::new("/proc/self/stat")), None, "of a file nothing is known");
    }
}
