//! The durable queue: roles as types. A [`Producer`] only enqueues, a [`Consumer`] only peeks and
//! settles, [`Stats`] are watched. One owner thread does all blocking work behind these; nothing
//! here names sled.

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::sample::Sample;

/// Where the queue lives and what bounds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The queue's home; created 0700 when absent.
    pub directory: PathBuf,
    /// Bound on the bytes on disk below the directory.
    pub max_bytes: u64,
    /// Free space of the file system below which the oldest entries are dropped.
    pub min_free_bytes: u64,
    /// Who gives way at the bound.
    pub overflow: Overflow,
    /// Older entries are dropped, counted as expired.
    pub max_age: Option<Duration>,
    /// When an enqueued sample is forced to stable storage.
    pub sync: Sync,
}

/// Who gives way when the queue is full. Every drop is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The oldest entries are removed.
    DropOldest,
    /// The new sample is refused.
    DropNewest,
}

/// When an enqueued sample is on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// When its enqueue returns.
    Always,
    /// At most this long after its enqueue returned.
    Every(Duration),
}

/// One queued sample, as the consumer sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Rises by one per enqueued sample; never used twice by one agent id.
    pub seq: u64,
    /// The agent id under which the sample was enqueued.
    pub agent_id: Uuid,
    /// What the sample takes as payload in the queue, in bytes.
    pub bytes: u64,
    /// The sample.
    pub sample: Arc<Sample>,
}

/// What is queued and what became of everything that ever was.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stats {
    /// The agent id of new samples.
    pub agent_id: Uuid,
    /// What is queued now.
    pub queue: Depth,
    /// The whole life of the queue.
    pub ledger: Ledger,
}

/// What is queued now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Depth {
    /// Queued entries.
    pub samples: u64,
    /// Their payload, in bytes.
    pub bytes: u64,
    /// What the directory takes on disk, in bytes.
    pub disk_bytes: u64,
    /// The configured cap on `disk_bytes`.
    pub max_bytes: u64,
    /// Sequence number of the oldest entry.
    pub first_seq: Option<u64>,
    /// Sequence number of the newest entry.
    pub last_seq: Option<u64>,
    /// Wall clock of the oldest entry.
    pub oldest: Option<Timestamp>,
    /// Wall clock of the newest entry.
    pub newest: Option<Timestamp>,
    /// How long an outage the whole cap holds at the recent rate, in seconds.
    pub capacity_seconds: u64,
    /// Entries set aside because the server refused them alone.
    pub dead_letters: u64,
}

/// Counts over the queue's whole life: `enqueued = acknowledged + dead_lettered + Σ dropped +
/// queued`, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// Samples that were given a sequence number.
    pub enqueued: u64,
    /// Removed after the server's answer.
    pub acknowledged: u64,
    /// Set aside after the server refused them alone.
    pub dead_lettered: u64,
    /// Lost, by reason.
    pub dropped: Dropped,
}

/// Samples lost, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Dropped {
    /// The cap or the free-space floor.
    pub overflow: u64,
    /// Older than `max_age`.
    pub expired: u64,
    /// Damaged on disk.
    pub corrupt: u64,
    /// Thrown away by the operator.
    pub purged: u64,
}
