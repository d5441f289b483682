//! The typed figures of each group, with the names of the wire; one file a group below. What a
//! platform lacks is `None`, never 0. `docs/metrics.md` has a row for each of them.

mod agent;
mod cpu;
mod disk;
mod memory;
mod network;

use serde::Serialize;

use super::Ticks;
use super::pack::{Codec, Layout, Result};

pub use agent::{Agent, Backlog, Delivering, Fates, Losses, Process, WallClock};
pub use cpu::{Cpu, CpuTimes, LoadAverage, LogicalCpu, Processes};
pub use disk::{Device, DeviceKind, Disk, Filesystem, Inodes, Mode, Unavailable};
pub use memory::{Faults, HugePages, Memory, Paging, Slab, Swap};
pub use network::{
    Connections, Conntrack, Interface, InterfaceKind, Network, TcpStates, TcpTraffic, Traffic,
    UdpTraffic,
};

/// Time in which tasks waited for a resource (pressure stall information), since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Pressure {
    /// At least one task waited.
    pub waiting: Option<Ticks<1_000_000>>,
    /// All tasks waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalled: Option<Ticks<1_000_000>>,
}

impl Layout for Pressure {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        ticks(&mut self.waiting, codec)?;
        ticks(&mut self.stalled, codec)
    }
}

/// `part` as a share of `whole`, 0 to 1, to four decimals; `None` of nothing.
#[must_use]
pub fn share(part: u64, whole: u64) -> Option<f32> {
    (whole > 0).then(|| four_decimals(float(part) / float(whole)))
}

#[expect(clippy::cast_possible_truncation, reason = "a small number that f32 rounds")]
fn four_decimals(share: f64) -> f32 {
    ((share.min(1.0) * 10_000.0).round() / 10_000.0) as f32
}

#[expect(clippy::cast_precision_loss, reason = "rounds beyond 2^53, far below four decimals")]
fn float(count: u64) -> f64 {
    count as f64
}

fn ticks<const PER_SECOND: u32, C: Codec>(
    time: &mut Option<Ticks<PER_SECOND>>,
    codec: &mut C,
) -> Result {
    let mut count = time.map(|time| time.0);
    codec.count(&mut count)?;
    *time = count.map(Ticks);
    Ok(())
}
