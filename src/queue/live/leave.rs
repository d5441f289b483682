//! How entries leave a generation: removed and counted in one atomic step, or given up.

use super::{LOSSES_KEY, Live, META_KEY, REMOVALS_PER_SYNC, sealed};
use crate::queue::{
    generation::{Change, StorageError},
    meta::Leaves,
    record,
    window::Window,
};

/// Values below the head are removed when there are so many: until then moving the head, one insert
/// instead of a batch, is all that it takes to let entries go.
const SWEEP_AT: usize = 8;

impl Live {
    /// Finds what lies below the head.
    pub(super) fn find_swept(&mut self) -> Result<(), StorageError> {
        let (from, to) = (record::key(0, 0), record::key(self.meta.head, 0));
        let keys = self.generation.scan(&from, &to)?.map(|item| item.map(|(key, _)| key));
        self.swept = keys.take(REMOVALS_PER_SYNC).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Removes exactly the entries `gone` of `window` (ascending) and counts them. It has reached
    /// the kernel when this returns: a killed process doesn't bring them back, a power cut may.
    pub(in crate::queue) fn remove(
        &mut self,
        window: &mut Window,
        gone: &[u64],
        why: Leaves,
    ) -> Result<(), StorageError> {
        for gone in gone.chunks(REMOVALS_PER_SYNC) {
            let mut meta = self.meta.clone();
            meta.leave(gone.len() as u64, window.payload(gone), why);
            let losses = self.losses_with(gone, why);
            let mut changes = window.vacate(gone, |key| self.generation.get(key))?;
            if let Some(head) = window.head_behind(gone) {
                meta.head = head;
                let only_removals = changes.iter().all(|(_, value)| value.is_none());
                if losses.is_none() && only_removals && self.swept.len() + changes.len() < SWEEP_AT
                {
                    self.swept.extend(changes.into_iter().map(|(key, _)| key));
                    self.note(meta)?;
                    continue;
                }
            }
            changes.extend(self.swept.drain(..).map(|key| (key, None)));
            self.unsynced_removals += changes.len();
            changes.push((META_KEY.to_vec(), Some(sealed(&meta)?)));
            if let Some(losses) = &losses {
                changes.push((LOSSES_KEY.to_vec(), Some(sealed(losses)?)));
            }
            let changes: Vec<Change<'_>> =
                changes.iter_mut().map(|(key, value)| (key.as_slice(), value.take())).collect();
            self.generation.commit(changes)?;
            self.meta = meta;
            if let Some(losses) = losses {
                self.losses = losses;
            }
            if self.unsynced_removals >= REMOVALS_PER_SYNC {
                self.sync()?;
            }
        }
        Ok(())
    }
}
