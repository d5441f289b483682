//! What samples of version 1 are today: the same figures, and none of those that came later.

use super::{Arc, Sample as Old};
use crate::sample as now;

impl From<Old> for now::Sample {
    fn from(old: Old) -> Self {
        let super::Origin { host, tags, boot_id } = old.origin;
        Self {
            timestamp: old.timestamp,
            since_boot: old.since_boot,
            origin: Arc::new(now::Origin { host, tags, boot_id }),
            interval: old.interval,
            metrics: match old.metrics {
                super::Metrics::Cpu(figures) => now::Metrics::Cpu(figures.into()),
                super::Metrics::Memory(figures) => now::Metrics::Memory(figures.into()),
                super::Metrics::Disk(figures) => now::Metrics::Disk(figures.into()),
                super::Metrics::Network(figures) => now::Metrics::Network(figures.into()),
            },
        }
    }
}

impl From<super::Mode> for now::Mode {
    fn from(old: super::Mode) -> Self {
        match old {
            super::Mode::ReadWrite => Self::ReadWrite,
            super::Mode::ReadOnly => Self::ReadOnly,
        }
    }
}

impl From<super::Cpu> for now::Cpu {
    fn from(old: super::Cpu) -> Self {
        Self {
            utilization: old.utilization,
            logical_count: old.logical_count,
            load_average: old.load_average.map(Into::into),
            time: old.time.into(),
            cpus: old.cpus.map(each),
            ..Self::default()
        }
    }
}

impl From<super::LoadAverage> for now::LoadAverage {
    fn from(old: super::LoadAverage) -> Self {
        Self { one: old.one, five: old.five, fifteen: old.fifteen }
    }
}

impl From<super::CpuTimes> for now::CpuTimes {
    fn from(old: super::CpuTimes) -> Self {
        Self {
            user: old.user,
            nice: old.nice,
            system: old.system,
            idle: old.idle,
            iowait: old.iowait,
            interrupt: old.interrupt,
            softirq: old.softirq,
            steal: old.steal,
            ..Self::default()
        }
    }
}

impl From<super::LogicalCpu> for now::LogicalCpu {
    fn from(old: super::LogicalCpu) -> Self {
        Self { id: old.id, utilization: old.utilization, time: old.time.into() }
    }
}

impl From<super::Memory> for now::Memory {
    fn from(old: super::Memory) -> Self {
        Self {
            total: old.total,
            used: old.used,
            free: old.free,
            available: old.available,
            buffers: old.buffers,
            cached: old.cached,
            utilization: old.utilization,
            limit: old.limit,
            swap: old.swap.into(),
            ..Self::default()
        }
    }
}

impl From<super::Swap> for now::Swap {
    fn from(old: super::Swap) -> Self {
        Self {
            total: old.total,
            used: old.used,
            free: old.free,
            utilization: old.utilization,
            swapped_in: old.swapped_in,
            swapped_out: old.swapped_out,
            ..Self::default()
        }
    }
}

impl From<super::Disk> for now::Disk {
    fn from(old: super::Disk) -> Self {
        Self {
            filesystems: each(old.filesystems),
            devices: old.devices.map(each),
            ..Self::default()
        }
    }
}

impl From<super::Filesystem> for now::Filesystem {
    fn from(old: super::Filesystem) -> Self {
        Self {
            device: old.device,
            mountpoint: old.mountpoint,
            kind: old.kind,
            mode: old.mode.into(),
            total: old.total,
            used: old.used,
            free: old.free,
            available: old.available,
            utilization: old.utilization,
            inodes: old.inodes.map(Into::into),
            ..Self::default()
        }
    }
}

impl From<super::Inodes> for now::Inodes {
    fn from(old: super::Inodes) -> Self {
        Self { total: old.total, used: old.used, free: old.free, utilization: old.utilization }
    }
}

impl From<super::Device> for now::Device {
    fn from(old: super::Device) -> Self {
        Self {
            device: old.name,
            reads: old.reads,
            writes: old.writes,
            read_bytes: old.read_bytes,
            write_bytes: old.write_bytes,
            read_time: old.read_time,
            write_time: old.write_time,
            io_time: old.io_time,
            reads_per_second: old.reads_per_second,
            writes_per_second: old.writes_per_second,
            read_bytes_per_second: old.read_bytes_per_second,
            write_bytes_per_second: old.write_bytes_per_second,
            ..Self::default()
        }
    }
}

impl From<super::Network> for now::Network {
    fn from(old: super::Network) -> Self {
        Self {
            interfaces: each(old.interfaces),
            connections: old.connections.map(Into::into),
            ..Self::default()
        }
    }
}

impl From<super::Interface> for now::Interface {
    fn from(old: super::Interface) -> Self {
        Self {
            name: old.name,
            receive: old.receive.into(),
            transmit: old.transmit.into(),
            ..Self::default()
        }
    }
}

impl From<super::Traffic> for now::Traffic {
    fn from(old: super::Traffic) -> Self {
        Self {
            bytes: old.bytes,
            packets: old.packets,
            errors: old.errors,
            dropped: old.dropped,
            bytes_per_second: old.bytes_per_second,
            packets_per_second: old.packets_per_second,
            ..Self::default()
        }
    }
}

impl From<super::Connections> for now::Connections {
    fn from(old: super::Connections) -> Self {
        Self { tcp: old.tcp.map(Into::into), udp: old.udp }
    }
}

impl From<super::TcpStates> for now::TcpStates {
    fn from(old: super::TcpStates) -> Self {
        Self {
            established: old.established,
            syn_sent: old.syn_sent,
            syn_recv: old.syn_recv,
            fin_wait1: old.fin_wait1,
            fin_wait2: old.fin_wait2,
            time_wait: old.time_wait,
            close: old.close,
            close_wait: old.close_wait,
            last_ack: old.last_ack,
            listen: old.listen,
            closing: old.closing,
        }
    }
}

fn each<Old, New: From<Old>>(old: Vec<Old>) -> Vec<New> {
    old.into_iter().map(New::from).collect()
}
