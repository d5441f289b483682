//! What the server is told of losses, beside the list: whatever isn't queued, delivered or a dead
//! letter was told, or waits to be told, under its own reason and with a count that is no less.

use std::collections::{BTreeMap, BTreeSet};

use collector::queue::{Dropped, Lost, Reason, Stats};

use super::world::World;

/// What the server knows of losses; no crash of ours takes it from there.
#[derive(Debug, Default)]
pub(super) struct Told(Vec<Lost>);

impl World {
    /// A request delivers the first of what was lent and tells at most `most` losses.
    pub(super) fn report(&mut self, most: usize) {
        let queue = self.queue.as_mut().unwrap();
        let losses = self.runtime.block_on(queue.consumer.losses(most)).unwrap();
        self.told.0.extend(losses.iter().map(|loss| loss.lost));
        let first: Vec<_> = self.lent.iter().take(1).map(|entry| entry.seq).collect();
        self.acknowledge_seqs(&first, &losses);
    }

    /// Compares. `fates` are those of all that the list knows.
    pub(super) fn compare_report(&mut self) {
        let Stats { unreported, ledger, .. } = self.stats();
        let queue = self.queue.as_mut().unwrap();
        let waiting = self.runtime.block_on(queue.consumer.losses(usize::MAX)).unwrap();
        let waiting: Vec<_> = waiting.iter().map(|loss| loss.lost).collect();
        assert_eq!(unreported.samples, waiting.iter().map(|lost| lost.count).sum::<u64>());
        let mut counts: BTreeMap<Reason, u64> = BTreeMap::new();
        for lost in self.told.0.iter().chain(&waiting) {
            let width = lost.last_seq - lost.first_seq + 1;
            assert!(lost.count > 0 && lost.count <= width, "{lost:?}");
            *counts.entry(lost.reason).or_default() += lost.count;
        }
        let Dropped { overflow, expired, corrupt, purged } = ledger.dropped;
        let counted = [
            (Reason::Overflow, overflow),
            (Reason::Expired, expired),
            (Reason::Corrupt, corrupt),
            (Reason::Purged, purged),
            (Reason::DeadLettered, ledger.dead_lettered),
        ];
        for (reason, count) in counted {
            let told = counts.get(&reason).copied().unwrap_or(0);
            assert!(told >= count, "{told} of {count} {reason:?} are told");
        }
        self.compare_numbers(&waiting);
    }

    fn compare_numbers(&self, waiting: &[Lost]) {
        let list = &self.list;
        let queued: BTreeSet<_> = list.entries.iter().map(|entry| entry.seq).collect();
        let covered = |seq: &u64| {
            let mut told = self.told.0.iter().chain(waiting);
            told.any(|lost| (lost.first_seq..=lost.last_seq).contains(seq))
        };
        let gone = (1..=list.enqueued()).filter(|seq| !queued.contains(seq));
        for seq in gone.filter(|seq| !list.delivered.contains(seq)) {
            assert!(covered(&seq), "nobody is told of {seq}: {waiting:?}");
        }
        // What waits and is whole tells of nothing that is there; what was told may have come back.
        let whole = waiting.iter().filter(|lost| lost.count == lost.last_seq - lost.first_seq + 1);
        for lost in whole.filter(|_| list.missing == 0) {
            let here = queued.range(lost.first_seq..=lost.last_seq).next();
            assert_eq!(here, None, "{lost:?} is still queued");
        }
    }
}
