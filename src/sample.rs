//! What was measured: a [`Sample`] of one group at one moment, with typed metrics of each kind.
//! It knows nothing of how the figures are read, stored or sent.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

mod line;
mod metrics;
mod pack;
mod ticks;
pub(crate) mod v1;

use pack::{Codec, Layout, Malformed, Reader, Writer};

pub use line::Line;
pub use metrics::{
    Agent, Backlog, Connections, Conntrack, Cpu, CpuTimes, Delivering, Device, DeviceKind, Disk,
    Fates, Faults, Filesystem, HugePages, Inodes, Interface, InterfaceKind, LoadAverage,
    LogicalCpu, Losses, Memory, Mode, Network, Paging, Pressure, Process, Processes, Slab, Swap,
    TcpStates, TcpTraffic, Traffic, UdpTraffic, Unavailable, WallClock, share,
};
pub use ticks::{CpuTime, IoTime, Ticks};

/// A group of metrics that is sampled together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Processor time, utilisation and load.
    Cpu,
    /// Memory and swap.
    Memory,
    /// File systems and block devices.
    Disk,
    /// Interfaces and sockets.
    Network,
    /// The agent itself.
    Agent,
}

impl Group {
    /// All groups, in the order in which they are sampled.
    pub const ALL: [Self; 5] = [Self::Cpu, Self::Memory, Self::Disk, Self::Network, Self::Agent];

    /// The name on the wire (`kind`) and in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Network => "network",
            Self::Agent => "agent",
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where samples come from: what doesn't change while the process runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The host's name, detected or configured.
    pub host: String,
    /// Labels that the configuration puts on every sample.
    pub tags: BTreeMap<String, String>,
    /// Which boot of the machine this is; all zero where the platform doesn't tell.
    pub boot_id: [u8; 16],
}

/// One group's figures at one moment. The sequence number and the agent id are given by the queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Wall clock at the reading, to the microsecond.
    pub timestamp: Timestamp,
    /// Time since boot at the reading, where the platform tells; orders samples of one boot even
    /// when the wall clock was stepped between them.
    pub since_boot: Option<Duration>,
    /// Host, labels and boot.
    pub origin: Arc<Origin>,
    /// The group's configured sampling interval.
    pub interval: Duration,
    /// The figures.
    pub metrics: Metrics,
}

/// The figures of one group.
#[derive(Debug, Clone, PartialEq)]
pub enum Metrics {
    /// See [`Group::Cpu`].
    Cpu(Cpu),
    /// See [`Group::Memory`].
    Memory(Memory),
    /// See [`Group::Disk`].
    Disk(Disk),
    /// See [`Group::Network`].
    Network(Network),
    /// See [`Group::Agent`].
    Agent(Agent),
}

impl Sample {
    /// Which boot of the machine, and how many seconds after it, as the wire has them; `None` where
    /// the platform doesn't tell.
    #[must_use]
    pub fn boot(&self) -> (Option<Uuid>, Option<f64>) {
        let boot_id = Uuid::from_bytes(self.origin.boot_id);
        let uptime = self.since_boot.map(|since_boot| since_boot.as_secs_f64());
        (Some(boot_id).filter(|id| !id.is_nil()), uptime)
    }

    /// Everything but the origin as few bytes, for [`unpack`](Self::unpack).
    pub(crate) fn pack(mut self) -> Vec<u8> {
        let mut writer = Writer::default();
        // A writer takes whatever it is shown.
        let written = self.layout(&mut writer);
        debug_assert!(written.is_ok());
        writer.finish()
    }

    /// What [`pack`](Self::pack) wrote, from `origin`.
    pub(crate) fn unpack(origin: Arc<Origin>, packed: &[u8]) -> Result<Self, Malformed> {
        let mut sample = Self {
            timestamp: Timestamp::UNIX_EPOCH,
            since_boot: None,
            origin,
            interval: Duration::ZERO,
            metrics: Metrics::Cpu(Cpu::default()),
        };
        let mut reader = Reader::new(packed)?;
        sample.layout(&mut reader)?;
        reader.finish()?;
        Ok(sample)
    }
}

impl Layout for Sample {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result<(), Malformed> {
        let mut micros = self.timestamp.as_microsecond().cast_unsigned();
        codec.number(&mut micros)?;
        self.timestamp =
            Timestamp::from_microsecond(micros.cast_signed()).map_err(|_| Malformed)?;
        codec.span(&mut self.since_boot)?;
        let mut interval = Some(self.interval);
        codec.span(&mut interval)?;
        self.interval = interval.unwrap_or_default();
        self.metrics.layout(codec)
    }
}

impl Layout for Metrics {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result<(), Malformed> {
        let mut number = self.number();
        codec.number(&mut number)?;
        if number != self.number() {
            *self = Self::numbered(number)?;
        }
        match self {
            Self::Cpu(cpu) => cpu.layout(codec),
            Self::Memory(memory) => memory.layout(codec),
            Self::Disk(disk) => disk.layout(codec),
            Self::Network(network) => network.layout(codec),
            Self::Agent(agent) => agent.layout(codec),
        }
    }
}

impl Metrics {
    /// How the group is told in a record.
    fn number(&self) -> u64 {
        match self {
            Self::Cpu(_) => 0,
            Self::Memory(_) => 1,
            Self::Disk(_) => 2,
            Self::Network(_) => 3,
            Self::Agent(_) => 4,
        }
    }

    /// Empty figures of the group with that number.
    fn numbered(number: u64) -> Result<Self, Malformed> {
        match number {
            0 => Ok(Self::Cpu(Cpu::default())),
            1 => Ok(Self::Memory(Memory::default())),
            2 => Ok(Self::Disk(Disk::default())),
            3 => Ok(Self::Network(Network::default())),
            4 => Ok(Self::Agent(Agent::default())),
            _ => Err(Malformed),
        }
    }

    /// The group to which these figures belong.
    #[must_use]
    pub fn group(&self) -> Group {
        match self {
            Self::Cpu(_) => Group::Cpu,
            Self::Memory(_) => Group::Memory,
            Self::Disk(_) => Group::Disk,
            Self::Network(_) => Group::Network,
            Self::Agent(_) => Group::Agent,
        }
    }

    /// The figures alone, as the wire has them under `metrics`; the kind stands beside them.
    #[must_use]
    pub fn figures(&self) -> Figures<'_> {
        Figures(self)
    }
}

/// Serialises as the figures of a group without its name; see [`Metrics::figures`].
#[derive(Debug, Clone, Copy)]
pub struct Figures<'a>(&'a Metrics);

impl Serialize for Figures<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Metrics::Cpu(figures) => figures.serialize(to),
            Metrics::Memory(figures) => figures.serialize(to),
            Metrics::Disk(figures) => figures.serialize(to),
            Metrics::Network(figures) => figures.serialize(to),
            Metrics::Agent(figures) => figures.serialize(to),
        }
    }
}

pub(crate) mod unix_micros {
    //! A timestamp as microseconds since the epoch: eight bytes at most on disk.
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(at.as_microsecond())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        Timestamp::from_microsecond(i64::deserialize(from)?).map_err(D::Error::custom)
    }
}
