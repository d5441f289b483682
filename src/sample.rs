//! What was measured: a [`Sample`] of one group at one moment, with typed metrics of each kind.
//! It knows nothing of how the figures are read, stored or sent.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

mod line;
mod metrics;
mod ticks;

pub use line::Line;
pub use metrics::{
    Connections, Cpu, CpuTimes, Device, Disk, Filesystem, Inodes, Interface, LoadAverage,
    LogicalCpu, Memory, Mode, Network, Swap, TcpStates, Traffic,
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
}

impl Group {
    /// All groups, in the order in which they are sampled.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Memory, Self::Disk, Self::Network];

    /// The name on the wire (`kind`) and in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Network => "network",
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where samples come from: what doesn't change while the process runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Origin {
    /// The host's name, detected or configured.
    pub host: String,
    /// Labels that the configuration puts on every sample.
    pub tags: BTreeMap<String, String>,
    /// Which boot of the machine this is; all zero where the platform doesn't tell.
    pub boot_id: [u8; 16],
}

/// One group's figures at one moment. The sequence number and the agent id are given by the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Wall clock at the reading, to the microsecond.
    #[serde(with = "unix_micros")]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Metrics {
    /// See [`Group::Cpu`].
    Cpu(Cpu),
    /// See [`Group::Memory`].
    Memory(Memory),
    /// See [`Group::Disk`].
    Disk(Disk),
    /// See [`Group::Network`].
    Network(Network),
}

impl Metrics {
    /// The group to which these figures belong.
    #[must_use]
    pub fn group(&self) -> Group {
        match self {
            Self::Cpu(_) => Group::Cpu,
            Self::Memory(_) => Group::Memory,
            Self::Disk(_) => Group::Disk,
            Self::Network(_) => Group::Network,
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
