//! File systems and block devices. Chooses the mounts, counts each file system once and fills in
//! rates; the readings are the platform's. A mount that is left out is never touched.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::{Duration, Instant},
};

use glob::Pattern;
use tracing::warn;

use super::{
    SampleError, Sampler,
    partial::Part,
    platform,
    rate::{Previous, per_second_of, share},
};
use crate::sample::{Device, Disk, Filesystem, Group, Inodes, Metrics, Mode};

/// One mount, before anything asked the file system itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// What tells file systems apart: two mounts with the same identity are one file system.
    pub(super) identity: String,
    /// What is mounted, for people.
    pub(super) device: String,
    /// Where, for the system.
    pub(super) path: PathBuf,
    /// Where, for people.
    pub(super) mountpoint: String,
    /// The type of the file system.
    pub(super) kind: String,
    /// Of the file system itself.
    pub(super) mode: Mode,
    /// Nothing can be written here, because of the file system or of this mount of it.
    pub(super) read_only_here: bool,
    /// Only a part of the file system is mounted here (a bind mount, a file).
    pub(super) partial: bool,
}

/// What a file system says of itself; bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Usage {
    /// All of it.
    pub(super) total: u64,
    /// Free, what only root may take included.
    pub(super) free: u64,
    /// Free for everyone.
    pub(super) available: u64,
    /// All file nodes and the free ones.
    pub(super) inodes: Option<(u64, u64)>,
}

/// What is left out.
pub(super) struct Filter {
    /// By type of the file system; never the root.
    pub(super) types: Vec<Pattern>,
    /// By mount point.
    pub(super) mounts: Vec<Pattern>,
    /// By name of the block device; never the root.
    pub(super) devices: Vec<Pattern>,
}

impl Filter {
    fn admits(&self, mount: &Mount) -> bool {
        let hit = |globs: &[Pattern], name: &str| globs.iter().any(|glob| glob.matches(name));
        // An agent that doesn't see a full root file system is of no use: only naming it helps.
        let root = mount.mountpoint == "/";
        !hit(&self.mounts, &mount.mountpoint)
            && (root || !hit(&self.types, &mount.kind) && self.admits_device(&mount.device))
    }

    fn admits_device(&self, device: &str) -> bool {
        let name = device.strip_prefix("/dev/").unwrap_or(device);
        !self.devices.iter().any(|glob| glob.matches(name) || glob.matches(device))
    }
}

/// Samples [`Group::Disk`].
pub(super) struct DiskSampler {
    source: platform::DiskSource,
    filter: Filter,
    devices: Part,
    chosen: Vec<Mount>,
    refused: BTreeSet<String>,
    previous: Option<Previous<Vec<Device>>>,
}

impl DiskSampler {
    /// Leaves out what `filter` says.
    pub(super) fn new(filter: Filter) -> Self {
        Self {
            source: platform::DiskSource::new(),
            filter,
            devices: Part::new("block devices"),
            chosen: Vec::new(),
            refused: BTreeSet::new(),
            previous: None,
        }
    }

    fn filesystems(&mut self) -> Result<Vec<Filesystem>, SampleError> {
        if let Some(mounts) = self.source.mounts_if_changed()? {
            self.chosen = select(mounts, &self.filter);
        }
        let chosen = std::mem::take(&mut self.chosen);
        let filesystems = chosen.iter().filter_map(|mount| self.filesystem(mount)).collect();
        self.chosen = chosen;
        Ok(filesystems)
    }

    /// `None` for a file system without blocks: there is nothing in it to fill up.
    fn filesystem(&mut self, mount: &Mount) -> Option<Filesystem> {
        let usage = match self.source.usage(mount) {
            Ok(usage) if usage.total == 0 => return None,
            Ok(usage) => {
                self.refused.remove(&mount.mountpoint);
                Some(usage)
            }
            Err(error) => {
                if self.refused.insert(mount.mountpoint.clone()) {
                    warn!(mountpoint = mount.mountpoint, %error, "file system is unavailable");
                }
                None
            }
        };
        Some(filesystem(mount, usage))
    }

    fn devices(&mut self) -> Result<Vec<Device>, SampleError> {
        let mut devices = self.source.devices()?;
        let now = Instant::now();
        devices.retain(|device| self.filter.admits_device(&device.device));
        if let Some(previous) = &self.previous {
            fill_rates(&mut devices, &previous.reading, previous.elapsed(now));
        }
        self.previous = Some(Previous::new(now, devices.clone()));
        Ok(devices)
    }
}

impl Sampler for DiskSampler {
    fn group(&self) -> Group {
        Group::Disk
    }

    fn sample(&mut self) -> Result<Metrics, SampleError> {
        let filesystems = self.filesystems()?;
        let devices = self.devices();
        Ok(Metrics::Disk(Disk { filesystems, devices: self.devices.settle(devices) }))
    }
}

/// The mounts to report: what is visible, each file system once, without what is left out.
fn select(mounts: Vec<Mount>, filter: &Filter) -> Vec<Mount> {
    // A later mount on the same directory hides the earlier one.
    let visible: BTreeMap<PathBuf, Mount> =
        mounts.into_iter().map(|mount| (mount.path.clone(), mount)).collect();
    let mut best: BTreeMap<String, Mount> = BTreeMap::new();
    for mount in visible.into_values() {
        match best.get(&mount.identity) {
            Some(known) if preference(known) <= preference(&mount) => {}
            _ => {
                best.insert(mount.identity.clone(), mount);
            }
        }
    }
    let mut chosen: Vec<Mount> = best.into_values().filter(|mount| filter.admits(mount)).collect();
    chosen.sort_by(|a, b| a.path.cmp(&b.path));
    chosen
}

/// The lesser, the better a mount stands for its file system: the root, the whole, the shortest.
fn preference(mount: &Mount) -> (bool, bool, usize) {
    (mount.mountpoint != "/", mount.partial, mount.mountpoint.len())
}

fn filesystem(mount: &Mount, usage: Option<Usage>) -> Filesystem {
    let used = usage.map(|usage| usage.total.saturating_sub(usage.free));
    let available = usage.map(|usage| usage.available);
    Filesystem {
        device: mount.device.clone(),
        mountpoint: mount.mountpoint.clone(),
        kind: mount.kind.clone(),
        mode: mount.mode,
        total: usage.map(|usage| usage.total),
        used,
        free: usage.map(|usage| usage.free),
        available,
        utilization: used.zip(available).and_then(|(used, left)| share(used, used + left)),
        inodes: usage.and_then(|usage| usage.inodes).map(inodes),
    }
}

fn inodes((total, free): (u64, u64)) -> Inodes {
    let used = total.saturating_sub(free);
    Inodes { total, used, free, utilization: share(used, total) }
}

fn fill_rates(now: &mut [Device], before: &[Device], elapsed: Duration) {
    for device in now {
        let Some(earlier) = before.iter().find(|earlier| earlier.device == device.device) else {
            continue;
        };
        let rate = |before, now| per_second_of(before, now, elapsed);
        device.reads_per_second = rate(earlier.reads, device.reads);
        device.writes_per_second = rate(earlier.writes, device.writes);
        device.read_bytes_per_second = rate(earlier.read_bytes, device.read_bytes);
        device.write_bytes_per_second = rate(earlier.write_bytes, device.write_bytes);
    }
}

#[cfg(test)]
mod tests;
