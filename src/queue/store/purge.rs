//! What the operator throws away: from the oldest on, whole generations at once where all of one
//! goes, else some entries in one atomic step. It is counted as purged in the step in which it goes.

use super::Store;
use crate::clock::{Moment, Stamp};
use crate::queue::{
    generation::StorageError,
    inspector::{Amount, Purged, Selection},
    losses::Reason,
    meta::Leaves,
};

/// Entries that one step removes one by one.
const STEP: usize = 500;

impl Store {
    /// Removes some of `selection`, nothing behind the sequence number `through`.
    pub(in crate::queue) fn purge(
        &mut self,
        selection: Selection,
        through: u64,
    ) -> Result<Purged, StorageError> {
        let now = self.clock.moment();
        let goes = |seq, stamp: &Stamp| seq <= through && selection.takes(&now, stamp);
        if !self.front.is_some_and(|(seq, stamp)| goes(seq, &stamp)) {
            return Ok(Purged { done: true, ..Purged::default() });
        }
        let amount = if self.front_goes(selection, through)? {
            self.purge_front()?
        } else {
            self.purge_some(goes)?
        };
        // A step that gets nowhere would be repeated for ever.
        Ok(Purged { amount, done: amount.samples == 0 })
    }

    /// Whether all of the oldest generation goes.
    fn front_goes(&mut self, selection: Selection, through: u64) -> Result<bool, StorageError> {
        let now = self.clock.moment();
        let live = self.front_live();
        if live.meta.next_seq > through + 1 {
            return Ok(false);
        }
        let Selection::OlderThan(_) = selection else { return Ok(true) };
        let newest = live.newest_stamp()?;
        if !newest.is_some_and(|newest| selection.takes(&now, &newest)) {
            return Ok(false);
        }
        // The clock may have been set back between the first and the last.
        let mut from = 0;
        loop {
            let window = live.scan_from(from, 1000, 1 << 20)?;
            let Some(last) = window.entries.last() else { return Ok(true) };
            if !window.entries.iter().all(|it| selection.takes(&now, &Moment::of(&it.sample))) {
                return Ok(false);
            }
            from = from.max(last.seq).saturating_add(1);
        }
    }

    fn purge_front(&mut self) -> Result<Amount, StorageError> {
        let bytes = self.front_live().counts().bytes;
        if self.oldest.is_none() {
            self.rotate()?;
        }
        let samples = self.drop_oldest(Reason::Purged)?;
        Ok(Amount { samples, bytes })
    }

    fn purge_some(&mut self, goes: impl Fn(u64, &Stamp) -> bool) -> Result<Amount, StorageError> {
        let mut window = self.front_live().scan(STEP, 1 << 20)?;
        let going = window.entries.iter().take_while(|e| goes(e.seq, &Moment::of(&e.sample)));
        let gone: Vec<_> = going.map(|entry| entry.seq).collect();
        let amount = Amount { samples: gone.len() as u64, bytes: window.payload(&gone) };
        self.note_drop();
        self.leave(&mut window, &gone, Leaves::Purged)?;
        // What the operator was told is gone must not come back with a power cut.
        self.front_live().sync()?;
        self.lend_anew()?;
        Ok(amount)
    }
}
