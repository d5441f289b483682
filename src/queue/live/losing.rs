//! Entries that a generation loses: counted and noted in one atomic step, so that no crash comes
//! between a loss and the word of it.

use super::{LOSSES_KEY, Live, META_KEY, REMOVALS_PER_SYNC, sealed};
use crate::queue::{
    generation::{Generation, StorageError},
    losses::{Losses, Lost, Reason},
    meta::{Leaves, Meta},
    record::{self, DecodeError},
};

/// The losses that a generation keeps; one of an earlier version has no note of them.
pub(super) fn read(generation: &Generation) -> Result<Losses, StorageError> {
    let Some(value) = generation.get(LOSSES_KEY)? else { return Ok(Losses::unwritten()) };
    match record::unseal::<Losses>(&value) {
        Ok(losses) if losses.is_one() => Ok(losses),
        Err(DecodeError::LaterVersion(version)) => Err(StorageError::LaterVersion(version)),
        Ok(_) | Err(DecodeError::Damaged(_)) => {
            Err(StorageError::Damaged("its note of losses is damaged".into()))
        }
    }
}

impl Live {
    /// The losses with those of `gone`, which leave; `None` when that is no loss.
    pub(super) fn losses_with(&self, gone: &[u64], why: Leaves) -> Option<Losses> {
        let reason = match why {
            Leaves::Acknowledged => return None,
            Leaves::DeadLettered => Reason::DeadLettered,
            Leaves::Expired => Reason::Expired,
            Leaves::Purged => Reason::Purged,
        };
        let mut losses = self.losses.clone();
        losses.note_all(self.meta.agent_id, reason, gone);
        Some(losses)
    }

    /// Writes the meta record and what was lost with it, in one atomic step.
    pub(in crate::queue) fn note_lost(
        &mut self,
        meta: Meta,
        losses: Losses,
    ) -> Result<(), StorageError> {
        self.write_lost(&meta, &losses)?;
        (self.meta, self.losses) = (meta, losses);
        Ok(())
    }

    /// [`Self::note_lost`], on stable storage when this returns; after an error it isn't known here,
    /// whatever the disk says.
    pub(in crate::queue) fn note_lost_durably(
        &mut self,
        meta: Meta,
        losses: Losses,
    ) -> Result<(), StorageError> {
        self.write_lost(&meta, &losses)?;
        self.sync()?;
        (self.meta, self.losses) = (meta, losses);
        Ok(())
    }

    fn write_lost(&self, meta: &Meta, losses: &Losses) -> Result<(), StorageError> {
        let changes = vec![(META_KEY, Some(sealed(meta)?)), (LOSSES_KEY, Some(sealed(losses)?))];
        self.generation.commit(changes)
    }

    /// What was lost under the agent id of now, all of the range.
    pub(in crate::queue) fn lost(&self, reason: Reason, first_seq: u64, end: u64) -> Lost {
        let count = end.saturating_sub(first_seq);
        let last_seq = end.saturating_sub(1);
        Lost { agent_id: self.meta.agent_id, reason, first_seq, last_seq, count }
    }

    /// Removes whatever values are left and counts the entries that must have been in them as
    /// corrupt: called when a scan finds no entry though there should be some.
    pub(in crate::queue) fn give_up(&mut self) -> Result<u64, StorageError> {
        let count = self.counts().samples;
        let (from, to) = self.bounds();
        let keys = self.generation.scan(&from, &to)?.map(|item| item.map(|(key, _)| key));
        for keys in keys.collect::<Result<Vec<_>, _>>()?.chunks(REMOVALS_PER_SYNC) {
            self.generation.commit(keys.iter().map(|key| (key.as_slice(), None)).collect())?;
            self.sync()?;
        }
        let (mut meta, mut losses) = (self.meta.clone(), self.losses.clone());
        let lost = self.lost(Reason::Corrupt, meta.head.max(self.first_seq), meta.next_seq);
        losses.note(Lost { count, ..lost });
        meta.left.dropped.corrupt += count;
        meta.left_bytes = meta.running_total - meta.base_total;
        self.note_lost(meta, losses)?;
        Ok(count)
    }

    /// Counts as corrupt what is missing between the end and `next_seq`; durable when this returns.
    /// That it was lost is still to be noted.
    pub(in crate::queue) fn lose_tail(
        &mut self,
        next_seq: u64,
        running_total: u64,
    ) -> Result<Lost, StorageError> {
        let mut meta = self.meta.clone();
        let lost = self.lost(Reason::Corrupt, meta.next_seq, next_seq);
        meta.left.dropped.corrupt += lost.count;
        meta.left_bytes += running_total.saturating_sub(meta.running_total);
        meta.running_total = running_total.max(meta.running_total);
        meta.next_seq = next_seq.max(meta.next_seq);
        self.note_durably(meta)?;
        Ok(lost)
    }
}
