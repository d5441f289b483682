//! Figures of file systems and block devices.

use serde::Serialize;

use super::{Pressure, share, ticks};
use crate::sample::{
    IoTime,
    pack::{Codec, Layout, Malformed, Result},
};

/// Figures of [`Group::Disk`](crate::sample::Group::Disk).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Disk {
    /// Each file system once.
    pub filesystems: Vec<Filesystem>,
    /// Each block device; `None` where the platform doesn't tell.
    pub devices: Option<Vec<Device>>,
    /// Time in which tasks waited for a disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Pressure>,
}

/// One mounted file system; sizes in bytes, `None` when it is unavailable.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Filesystem {
    /// What is mounted.
    pub device: String,
    /// Where; the shortest path when it is mounted more than once.
    pub mountpoint: String,
    /// `ext4`, say.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether the file system itself can be written.
    pub mode: Mode,
    /// Why there are no sizes; `None` where there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<Unavailable>,
    /// All of it.
    pub total: Option<u64>,
    /// `total` without `free`.
    pub used: Option<u64>,
    /// Free, what only root may take included.
    pub free: Option<u64>,
    /// Free for everyone.
    pub available: Option<u64>,
    /// `used / (used + available)`, 0 to 1, as `df` has it.
    pub utilization: Option<f32>,
    /// File nodes; `None` where the file system has no fixed number of them.
    pub inodes: Option<Inodes>,
}

/// Whether a file system can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum Mode {
    /// Read and write.
    #[default]
    #[serde(rename = "rw")]
    ReadWrite,
    /// Read only.
    #[serde(rename = "ro")]
    ReadOnly,
}

/// Why a file system tells nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unavailable {
    /// The system says no.
    Refused,
    /// It doesn't answer.
    Hangs,
}

/// File nodes of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Inodes {
    /// All of them.
    pub total: u64,
    /// In use.
    pub used: u64,
    /// Not in use.
    pub free: u64,
    /// `used` as a share of `total`, 0 to 1.
    pub utilization: Option<f32>,
}

/// One block device: counters since boot, and their rates since the last reading.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Device {
    /// The kernel's name, `nvme0n1` or `dm-0`, say.
    pub device: String,
    /// Whether it is a part of another one or stands on others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<DeviceKind>,
    /// Completed reads.
    pub reads: Option<u64>,
    /// Completed writes.
    pub writes: Option<u64>,
    /// Bytes read.
    pub read_bytes: Option<u64>,
    /// Bytes written.
    pub write_bytes: Option<u64>,
    /// Time that all reads took together.
    pub read_time: Option<IoTime>,
    /// Time that all writes took together.
    pub write_time: Option<IoTime>,
    /// Time in which at least one operation was under way.
    pub io_time: Option<IoTime>,
    /// Time that operations were under way, each counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weighted_io_time: Option<IoTime>,
    /// Operations under way now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u64>,
    /// Reads that became part of another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reads_merged: Option<u64>,
    /// Writes that became part of another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes_merged: Option<u64>,
    /// Completed discards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discards: Option<u64>,
    /// Discards that became part of another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discards_merged: Option<u64>,
    /// Bytes discarded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discard_bytes: Option<u64>,
    /// Time that all discards took together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discard_time: Option<IoTime>,
    /// Completed flushes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flushes: Option<u64>,
    /// Time that all flushes took together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flush_time: Option<IoTime>,
    /// Share of the time since the last reading in which it was busy, 0 to 1.
    pub utilization: Option<f32>,
    /// Rate of `reads`.
    pub reads_per_second: Option<f32>,
    /// Rate of `writes`.
    pub writes_per_second: Option<f32>,
    /// Rate of `read_bytes`.
    pub read_bytes_per_second: Option<f32>,
    /// Rate of `write_bytes`.
    pub write_bytes_per_second: Option<f32>,
}

/// What a block device is: whole disks and no others add up to all the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// A whole disk of hardware, or what the hypervisor shows as one.
    Disk,
    /// A part of another device, whose figures include it.
    Partition,
    /// Made by the kernel, mostly of others: device mapper, RAID, loop, zram.
    Virtual,
}

impl Filesystem {
    /// Fills in what follows from other figures: what is used and its share.
    #[must_use]
    pub fn derive(mut self) -> Self {
        self.used = self.expected_used();
        self.utilization = self.expected_utilization();
        self
    }

    fn expected_used(&self) -> Option<u64> {
        Some(self.total?.saturating_sub(self.free?))
    }

    fn expected_utilization(&self) -> Option<f32> {
        share(self.used?, self.used?.saturating_add(self.available?))
    }
}

impl Inodes {
    /// Of so many, so many are free.
    #[must_use]
    pub fn new(total: u64, free: u64) -> Self {
        let used = total.saturating_sub(free);
        Self { total, used, free, utilization: share(used, total) }
    }
}

impl Layout for Disk {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        codec.list(&mut self.filesystems)?;
        codec.optional(&mut self.devices, C::list)?;
        codec.optional(&mut self.pressure, |codec, pressure| pressure.layout(codec))
    }
}

impl Layout for Filesystem {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        codec.text(&mut self.device)?;
        codec.text(&mut self.mountpoint)?;
        codec.text(&mut self.kind)?;
        let mut read_only = Some(self.mode == Mode::ReadOnly);
        codec.flag(&mut read_only)?;
        self.mode = if read_only == Some(true) { Mode::ReadOnly } else { Mode::ReadWrite };
        let mut hangs = self.unavailable.map(|unavailable| unavailable == Unavailable::Hangs);
        codec.flag(&mut hangs)?;
        let why = |hangs| if hangs { Unavailable::Hangs } else { Unavailable::Refused };
        self.unavailable = hangs.map(why);
        for bytes in [&mut self.total, &mut self.free, &mut self.available] {
            codec.size(bytes)?;
        }
        let expected = self.expected_used();
        codec.derived(&mut self.used, expected, C::size)?;
        let expected = self.expected_utilization();
        codec.derived(&mut self.utilization, expected, C::float)?;
        codec.optional(&mut self.inodes, |codec, inodes| inodes.layout(codec))
    }
}

impl Layout for Inodes {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        codec.number(&mut self.total)?;
        codec.number(&mut self.free)?;
        codec.derived(&mut self.used, self.total.saturating_sub(self.free), C::number)?;
        codec.derived(&mut self.utilization, share(self.used, self.total), C::float)
    }
}

impl Layout for Device {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        codec.text(&mut self.device)?;
        let mut kind = self.kind.map(DeviceKind::number);
        codec.count(&mut kind)?;
        self.kind = kind.map(DeviceKind::numbered).transpose()?;
        let Self { reads, writes, in_flight, reads_merged, writes_merged, discards, .. } = self;
        for count in [reads, writes, in_flight, reads_merged, writes_merged, discards] {
            codec.count(count)?;
        }
        codec.count(&mut self.discards_merged)?;
        codec.count(&mut self.flushes)?;
        for bytes in [&mut self.read_bytes, &mut self.write_bytes, &mut self.discard_bytes] {
            codec.size(bytes)?;
        }
        let Self { read_time, write_time, io_time, weighted_io_time, .. } = self;
        for time in [read_time, write_time, io_time, weighted_io_time] {
            ticks(time, codec)?;
        }
        ticks(&mut self.discard_time, codec)?;
        ticks(&mut self.flush_time, codec)?;
        codec.float(&mut self.utilization)?;
        codec.float(&mut self.reads_per_second)?;
        codec.float(&mut self.writes_per_second)?;
        codec.float(&mut self.read_bytes_per_second)?;
        codec.float(&mut self.write_bytes_per_second)
    }
}

impl DeviceKind {
    fn number(self) -> u64 {
        match self {
            Self::Disk => 0,
            Self::Partition => 1,
            Self::Virtual => 2,
        }
    }

    fn numbered(number: u64) -> Result<Self> {
        match number {
            0 => Ok(Self::Disk),
            1 => Ok(Self::Partition),
            2 => Ok(Self::Virtual),
            _ => Err(Malformed),
        }
    }
}
