//! What is known of a store that failed, and how the one that is opened in its place is compared with
//! that: nothing that was confirmed may be missing without being counted, no number is used twice, and
//! what was written without being confirmed is made durable before it is.

use uuid::Uuid;

use super::Store;
use crate::queue::{
    Ledger,
    generation::StorageError,
    losses::{Loss, Losses, Lost, Reason},
    recovery,
};

/// What this process knows of the queue: all of it was confirmed.
#[derive(Debug, Clone)]
pub(in crate::queue) struct Memory {
    pub(in crate::queue) agent_id: Uuid,
    pub(in crate::queue) next_seq: u64,
    pub(in crate::queue) running_total: u64,
    /// The ledger if everything that is queued were lost now.
    pub(in crate::queue) all_lost: Ledger,
    /// What the server isn't known to have been told of, and all that was ever lost.
    losses: (Vec<Loss>, Ledger),
    /// What is queued.
    queued: Lost,
}

impl Memory {
    /// What the server is to be told if everything that is queued were lost now.
    pub(in crate::queue) fn losses_if_all_lost(&self) -> Losses {
        let (waiting, noted) = &self.losses;
        let mut losses = Losses::none();
        losses.restore(waiting);
        losses.noted = *noted;
        losses.number_by(&std::sync::Arc::default());
        losses.note(self.queued);
        losses
    }
}

impl Store {
    /// What is known of the queue now.
    pub(in crate::queue) fn memory(&self) -> Memory {
        let mut all_lost = self.ledger_of_queue();
        let count = self.counts().map(|counts| counts.samples).sum::<u64>();
        all_lost.dropped.corrupt += count;
        let first_seq = self.front.map_or(self.next_seq(), |(seq, _)| seq);
        let all = self.newest.lost(Reason::Corrupt, first_seq, self.next_seq());
        let meta = &self.newest.meta;
        Memory {
            agent_id: meta.agent_id,
            next_seq: meta.next_seq,
            running_total: meta.running_total,
            all_lost,
            losses: self.known_losses(),
            queued: Lost { count, ..all },
        }
    }

    /// Compares with `memory`. Returns how many samples are here that weren't confirmed: they are
    /// durable now. `suspect`: what the system shows of the newest generation may not be on disk.
    pub(in crate::queue) fn reclaim(
        &mut self,
        memory: &Memory,
        suspect: bool,
    ) -> Result<u64, StorageError> {
        let found = self.next_seq();
        if found < memory.next_seq {
            let lost = memory.next_seq - found;
            tracing::error!(lost, "the end of the queue is gone");
            self.note_drop();
            let lost = self.newest.lose_tail(memory.next_seq, memory.running_total)?;
            self.note_lost(&[lost])?;
        }
        if suspect {
            self.make_room_to_renew()?;
            self.renew_newest()?;
        }
        self.restore_losses(&memory.losses.0)?;
        self.newest.sync()?;
        self.tail.note(self.next_seq());
        Ok(found.saturating_sub(memory.next_seq))
    }

    /// Writes the newest generation anew from what can be read of it.
    fn renew_newest(&mut self) -> Result<(), StorageError> {
        tracing::warn!("a sync failed: the newest entries are written anew");
        self.newest = recovery::renew(&self.options, &self.newest)?;
        self.newest.losses.number_by(&self.numbers);
        Ok(())
    }
}
