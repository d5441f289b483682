//! What happens to dead letters, beside the list.

use std::collections::BTreeSet;

use collector::queue::{Entry, Refusal, Which};
use jiff::Timestamp;

use super::world::World;

/// Longer ones might not all fit into the dead letters' share of the cap.
const LONGEST: u64 = 10_000;

impl World {
    /// Those of the lent entries whose bit is set are refused by the server.
    pub(super) fn set_aside(&mut self, mask: u64) {
        let chosen =
            |(at, entry): &(usize, &Entry)| mask & (1 << (at % 64)) != 0 && entry.bytes < LONGEST;
        let chosen: Vec<_> =
            self.lent.iter().enumerate().filter(chosen).map(|(_, entry)| entry.clone()).collect();
        let refusal =
            Refusal { at: Timestamp::UNIX_EPOCH, status: 422, answer: "no such metric".into() };
        let queue = self.queue.as_mut().unwrap();
        let gone = self.runtime.block_on(queue.consumer.dead_letter(&chosen, refusal)).unwrap();
        let chosen: BTreeSet<_> = chosen.iter().map(|entry| entry.seq).collect();
        let here = self.list.entries.iter().filter(|entry| chosen.contains(&entry.seq));
        let here: Vec<_> = here.map(|entry| entry.seq).collect();
        assert_eq!(gone, here.len() as u64, "exactly those that were there");
        self.list.entries.retain(|entry| !chosen.contains(&entry.seq));
        self.list.dead.extend(here);
    }

    /// All dead letters are sent again, and the server takes them.
    pub(super) fn revive(&mut self, killed: bool) {
        let dead: Vec<_> = self.list.dead.iter().copied().collect();
        let inspector = self.queue.as_ref().unwrap().inspector.clone();
        let listed = self.runtime.block_on(inspector.dead_letters(0, 1_000)).unwrap();
        assert_eq!(listed.iter().map(|letter| letter.entry.seq).collect::<Vec<_>>(), dead);
        assert!(listed.iter().all(|letter| letter.refusal.status == 422 && !letter.retrying));
        let count = self.runtime.block_on(inspector.retry_dead_letters(Which::All)).unwrap();
        assert_eq!(count, dead.len() as u64);
        if killed {
            self.kill();
        }
        self.lent.clear();
        let queue = self.queue.as_mut().unwrap();
        let queued = queue.stats.borrow().queue.samples;
        let there = self.list.entries.len() as u64 - self.list.missing;
        assert_eq!(queued, there + count, "they are queued again");
        if dead.is_empty() {
            return;
        }
        assert_eq!(queue.stats.borrow().queue.first_seq, dead.first().copied());
        let revived = self.runtime.block_on(queue.consumer.peek(dead.len(), 100 << 20)).unwrap();
        let seqs: Vec<_> = revived.iter().map(|entry| entry.seq).collect();
        assert_eq!(seqs, dead, "they go before all others");
        for entry in &revived {
            assert_eq!(entry.sample.timestamp, self.contents[&entry.seq]);
        }
        let taken = self.runtime.block_on(queue.consumer.acknowledge(&revived)).unwrap();
        assert_eq!(taken, count);
        self.list.acknowledged += taken;
        self.list.delivered.extend(&seqs);
        self.list.dead.clear();
        self.drop_oldest(0);
    }

    /// All dead letters are thrown away.
    pub(super) fn purge_dead(&mut self) {
        let inspector = self.queue.as_ref().unwrap().inspector.clone();
        let gone = self.runtime.block_on(inspector.purge_dead_letters(Which::All)).unwrap();
        assert_eq!(gone, self.list.dead.len() as u64);
        self.list.purged += gone;
        self.list.dead.clear();
        self.drop_oldest(0);
    }
}
