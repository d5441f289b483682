//! What a generation knows of itself, as numbers: the meta record, the counts that follow from it,
//! the catalog of closed generations. Pure.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Dropped, Ledger, record::MAX_NUMBER};

/// What a generation knows of itself and, the newest one, of the queue. It is written when
/// something leaves; what came in since is told by the entries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Meta {
    /// The agent id of new samples.
    pub(super) agent_id: Uuid,
    /// The machine to which the agent id belongs, hashed; `None` where machines have no id.
    pub(super) machine: Option<Uuid>,
    /// The next sequence number, never used before. Entries above it move it on.
    pub(super) next_seq: u64,
    /// Nothing below it is in this generation any more.
    pub(super) head: u64,
    /// Payload bytes that were ever queued, before this generation and now.
    pub(super) base_total: u64,
    pub(super) running_total: u64,
    /// What left this generation, and the payload that went with it.
    pub(super) left: Ledger,
    pub(super) left_bytes: u64,
    /// The ledger of the generations that are gone.
    pub(super) carried: Ledger,
    /// The last generation that is in `carried`: what is left of it may be removed.
    pub(super) folded_through: u64,
    /// When something was dropped last, in microseconds since the epoch.
    pub(super) dropped_at: Option<i64>,
    /// Bytes of framed records a second at which the queue was filled lately.
    pub(super) rate: f32,
}

/// What is and was in one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Entries in it.
    pub(super) samples: u64,
    /// Their payload.
    pub(super) bytes: u64,
    /// What became of all that were ever in it.
    pub(super) ledger: Ledger,
}

/// A generation that is full and closed, in the catalog that its successor keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Closed {
    /// Its first sequence number, which is also its name.
    pub(super) first_seq: u64,
    /// What was in it when it was closed.
    pub(super) counts: Counts,
}

/// Why entries leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaves {
    /// The server has them.
    Acknowledged,
    /// The server refused them alone.
    DeadLettered,
    /// Older than `max_age`.
    Expired,
    /// The operator threw them away.
    Purged,
}

impl Meta {
    /// The meta record of an empty generation behind this one.
    pub(super) fn succeed(&self) -> Self {
        Self {
            head: self.next_seq,
            base_total: self.running_total,
            left: Ledger::default(),
            left_bytes: 0,
            ..self.clone()
        }
    }

    /// Whether its numbers are some that a queue can have: a checksum says only that somebody wrote them.
    pub(super) fn is_possible(&self) -> bool {
        let Self { next_seq, head, base_total, running_total, left, left_bytes, carried, .. } =
            self;
        let numbers = [next_seq, head, base_total, running_total, left_bytes];
        numbers.into_iter().all(|number| *number <= MAX_NUMBER)
            && is_possible(left)
            && is_possible(carried)
    }

    /// Of the meta records of one generation a later one has a higher age: none of these numbers falls.
    pub(super) fn age(&self) -> [u64; 4] {
        let Ledger { acknowledged, dead_lettered, dropped, .. } = self.left;
        let left = acknowledged + dead_lettered + dropped.total();
        [self.next_seq, left, self.carried.enqueued, self.folded_through]
    }

    /// Whether `other`, which is of the same generation, knows of something that this doesn't. Entries
    /// behind a meta record move its `next_seq` on alone.
    pub(super) fn is_behind(&self, other: &Self) -> bool {
        self.age().iter().zip(other.age()).any(|(mine, other)| *mine < other)
    }

    /// What is and was in a generation that began at `first_seq`.
    pub(super) fn counts(&self, first_seq: u64) -> Counts {
        let mut ledger = self.left;
        ledger.enqueued = self.next_seq.saturating_sub(first_seq);
        let left = ledger.acknowledged + ledger.dead_lettered + ledger.dropped.total();
        let bytes = self.running_total.saturating_sub(self.base_total + self.left_bytes);
        Counts { samples: ledger.enqueued.saturating_sub(left), bytes, ledger }
    }

    /// Counts `samples` that leave with `bytes` of payload.
    pub(super) fn leave(&mut self, samples: u64, bytes: u64, why: Leaves) {
        self.left_bytes += bytes;
        match why {
            Leaves::Acknowledged => self.left.acknowledged += samples,
            Leaves::DeadLettered => self.left.dead_lettered += samples,
            Leaves::Expired => self.left.dropped.expired += samples,
            Leaves::Purged => self.left.dropped.purged += samples,
        }
    }
}

impl Counts {
    /// The ledger when everything that is still in it is lost.
    pub(super) fn all_lost(mut self) -> Ledger {
        self.ledger.dropped.corrupt += self.samples;
        self.ledger
    }
}

impl Closed {
    /// As [`Meta::is_possible`].
    pub(super) fn is_possible(&self) -> bool {
        let Counts { samples, bytes, ledger } = &self.counts;
        self.first_seq.max(*samples).max(*bytes) <= MAX_NUMBER && is_possible(ledger)
    }
}

fn is_possible(ledger: &Ledger) -> bool {
    let Ledger { enqueued, acknowledged, dead_lettered, dropped } = ledger;
    let Dropped { overflow, expired, corrupt, purged } = dropped;
    let counts = [enqueued, acknowledged, dead_lettered, overflow, expired, corrupt, purged];
    counts.into_iter().all(|count| *count <= MAX_NUMBER)
}
