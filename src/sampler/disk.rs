//! File systems and block devices. Chooses the mounts, counts each file system once and fills in
//! rates; the readings are the platform's. A mount that is left out is never touched.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::atomic::AtomicUsize,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{
    SampleError, Sampler,
    filter::Globs,
    partial::Part,
    platform,
    rate::{Earlier, Previous, per_second_of, share},
    root::HostRoot,
};
use crate::sample::{Device, Disk, Filesystem, Group, Inodes, IoTime, Metrics, Mode, Unavailable};

mod probe;

#[cfg(unix)]
pub(super) use probe::helper;
use probe::{Prober, Trouble};

/// Those of this process that ask file systems which may hang.
static WORKERS: AtomicUsize = AtomicUsize::new(0);

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
    /// It lives on a network or the way to it does; a type that always does needn't say so.
    pub(super) remote: bool,
}

/// What a file system says of itself; bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Usage {
    /// All of it.
    pub(super) total: u64,
    /// Free, what only root may take included.
    pub(super) free: u64,
    /// Free for everyone.
    pub(super) available: u64,
    /// All file nodes and the free ones.
    pub(super) inodes: Option<(u64, u64)>,
    /// Nothing can be written there; `None` where the platform doesn't tell with the rest.
    pub(super) read_only: Option<bool>,
    /// The number of the file system that has answered, where mounts are told apart by that.
    pub(super) number: Option<(u32, u32)>,
}

/// Whether something else lies at the mount point, as seen from here: a later mount on a directory
/// above it, or the directory below a mount that wasn't passed on into this container.
fn is_hidden(mount: &Mount, usage: &Usage) -> bool {
    let number = mount.identity.split_once(':');
    let number = number.and_then(|(a, b)| Some((a.parse::<u32>().ok()?, b.parse::<u32>().ok()?)));
    number.is_some() && usage.number.is_some() && number != usage.number
}

/// What is sampled.
pub(super) struct Filter {
    /// By type of the file system; the root is never left out.
    pub(super) types: Globs,
    /// By mount point.
    pub(super) mounts: Globs,
    /// By name of the block device; the root is never left out.
    pub(super) devices: Globs,
}

impl Filter {
    fn admits(&self, mount: &Mount) -> bool {
        let Mount { mountpoint, kind, device, .. } = mount;
        if !self.mounts.admit(&[mountpoint]) {
            return false;
        }
        // An agent that doesn't see a full root file system is of no use: only naming it helps.
        if mountpoint == "/" {
            return self.types.let_in(&[kind]) && self.devices.let_in(&names(device));
        }
        self.types.admit(&[kind]) && self.admits_device(device)
    }

    fn admits_device(&self, device: &str) -> bool {
        self.devices.admit(&names(device))
    }

    /// Block devices go by the same globs as those that are mounted, by their name or their path.
    fn keep(&self, devices: &mut Vec<Device>) {
        let mut path = String::from("/dev/");
        devices.retain(|device| {
            path.truncate("/dev/".len());
            path.push_str(&device.device);
            self.admits_device(&path)
        });
    }
}

/// A device's name with and without its directory.
fn names(device: &str) -> [&str; 2] {
    [device.strip_prefix("/dev/").unwrap_or(device), device]
}

/// Samples [`Group::Disk`].
pub(super) struct DiskSampler {
    source: platform::DiskSource,
    prober: Prober,
    filter: Filter,
    devices: Part,
    chosen: Vec<Mount>,
    unavailable: BTreeSet<String>,
    previous: Option<Previous<Vec<Device>>>,
}

impl DiskSampler {
    /// Leaves out what `filter` says.
    pub(super) fn new(root: &HostRoot, filter: Filter) -> Self {
        Self {
            source: platform::DiskSource::new(root),
            prober: Prober::new(platform::usage, &WORKERS),
            filter,
            devices: Part::new("block devices"),
            chosen: Vec::new(),
            unavailable: BTreeSet::new(),
            previous: None,
        }
    }

    fn filesystems(&mut self) -> Result<Vec<Filesystem>, SampleError> {
        if let Some(mounts) = self.source.mounts_if_changed()? {
            self.choose(mounts);
        }
        self.prober.begin();
        let chosen = std::mem::take(&mut self.chosen);
        let filesystems = chosen.iter().filter_map(|mount| self.filesystem(mount)).collect();
        self.chosen = chosen;
        Ok(filesystems)
    }

    fn choose(&mut self, mounts: Vec<Mount>) {
        self.chosen = select(mounts, &self.filter);
        let names: BTreeSet<_> = self.chosen.iter().map(|mount| &mount.mountpoint).collect();
        // Some systems never mount at the same place twice.
        self.unavailable.retain(|mountpoint| names.contains(mountpoint));
        let paths: BTreeSet<_> = self.chosen.iter().map(|mount| &*mount.path).collect();
        self.prober.retain(|path| paths.contains(path));
    }

    /// `None` for a file system without blocks: there is nothing in it to fill up.
    fn filesystem(&mut self, mount: &Mount) -> Option<Filesystem> {
        let hidden = || Trouble::Refused(std::io::Error::other("another file system lies there"));
        let usage = self.prober.usage(mount);
        let usage = usage
            .and_then(|usage| if is_hidden(mount, &usage) { Err(hidden()) } else { Ok(usage) });
        if usage.as_ref().is_ok_and(|usage| usage.total == 0) {
            return None;
        }
        self.tell_changes(mount, &usage);
        if usage.as_ref().is_ok_and(|usage| usage.read_only == Some(!mount.read_only_here)) {
            self.source.mounts_are_stale();
        }
        Some(filesystem(mount, usage))
    }

    /// One line when a file system goes, one when it comes back.
    fn tell_changes(&mut self, Mount { mountpoint, .. }: &Mount, usage: &Result<Usage, Trouble>) {
        match usage {
            Ok(_) => {
                if self.unavailable.remove(mountpoint) {
                    info!(mountpoint, "file system is available again");
                }
            }
            Err(trouble) => {
                if self.unavailable.insert(mountpoint.clone()) {
                    match trouble {
                        Trouble::Refused(error) => {
                            warn!(mountpoint, %error, "file system is unavailable");
                        }
                        Trouble::Hangs => warn!(mountpoint, "file system doesn't answer"),
                    }
                }
            }
        }
    }

    fn devices(&mut self) -> Result<Vec<Device>, SampleError> {
        let mut devices = self.source.devices()?;
        let now = Instant::now();
        self.filter.keep(&mut devices);
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
        let devices = self.devices.settle(devices);
        Ok(Metrics::Disk(Disk { filesystems, devices, pressure: self.source.pressure() }))
    }
}

/// The mounts to report: what is visible, each file system once, without what is left out.
fn select(mounts: Vec<Mount>, filter: &Filter) -> Vec<Mount> {
    // A later mount on the same directory hides the earlier one.
    let mut visible: BTreeMap<PathBuf, Mount> =
        mounts.into_iter().map(|mount| (mount.path.clone(), mount)).collect();
    mark_remote_ways(&mut visible);
    let mut best: BTreeMap<String, Mount> = BTreeMap::new();
    // Who names one of several mounts means that one.
    let named = |mount: &Mount| filter.mounts.let_in(&[&mount.mountpoint]);
    for mount in visible.into_values().filter(named) {
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

/// The way to a local file system that is mounted below one that may hang leads through that.
fn mark_remote_ways(visible: &mut BTreeMap<PathBuf, Mount>) {
    let may_hang = visible.values().filter(|mount| probe::may_hang(mount));
    let remote: BTreeSet<PathBuf> = may_hang.map(|mount| mount.path.clone()).collect();
    if remote.is_empty() {
        return;
    }
    for mount in visible.values_mut() {
        mount.remote |= mount.path.ancestors().any(|way: &Path| remote.contains(way));
    }
}

/// The lesser, the better a mount stands for its file system: the root, the whole, the shortest.
fn preference(mount: &Mount) -> (bool, bool, usize) {
    (mount.mountpoint != "/", mount.partial, mount.mountpoint.len())
}

fn filesystem(mount: &Mount, usage: Result<Usage, Trouble>) -> Filesystem {
    let unavailable = usage.as_ref().err().map(|trouble| match trouble {
        Trouble::Refused(_) => Unavailable::Refused,
        Trouble::Hangs => Unavailable::Hangs,
    });
    let usage = usage.ok();
    let inodes = usage.and_then(|usage| usage.inodes);
    let filesystem = Filesystem {
        device: mount.device.clone(),
        mountpoint: mount.mountpoint.clone(),
        kind: mount.kind.clone(),
        mode: mount.mode,
        unavailable,
        total: usage.map(|usage| usage.total),
        free: usage.map(|usage| usage.free),
        available: usage.map(|usage| usage.available),
        inodes: inodes.map(|(total, free)| Inodes::new(total, free)),
        ..Filesystem::default()
    };
    filesystem.derive()
}

fn fill_rates(now: &mut [Device], before: &[Device], elapsed: Duration) {
    let mut before = Earlier::new(before);
    for device in now {
        let Some(earlier) = before.find(|earlier| earlier.device == device.device) else {
            continue;
        };
        let rate = |before, now| per_second_of(before, now, elapsed);
        device.reads_per_second = rate(earlier.reads, device.reads);
        device.writes_per_second = rate(earlier.writes, device.writes);
        device.read_bytes_per_second = rate(earlier.read_bytes, device.read_bytes);
        device.write_bytes_per_second = rate(earlier.write_bytes, device.write_bytes);
        // A platform without that counter may tell the share itself.
        let busy = busy_share(earlier.io_time, device.io_time, elapsed);
        device.utilization = busy.or(device.utilization);
    }
}

/// The kernel counts whole ticks, so the sum may be a little more than the time that has passed.
fn busy_share(before: Option<IoTime>, now: Option<IoTime>, elapsed: Duration) -> Option<f32> {
    let busy = Duration::from_millis(now?.0.checked_sub(before?.0)?);
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    share(micros(busy), micros(elapsed))
}

#[cfg(test)]
mod tests;
