//! The typed figures of each group, with the names of the wire. What a platform lacks is `None`,
//! never 0. Bincode stores these by position: a changed field is a new version of the record.

use serde::{Deserialize, Serialize};

use super::{CpuTime, IoTime};

/// Figures of [`Group::Cpu`](super::Group::Cpu).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Cpu {
    /// Busy share since the last reading, 0 to 1; idle and iowait aren't busy.
    pub utilization: Option<f32>,
    /// Logical processors that are online.
    pub logical_count: u32,
    /// Load average; Windows has none.
    pub load_average: Option<LoadAverage>,
    /// Time since boot by mode, summed over all processors.
    pub time: CpuTimes,
    /// Each logical processor, unless the configuration leaves them out.
    pub cpus: Option<Vec<LogicalCpu>>,
}

/// Average number of runnable tasks over 1, 5 and 15 minutes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct LoadAverage {
    /// Over one minute.
    #[serde(rename = "1m")]
    pub one: f32,
    /// Over five minutes.
    #[serde(rename = "5m")]
    pub five: f32,
    /// Over fifteen minutes.
    #[serde(rename = "15m")]
    pub fifteen: f32,
}

/// Processor time since boot by mode. On Linux, time of guests is part of `user` and `nice`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CpuTimes {
    /// Programs.
    pub user: CpuTime,
    /// Programs of low priority.
    pub nice: Option<CpuTime>,
    /// The kernel, interrupts not included.
    pub system: CpuTime,
    /// Nothing to do.
    pub idle: CpuTime,
    /// Nothing to do but wait for the disk.
    pub iowait: Option<CpuTime>,
    /// Interrupts.
    pub interrupt: Option<CpuTime>,
    /// Deferred interrupts.
    pub softirq: Option<CpuTime>,
    /// Taken by the hypervisor.
    pub steal: Option<CpuTime>,
}

/// One logical processor.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct LogicalCpu {
    /// The kernel's number; offline processors leave gaps.
    pub id: u32,
    /// Busy share since the last reading, 0 to 1.
    pub utilization: Option<f32>,
    /// Time since boot by mode.
    pub time: CpuTimes,
}

/// Figures of [`Group::Memory`](super::Group::Memory), in bytes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Of the host, also inside a container.
    pub total: u64,
    /// `total` without `available`.
    pub used: u64,
    /// Not used for anything.
    pub free: u64,
    /// What programs could get without swapping.
    pub available: u64,
    /// Raw disk blocks, as `/proc/meminfo` has it.
    pub buffers: Option<u64>,
    /// Page cache, as `/proc/meminfo` has it.
    pub cached: Option<u64>,
    /// `used` as a share of `total`, 0 to 1.
    pub utilization: Option<f32>,
    /// The container's own limit; `None` where it has none.
    pub limit: Option<u64>,
    /// Swap space.
    pub swap: Swap,
}

/// Swap space, in bytes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Swap {
    /// All of it; 0 on a machine without swap.
    pub total: u64,
    /// In use.
    pub used: u64,
    /// Not in use.
    pub free: u64,
    /// `used` as a share of `total`, 0 to 1; `None` without swap.
    pub utilization: Option<f32>,
    /// Read from swap since boot.
    #[serde(rename = "in")]
    pub swapped_in: Option<u64>,
    /// Written to swap since boot.
    #[serde(rename = "out")]
    pub swapped_out: Option<u64>,
}

/// Figures of [`Group::Disk`](super::Group::Disk).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Disk {
    /// Each file system once.
    pub filesystems: Vec<Filesystem>,
    /// Each block device; `None` where the platform doesn't tell.
    pub devices: Option<Vec<Device>>,
}

/// One mounted file system; sizes in bytes, `None` when the process may not look.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Mode {
    /// Read and write.
    #[default]
    #[serde(rename = "rw")]
    ReadWrite,
    /// Read only.
    #[serde(rename = "ro")]
    ReadOnly,
}

/// File nodes of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Device {
    /// The kernel's name, `nvme0n1` or `dm-0`, say.
    pub device: String,
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
    /// Rate of `reads`.
    pub reads_per_second: Option<f32>,
    /// Rate of `writes`.
    pub writes_per_second: Option<f32>,
    /// Rate of `read_bytes`.
    pub read_bytes_per_second: Option<f32>,
    /// Rate of `write_bytes`.
    pub write_bytes_per_second: Option<f32>,
}

/// Figures of [`Group::Network`](super::Group::Network).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Network {
    /// Each interface.
    pub interfaces: Vec<Interface>,
    /// Sockets, unless the configuration leaves them out.
    pub connections: Option<Connections>,
}

/// One network interface.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Interface {
    /// The system's name.
    pub name: String,
    /// What came in.
    pub receive: Traffic,
    /// What went out.
    pub transmit: Traffic,
}

/// One direction of an interface: counters since boot, and their rates since the last reading.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets with errors.
    pub errors: Option<u64>,
    /// Packets dropped.
    pub dropped: Option<u64>,
    /// Rate of `bytes`.
    pub bytes_per_second: Option<f32>,
    /// Rate of `packets`.
    pub packets_per_second: Option<f32>,
}

/// Sockets of IPv4 and IPv6 together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Connections {
    /// TCP sockets by state.
    pub tcp: Option<TcpStates>,
    /// Open UDP sockets.
    pub udp: Option<u64>,
}

/// TCP sockets by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the states of RFC 9293, one field each")]
pub struct TcpStates {
    pub established: u64,
    pub syn_sent: u64,
    pub syn_recv: u64,
    pub fin_wait1: u64,
    pub fin_wait2: u64,
    pub time_wait: u64,
    pub close: u64,
    pub close_wait: u64,
    pub last_ack: u64,
    pub listen: u64,
    pub closing: u64,
}
