//! The agent's figures of itself.

use serde::Serialize;

use super::ticks;
use crate::sample::pack::{Codec, Layout, Result};
use crate::sample::ticks::Ticks;

/// A span of time to the millisecond.
type Span = Ticks<1000>;

/// Figures of [`Group::Agent`](crate::sample::Group::Agent).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Agent {
    /// Its process.
    pub process: Process,
    /// What waits to be delivered.
    pub queue: Backlog,
    /// What became of every sample in the queue's whole life.
    pub ledger: Fates,
    /// What the delivery is doing.
    pub forwarder: Delivering,
    /// The wall clock.
    pub clock: WallClock,
}

/// The agent's process.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Process {
    /// Time since it was started.
    pub uptime: Option<Span>,
    /// Processor time that it has used, in user and system mode.
    pub cpu_time: Option<Span>,
    /// Processor time used since the last reading, in processors: 1 is one processor all the time.
    pub cpu_utilization: Option<f32>,
    /// Memory that it holds (resident set), in bytes.
    pub memory: Option<u64>,
}

/// What waits to be delivered.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Backlog {
    /// Queued samples.
    pub samples: u64,
    /// Their payload, in bytes.
    pub bytes: u64,
    /// What the directory takes on disk, in bytes.
    pub disk_bytes: u64,
    /// The cap on `disk_bytes`.
    pub max_bytes: u64,
    /// Age of the oldest sample, by the time since boot where that tells; `None` of an empty queue.
    pub oldest_age: Option<Span>,
    /// How long an outage the whole cap holds at the recent rate, in seconds.
    pub capacity_seconds: Option<u64>,
    /// How long the queue still holds at the recent rate until the oldest give way, in seconds.
    pub remaining_seconds: Option<u64>,
    /// Samples set aside because the server refused them alone.
    pub dead_letters: u64,
    /// Samples that wait in memory because the disk refuses them.
    pub waiting_for_disk: u64,
}

/// What became of samples, counted over the queue's whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Fates {
    /// Given a sequence number.
    pub enqueued: u64,
    /// Removed after the server's answer.
    pub acknowledged: u64,
    /// Set aside after the server refused them alone.
    pub dead_lettered: u64,
    /// Lost.
    pub dropped: Losses,
    /// Lost or set aside, and the server wasn't told yet.
    pub unreported: u64,
}

/// Samples lost, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Losses {
    /// The cap, the free-space floor, or the bound on what waits in memory.
    pub overflow: u64,
    /// Older than `max_age`.
    pub expired: u64,
    /// Damaged on disk.
    pub corrupt: u64,
    /// Thrown away by the operator.
    pub purged: u64,
}

/// What the delivery is doing.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Delivering {
    /// `idle`, `sending`, `backing_off`, `held` or `stopped`.
    pub state: String,
    /// Requests that ended, since the start of the process; `None` where that isn't known.
    pub attempts: Option<u64>,
    /// Those of them that weren't accepted.
    pub failures: Option<u64>,
    /// Failures since the last success.
    pub consecutive_failures: u64,
    /// Time since the last success; `None` before the first.
    pub last_success_age: Option<Span>,
}

/// The wall clock, as far as it was watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct WallClock {
    /// How often it was set by more than two seconds, since the start of the process.
    pub steps: Option<u64>,
    /// By how many seconds the last time; back when negative.
    pub last_step: Option<i64>,
}

impl Layout for Agent {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        self.process.layout(codec)?;
        self.queue.layout(codec)?;
        self.ledger.layout(codec)?;
        self.forwarder.layout(codec)?;
        self.clock.layout(codec)
    }
}

impl Layout for Process {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        ticks(&mut self.uptime, codec)?;
        ticks(&mut self.cpu_time, codec)?;
        codec.float(&mut self.cpu_utilization)?;
        codec.size(&mut self.memory)
    }
}

impl Layout for Backlog {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        codec.number(&mut self.samples)?;
        codec.number(&mut self.bytes)?;
        codec.bytes(&mut self.disk_bytes)?;
        codec.number(&mut self.max_bytes)?;
        ticks(&mut self.oldest_age, codec)?;
        codec.count(&mut self.capacity_seconds)?;
        codec.count(&mut self.remaining_seconds)?;
        codec.number(&mut self.dead_letters)?;
        codec.number(&mut self.waiting_for_disk)
    }
}

impl Layout for Fates {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        let Losses { overflow, expired, corrupt, purged } = &mut self.dropped;
        let (enqueued, acknowledged) = (&mut self.enqueued, &mut self.acknowledged);
        for count in [enqueued, acknowledged, &mut self.dead_lettered] {
            codec.number(count)?;
        }
        for count in [overflow, expired, corrupt, purged, &mut self.unreported] {
            codec.number(count)?;
        }
        Ok(())
    }
}

impl Layout for Delivering {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        codec.text(&mut self.state)?;
        codec.count(&mut self.attempts)?;
        codec.count(&mut self.failures)?;
        codec.number(&mut self.consecutive_failures)?;
        ticks(&mut self.last_success_age, codec)
    }
}

impl Layout for WallClock {
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result {
        codec.count(&mut self.steps)?;
        let mut step = self.last_step.map(i64::cast_unsigned);
        codec.count(&mut step)?;
        self.last_step = step.map(u64::cast_signed);
        Ok(())
    }
}
