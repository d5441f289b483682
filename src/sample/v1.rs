//! A sample as records of format version 1 hold it: bincode, field by field, in this order. Never to
//! be changed; what is read becomes a [`Sample`] of today at once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de::Error};

use super::{CpuTime, IoTime};

mod today;

/// Reads a sample of version 1.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<super::Sample, D::Error> {
    Sample::deserialize(from).map(Into::into)
}

#[derive(Debug, Deserialize)]
struct Sample {
    #[serde(deserialize_with = "from_micros")]
    timestamp: Timestamp,
    since_boot: Option<Duration>,
    origin: Origin,
    interval: Duration,
    metrics: Metrics,
}

#[derive(Debug, Deserialize)]
struct Origin {
    host: String,
    tags: BTreeMap<String, String>,
    boot_id: [u8; 16],
}

#[derive(Debug, Deserialize)]
enum Metrics {
    Cpu(Cpu),
    Memory(Memory),
    Disk(Disk),
    Network(Network),
}

fn from_micros<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    Timestamp::from_microsecond(i64::deserialize(from)?).map_err(D::Error::custom)
}

#[derive(Debug, Deserialize)]
struct Cpu {
    utilization: Option<f32>,
    logical_count: u32,
    load_average: Option<LoadAverage>,
    time: CpuTimes,
    cpus: Option<Vec<LogicalCpu>>,
}

#[derive(Debug, Deserialize)]
struct LoadAverage {
    one: f32,
    five: f32,
    fifteen: f32,
}

#[derive(Debug, Deserialize)]
struct CpuTimes {
    user: CpuTime,
    nice: Option<CpuTime>,
    system: CpuTime,
    idle: CpuTime,
    iowait: Option<CpuTime>,
    interrupt: Option<CpuTime>,
    softirq: Option<CpuTime>,
    steal: Option<CpuTime>,
}

#[derive(Debug, Deserialize)]
struct LogicalCpu {
    id: u32,
    utilization: Option<f32>,
    time: CpuTimes,
}

#[derive(Debug, Deserialize)]
struct Memory {
    total: u64,
    used: u64,
    free: u64,
    available: u64,
    buffers: Option<u64>,
    cached: Option<u64>,
    utilization: Option<f32>,
    limit: Option<u64>,
    swap: Swap,
}

#[derive(Debug, Deserialize)]
struct Swap {
    total: u64,
    used: u64,
    free: u64,
    utilization: Option<f32>,
    swapped_in: Option<u64>,
    swapped_out: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Disk {
    filesystems: Vec<Filesystem>,
    devices: Option<Vec<Device>>,
}

#[derive(Debug, Deserialize)]
struct Filesystem {
    device: String,
    mountpoint: String,
    kind: String,
    mode: Mode,
    total: Option<u64>,
    used: Option<u64>,
    free: Option<u64>,
    available: Option<u64>,
    utilization: Option<f32>,
    inodes: Option<Inodes>,
}

#[derive(Debug, Deserialize)]
enum Mode {
    ReadWrite,
    ReadOnly,
}

#[derive(Debug, Deserialize)]
struct Inodes {
    total: u64,
    used: u64,
    free: u64,
    utilization: Option<f32>,
}

#[derive(Debug, Deserialize)]
struct Device {
    name: String,
    reads: Option<u64>,
    writes: Option<u64>,
    read_bytes: Option<u64>,
    write_bytes: Option<u64>,
    read_time: Option<IoTime>,
    write_time: Option<IoTime>,
    io_time: Option<IoTime>,
    reads_per_second: Option<f32>,
    writes_per_second: Option<f32>,
    read_bytes_per_second: Option<f32>,
    write_bytes_per_second: Option<f32>,
}

#[derive(Debug, Deserialize)]
struct Network {
    interfaces: Vec<Interface>,
    connections: Option<Connections>,
}

#[derive(Debug, Deserialize)]
struct Interface {
    name: String,
    receive: Traffic,
    transmit: Traffic,
}

#[derive(Debug, Deserialize)]
struct Traffic {
    bytes: u64,
    packets: u64,
    errors: Option<u64>,
    dropped: Option<u64>,
    bytes_per_second: Option<f32>,
    packets_per_second: Option<f32>,
}

#[derive(Debug, Deserialize)]
struct Connections {
    tcp: Option<TcpStates>,
    udp: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct TcpStates {
    established: u64,
    syn_sent: u64,
    syn_recv: u64,
    fin_wait1: u64,
    fin_wait2: u64,
    time_wait: u64,
    close: u64,
    close_wait: u64,
    last_ack: u64,
    listen: u64,
    closing: u64,
}
