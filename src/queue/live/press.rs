//! Pressing: small values that have to wait are put into one block, in one atomic step that changes
//! nothing but the room that they take. What is about to leave isn't worth it.

use super::{Live, REMOVALS_PER_SYNC};
use crate::queue::{
    generation::{Change, StorageError},
    press::{Gathered, Pressed},
    record,
};

/// The newest values stay as they are: no more wait where a server answers, even if it takes minutes.
const LEFT_LOOSE: usize = 64;
/// So many more make it worth a step.
const WORTH_A_STEP: usize = 24;

impl Live {
    /// Whether there are enough values to be pressed at or behind `from`.
    pub(in crate::queue) fn wants_to_press(&mut self, from: u64) -> bool {
        let from = from.max(self.meta.head);
        while self.loose.front().is_some_and(|seq| *seq < from) {
            self.loose.pop_front();
        }
        self.loose.len() >= LEFT_LOOSE + WORTH_A_STEP
    }

    /// Puts the oldest loose values into a block. It has reached the kernel when this returns, whole or
    /// not at all: until it is synced a power cut may bring the values back as they were.
    pub(in crate::queue) fn press(&mut self) -> Result<(), StorageError> {
        let gathered = self.gather()?;
        let Some(Pressed { block: (_, block), values }) = gathered.press()? else {
            // What doesn't get shorter is passed over.
            self.loose.pop_front();
            return Ok(());
        };
        let keys = &gathered.keys()[..values];
        let mut changes: Vec<Change<'_>> = keys.iter().map(|key| (key.as_slice(), None)).collect();
        changes[0].1 = Some(block);
        self.unsynced_removals += changes.len();
        self.generation.commit(changes)?;
        let last = keys.last().and_then(|key| record::parse_key(key)).map_or(0, |(seq, _)| seq);
        self.loose.drain(..self.loose.partition_point(|seq| *seq <= last));
        if self.unsynced_removals >= REMOVALS_PER_SYNC {
            self.sync()?;
        }
        Ok(())
    }

    /// The values from the first that is loose, as many as follow one another and fit a block.
    fn gather(&self) -> Result<Gathered, StorageError> {
        let mut gathered = Gathered::default();
        let (_, to) = self.bounds();
        let first = self.loose.front().map_or(to, |seq| record::key(*seq, 0));
        for item in self.generation.scan(&first, &to)?.take(self.loose.len() - LEFT_LOOSE) {
            let (key, value) = item?;
            let Ok(key) = key.as_slice().try_into() else { break };
            if !gathered.add(key, &value) {
                break;
            }
        }
        Ok(gathered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{
        commit::Commit,
        live::tests::{create, meta, sample},
        meta::Leaves,
    };

    /// A generation with `count` values of one entry each.
    fn filled(directory: &std::path::Path, count: u64) -> Live {
        let mut live = create(&directory.join("gen"), &meta());
        let payload = record::payload(uuid::Uuid::nil(), &sample()).unwrap();
        for seq in 1..=count {
            let mut commit = Commit::after(seq, live.meta.running_total);
            commit.add(&payload, crate::clock::Moment::default());
            live.append(commit.take_values()).unwrap();
            live.advance(commit.next_seq, commit.running_total);
        }
        live
    }

    fn seqs(live: &Live) -> Vec<u64> {
        let window = live.scan(10_000, u64::MAX).unwrap();
        window.entries.iter().map(|entry| entry.seq).collect()
    }

    #[test]
    fn what_waits_takes_few_values_and_the_newest_stay_as_they_are() {
        let home = tempfile::tempdir().unwrap();
        let mut live = filled(home.path(), 1000);
        while live.wants_to_press(0) {
            let before = live.generation.commits.get();
            live.press().unwrap();
            assert_eq!(live.generation.commits.get() - before, 1, "one atomic step");
        }
        let values = live.values().unwrap();
        let loose = values.iter().filter(|(_, value)| crate::queue::record::block::is_loose(value));
        assert!((64..88).contains(&loose.count()));
        assert!(values.len() < 130, "{} values", values.len());
        assert_eq!(seqs(&live), (1..=1000).collect::<Vec<_>>());
        assert_eq!(live.count().unwrap(), 1000);
        assert!(live.holds(1).unwrap() && live.holds(500).unwrap() && !live.holds(1001).unwrap());
        drop(live);
        let live = Live::open(&home.path().join("gen"), 1).unwrap();
        assert_eq!((live.meta.next_seq, live.counts().samples), (1001, 1000));
    }

    #[test]
    fn what_is_lent_is_left_alone_and_can_leave_afterwards() {
        let home = tempfile::tempdir().unwrap();
        let mut live = filled(home.path(), 300);
        let mut window = live.scan(100, u64::MAX).unwrap();
        while live.wants_to_press(window.end()) {
            live.press().unwrap();
        }
        let gone: Vec<u64> = (1..=100).collect();
        live.remove(&mut window, &gone, Leaves::Acknowledged).unwrap();
        assert_eq!(seqs(&live), (101..=300).collect::<Vec<_>>());
        // Of a block, every other one.
        let mut window = live.scan(150, u64::MAX).unwrap();
        let gone: Vec<u64> = (101..=200).filter(|seq| seq % 2 == 0).collect();
        live.remove(&mut window, &gone, Leaves::Acknowledged).unwrap();
        let left: Vec<u64> = (101..=300).filter(|seq| *seq > 200 || seq % 2 == 1).collect();
        assert_eq!((seqs(&live), live.count().unwrap()), (left, live.counts().samples));
    }
}
