//! What became of every sample that was ever queued, as counts. Pure.

use serde::{Deserialize, Serialize};

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
    /// The cap, the free-space floor, or the bound on what waits in memory.
    pub overflow: u64,
    /// Older than `max_age`.
    pub expired: u64,
    /// Damaged on disk.
    pub corrupt: u64,
    /// Thrown away by the operator.
    pub purged: u64,
}

impl Dropped {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.overflow + self.expired + self.corrupt + self.purged
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.overflow += other.overflow;
        self.expired += other.expired;
        self.corrupt += other.corrupt;
        self.purged += other.purged;
    }
}

impl Ledger {
    pub(super) fn add(&mut self, other: &Self) {
        self.enqueued += other.enqueued;
        self.acknowledged += other.acknowledged;
        self.dead_lettered += other.dead_lettered;
        self.dropped.add(&other.dropped);
    }
}
