//! How entries are lent and leave: peeked, acknowledged, expired. What was lent is remembered, so that
//! exactly that can be settled, whatever else leaves meanwhile.

use std::time::Duration;

use super::Store;
use crate::{
    clock::{Moment, Stamp},
    queue::{Entry, generation::StorageError, meta::Leaves, window::Window},
};

/// No consumer asks for more.
const MOST_LENT: usize = 20_000;

/// How old what was stamped `then` is, by clocks that can be trusted: the time since boot for what is
/// of this boot, however the wall clock was set since. What nobody can tell the age of, as it is of
/// another boot whose clock, or this one's, is wrong, is as old as the queue has been open.
fn age(now: &Moment, then: &Stamp, opened: &Moment) -> Duration {
    let known = now.age(then).map(|age| Duration::try_from(age).unwrap_or_default());
    known.or_else(|| now.since(opened)).unwrap_or_default()
}

impl Store {
    /// Reads the oldest entries, in order, of one generation, behind dead letters that are to be sent
    /// again; nothing is removed.
    pub(in crate::queue) fn peek(
        &mut self,
        max_samples: usize,
        max_bytes: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        self.expire()?;
        let mut entries = self.dead.due(max_samples, max_bytes)?;
        self.note_dead()?;
        let taken: u64 = entries.iter().map(|entry| entry.bytes).sum();
        let left = (max_samples - entries.len(), max_bytes.saturating_sub(taken));
        if self.front.is_none() || left.0 == 0 || (left.1 == 0 && !entries.is_empty()) {
            return Ok(entries);
        }
        self.lend(left)?;
        entries.append(&mut self.lent.entries);
        Ok(entries)
    }

    pub(super) fn lend(&mut self, limits: (usize, u64)) -> Result<(), StorageError> {
        self.lent_limits = Some(limits);
        self.lent = self.front_live().scan(limits.0, limits.1)?;
        if self.lent.damaged > 0 {
            tracing::error!(values = self.lent.damaged, "passed over damaged entries");
        }
        Ok(())
    }

    /// Removes those of `seqs` (ascending) that were peeked and are still there, and counts them
    /// as acknowledged. Returns how many they were.
    ///
    /// The server was told of the losses up to the number `told` with them.
    pub(in crate::queue) fn settle(
        &mut self,
        seqs: &[u64],
        told: u64,
    ) -> Result<u64, StorageError> {
        self.lend_again(seqs)?;
        let dead = self.settle_dead(seqs)?;
        let mut window = std::mem::take(&mut self.lent);
        let gone = window.present(seqs);
        let result = self.leave(&mut window, &gone, Leaves::Acknowledged);
        self.lent = window;
        result?;
        // After the entries: a crash in between tells the losses twice, not never.
        self.reported(told)?;
        self.shrink()?;
        Ok(dead + gone.len() as u64)
    }

    /// A handle that was opened anew doesn't know what was peeked from the one before.
    pub(super) fn lend_again(&mut self, seqs: &[u64]) -> Result<(), StorageError> {
        let (Some((first, _)), Some(last)) = (self.front, seqs.last()) else { return Ok(()) };
        if self.lent_limits.is_some() || *last < first {
            return Ok(());
        }
        // They needn't be the first.
        let count = usize::try_from(last - first + 1).unwrap_or(MOST_LENT);
        self.lend((count.min(MOST_LENT), u64::MAX))
    }

    /// Removes the entries `gone` of `window`, which belong to the oldest generation.
    pub(super) fn leave(
        &mut self,
        window: &mut Window,
        gone: &[u64],
        why: Leaves,
    ) -> Result<(), StorageError> {
        let Some(last) = gone.last() else { return Ok(()) };
        let live = self.front_live();
        live.remove(window, gone, why)?;
        live.nothing_below(window.head().unwrap_or(last + 1));
        self.find_front()
    }

    /// Drops what is older than the configured age.
    pub(super) fn expire(&mut self) -> Result<(), StorageError> {
        let Some(max_age) = self.options.max_age else { return Ok(()) };
        let now = self.clock.moment();
        let opened = self.opened;
        let is_old = |stamp: &Stamp| age(&now, stamp, &opened) > max_age;
        while self.front.is_some_and(|(_, stamp)| is_old(&stamp)) {
            let mut window = self.front_live().scan(100, u64::MAX)?;
            let expired = window.entries.iter().take_while(|it| is_old(&Moment::of(&it.sample)));
            let gone: Vec<_> = expired.map(|entry| entry.seq).collect();
            if gone.is_empty() {
                break;
            }
            self.note_drop();
            self.leave(&mut window, &gone, Leaves::Expired)?;
            self.lend_anew()?;
        }
        Ok(())
    }

    /// Reads anew what was lent: what was dropped can't be settled, and a value that it shared lies
    /// under another key now.
    pub(super) fn lend_anew(&mut self) -> Result<(), StorageError> {
        self.lent = match (self.front, self.lent_limits) {
            (Some(_), Some((max_samples, max_bytes))) => {
                self.front_live().scan(max_samples, max_bytes)?
            }
            _ => Window::default(),
        };
        Ok(())
    }

    /// Finds the oldest entry; generations that turn out to be empty go.
    pub(super) fn find_front(&mut self) -> Result<(), StorageError> {
        self.front = None;
        loop {
            let live = self.front_live();
            if live.counts().samples > 0 {
                let window = live.scan(1, u64::MAX)?;
                if let (Some(head), Some(first)) = (window.head(), window.entries.first()) {
                    live.nothing_below(head);
                    self.front = Some((first.seq, Moment::of(&first.sample)));
                    self.is_judged = false;
                    return Ok(());
                }
                // A disk that couldn't be read may pass: it is opened again, and judged.
                if !std::mem::replace(&mut self.is_judged, true) {
                    self.judge_again()?;
                    continue;
                }
                self.note_drop();
                let lost = self.front_live().give_up()?;
                tracing::error!(samples = lost, "entries are missing from the queue");
            }
            if self.oldest.is_none() {
                return Ok(());
            }
            self.retire_oldest()?;
        }
    }

    /// Of the newest generation the whole queue has to be opened again for that.
    fn judge_again(&mut self) -> Result<(), StorageError> {
        let Some(oldest) = self.oldest.take() else {
            return Err(StorageError::Damaged("entries that must be there don't appear".into()));
        };
        let (first_seq, end) = (oldest.first_seq, oldest.meta.next_seq);
        drop(oldest);
        self.open_oldest(first_seq, end)
    }
}
