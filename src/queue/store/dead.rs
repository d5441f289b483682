//! How entries become dead letters, and what becomes of those. An entry is a dead letter on stable
//! storage before it leaves the queue: a crash in between leaves it in both, and the queue wins.

use super::Store;
use crate::queue::{
    DeadLetter, Refusal, Which, dead::Gone, generation::StorageError, meta::Leaves,
};

impl Store {
    /// Sets those of `seqs` (ascending) aside that were peeked and are still there; how many.
    pub(in crate::queue) fn set_aside(
        &mut self,
        seqs: &[u64],
        refusal: &Refusal,
    ) -> Result<u64, StorageError> {
        self.lend_again(seqs)?;
        let mut count = 0;
        for seq in seqs {
            if self.dead.is_retrying(*seq)
                && let Some(entry) = self.dead.entry(*seq)?
            {
                self.dead.add(&entry, refusal)?;
                count += 1;
            }
        }
        let mut window = std::mem::take(&mut self.lent);
        let gone = window.present(seqs);
        let kept = self.keep_as_dead(&gone, refusal);
        let result = kept.and_then(|()| self.leave(&mut window, &gone, Leaves::DeadLettered));
        self.lent = window;
        result?;
        if !gone.is_empty() {
            // Else a power cut brings it back into the queue, whatever became of the dead letter.
            self.front_live().sync()?;
        }
        self.note_dead()?;
        self.shrink()?;
        Ok(count + gone.len() as u64)
    }

    /// Keeps the entries `seqs`, which are among those that were lent.
    fn keep_as_dead(&mut self, seqs: &[u64], refusal: &Refusal) -> Result<(), StorageError> {
        if seqs.is_empty() {
            return Ok(());
        }
        let (max_samples, max_bytes) = self.lent_limits.unwrap_or((seqs.len(), u64::MAX));
        let entries = self.front_live().scan(max_samples, max_bytes)?.entries;
        entries
            .iter()
            .filter(|entry| seqs.binary_search(&entry.seq).is_ok())
            .try_for_each(|entry| self.dead.add(entry, refusal))
    }

    /// Those of `seqs` that were dead letters were delivered after all; how many.
    pub(super) fn settle_dead(&mut self, seqs: &[u64]) -> Result<u64, StorageError> {
        let retried: Vec<_> =
            seqs.iter().copied().filter(|seq| self.dead.is_retrying(*seq)).collect();
        self.dead.remove(&retried, Gone::Acknowledged)
    }

    /// Dead letters from `from_seq` on, at most `max` and about 1 MiB of them.
    pub(in crate::queue) fn dead_letters(
        &mut self,
        from_seq: u64,
        max: usize,
    ) -> Result<Vec<DeadLetter>, StorageError> {
        let found = self.dead.list(from_seq, max, 1 << 20)?;
        self.note_dead()?;
        Ok(found)
    }

    /// Dead letters are to be sent again, before everything else; how many.
    pub(in crate::queue) fn retry_dead_letters(
        &mut self,
        which: &Which,
    ) -> Result<u64, StorageError> {
        let seqs = self.chosen(which);
        self.dead.retry(&seqs)
    }

    /// Dead letters are thrown away, counted as purged; how many.
    pub(in crate::queue) fn purge_dead_letters(
        &mut self,
        which: &Which,
    ) -> Result<u64, StorageError> {
        let seqs = self.chosen(which);
        let purged = self.dead.remove(&seqs, Gone::Purged)?;
        if purged > 0 {
            self.note_drop();
            self.note_dead()?;
        }
        Ok(purged)
    }

    fn chosen(&self, which: &Which) -> Vec<u64> {
        match which {
            Which::All => self.dead.seqs(),
            Which::Seqs(seqs) => seqs.clone(),
        }
    }

    /// Makes dead letters and queue agree after a crash between the two, or a damage of either.
    pub(super) fn reconcile_dead(&mut self) -> Result<(), StorageError> {
        let mut both = Vec::new();
        for seq in self.dead.seqs() {
            if self.is_queued(seq)? {
                both.push(seq);
            }
        }
        self.dead.remove(&both, Gone::Queued)?;
        let set_aside = self.ledger_of_queue().dead_lettered;
        let unknown = self.dead.reconcile(set_aside)?;
        if unknown > 0 {
            // The queue's own count of them was lost with a part of it: they were taken for lost.
            let mut meta = self.newest.meta.clone();
            let found = unknown.min(meta.carried.dropped.corrupt);
            meta.carried.dropped.corrupt -= found;
            meta.carried.enqueued += unknown - found;
            meta.carried.dead_lettered += unknown;
            self.newest.note_durably(meta)?;
        }
        Ok(())
    }

    /// Whether the entry `seq` is in an open generation. Only what was lent last can be in both
    /// places, so those in between needn't be asked.
    fn is_queued(&self, seq: u64) -> Result<bool, StorageError> {
        let Some((first, _)) = self.front else { return Ok(false) };
        if seq < first {
            return Ok(false);
        }
        self.oldest.as_ref().unwrap_or(&self.newest).holds(seq)
    }
}
