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
