//! Room on the disk: the cap, the floor of free space, generations that come and go. A generation's
//! ledger is durable in its successor before its directory goes.

use std::fs;

use super::{Middle, Store};
use crate::queue::{
    Ledger, Overflow, files,
    generation::{MAX_COMMIT, StorageError},
    live::{Live, Notes},
    losses::{Lost, Reason},
    meta::{Closed, Counts},
    recovery::{self, Care, Opened},
    trouble,
};

/// What the database files may grow by before the next look at the cap: two segments.
const RESERVE: u64 = 1 << 20;
/// An empty queue's database is replaced by a small one above this size.
const SHRINK_ABOVE: u64 = 2_500_000;

impl Store {
    /// Whether the directory takes more than it may, as after its cap was lowered.
    pub(in crate::queue) fn wants_room(&self) -> bool {
        let drops = self.options.overflow == Overflow::DropOldest;
        !self.tidied && drops && self.disk_bytes() > self.options.max_bytes
    }

    /// What is opened grows a little. More than one step is for the background.
    pub(super) fn make_room_to_open(&mut self) -> Result<(), StorageError> {
        if self.options.overflow == Overflow::DropOldest && self.lacks_room(0) {
            let evicted = self.evict().map(|_| ());
            return unless_full(evicted);
        }
        Ok(())
    }

    /// Gives some of it back: one step, so that nothing waits long behind it.
    pub(in crate::queue) fn give_room(&mut self) -> Result<(), StorageError> {
        self.tidied = !self.evict()?;
        Ok(())
    }

    /// Whether `bytes` more fit below the cap.
    pub(in crate::queue) fn has_room_for(&self, bytes: u64) -> bool {
        self.disk_bytes() + RESERVE + bytes <= self.options.max_bytes
    }

    /// The newest generation is about to be there twice.
    pub(super) fn make_room_to_renew(&mut self) -> Result<(), StorageError> {
        while !self.has_room_for(self.newest.on_disk()) && self.oldest.is_some() && self.evict()? {}
        Ok(())
    }

    /// Makes room for the next commit; `false` when the new samples have to give way.
    pub(super) fn make_room(&mut self, payload: u64) -> Result<bool, StorageError> {
        self.expire()?;
        if self.options.overflow == Overflow::DropNewest && self.lacks_room(payload) {
            // Nothing comes in, so a new generation would only take what room is left.
            return Ok(false);
        }
        if self.newest.on_disk() >= self.generation_limit() && self.newest.is_used() {
            self.rotate()?;
        }
        while self.lacks_room(payload) {
            match self.options.overflow {
                Overflow::DropNewest => return Ok(false),
                Overflow::DropOldest => {
                    if !self.evict()? {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Whether there are small values enough to be put into a block.
    pub(in crate::queue) fn wants_to_press(&mut self) -> bool {
        // What is lent is about to leave, and known by the keys that it has now.
        let lent = if self.oldest.is_none() { self.lent.end() } else { 0 };
        self.newest.wants_to_press(lent)
    }

    /// Makes room by putting small values into a block: one step, so that nothing waits long.
    pub(in crate::queue) fn press(&mut self) -> Result<(), StorageError> {
        let bytes = self.newest.press()?;
        if let Some(unsynced) = &mut self.unsynced {
            unsynced.bytes += bytes;
        }
        Ok(())
    }

    fn lacks_room(&self, payload: u64) -> bool {
        let free = files::free_bytes(&self.options.directory);
        // A record of many parts is written several times over.
        let reserve = match self.options.overflow {
            Overflow::DropOldest => RESERVE,
            // What is refused is counted, and what is opened grows by a segment; nothing gives way.
            Overflow::DropNewest => 2 * RESERVE,
        };
        let growth = reserve + self.dead.spare() + 3 * payload.saturating_sub(MAX_COMMIT as u64);
        self.disk_bytes() + growth > self.options.max_bytes
            || free.is_some_and(|free| {
                free < self.options.min_free_bytes && self.newest.counts().samples > 0
            })
    }

    /// Removes the oldest generation with all that is in it, counted as overflow. `false` when
    /// there is nothing left that is worth it.
    ///
    /// What was damaged and is kept for people to look at gives way before.
    pub(super) fn evict(&mut self) -> Result<bool, StorageError> {
        if recovery::forget_quarantine(&self.options.directory)? {
            self.measure_rest();
            return Ok(true);
        }
        if self.oldest.is_none() {
            if self.newest.counts().samples == 0 || self.newest.on_disk() <= 2 * RESERVE {
                return Ok(false);
            }
            self.rotate()?;
        }
        let samples = self.drop_oldest(Reason::Overflow)?;
        tracing::debug!(samples, "the oldest entries gave way");
        Ok(true)
    }

    /// Removes the oldest generation, which isn't the newest, with all that is in it, counted by
    /// `reason`; returns how many samples that were.
    pub(super) fn drop_oldest(&mut self, reason: Reason) -> Result<u64, StorageError> {
        let Some(oldest) = &self.oldest else { return Ok(0) };
        let (Counts { samples, mut ledger, .. }, end) = (oldest.counts(), oldest.meta.next_seq);
        *reason.count(&mut ledger) += samples;
        let first_seq = self.front.map_or(oldest.meta.head, |(seq, _)| seq);
        let lost = Lost { count: samples, ..oldest.lost(reason, first_seq, end) };
        self.note_drop();
        self.fold(ledger, Some(lost))?;
        self.lent.forget_below(end);
        self.find_front()?;
        Ok(samples)
    }

    /// Removes the oldest generation, which is empty and isn't the newest.
    pub(super) fn retire_oldest(&mut self) -> Result<(), StorageError> {
        let ledger = self.oldest.as_ref().map(|oldest| oldest.counts().all_lost());
        ledger.map_or(Ok(()), |ledger| self.fold(ledger, None))
    }

    /// Adds the oldest generation's ledger, and what it lost, to what the newest carries, durably,
    /// then removes it.
    fn fold(&mut self, ledger: Ledger, lost: Option<Lost>) -> Result<(), StorageError> {
        let Some(oldest) = &self.oldest else { return Ok(()) };
        let (mut meta, mut losses) = (self.newest.meta.clone(), self.newest.losses.clone());
        meta.carried.add(&ledger);
        meta.folded_through = oldest.first_seq;
        losses.absorb(oldest.losses.clone());
        if let Some(lost) = lost {
            losses.note(lost);
        }
        self.newest.note_lost_durably(meta, losses)?;
        let directory = oldest.directory().to_owned();
        self.oldest = None;
        fs::remove_dir_all(&directory)?;
        self.open_next()
    }

    /// Opens the next generation behind the one that went.
    fn open_next(&mut self) -> Result<(), StorageError> {
        let Some(Middle { closed, end, .. }) = self.middle.pop_front() else { return Ok(()) };
        self.open_oldest(closed.first_seq, end)
    }

    /// Opens the generation from `first_seq` to `end`, which is the oldest and not the newest.
    pub(super) fn open_oldest(&mut self, first_seq: u64, end: u64) -> Result<(), StorageError> {
        let opened = recovery::open_generation(&self.options, first_seq, Some(end), Care::AsItIs)?;
        let is_mended = matches!(opened, Opened::Mended(..));
        let mut lost = Vec::new();
        self.oldest = Some(opened.live(&mut lost));
        if is_mended {
            self.note_drop();
            // The damaged one is in the quarantine; what was lent of it has other places.
            self.measure_rest();
            self.lent_limits = None;
        }
        self.report_of_oldest(&lost)
    }

    /// Closes the newest generation and begins another.
    pub(super) fn rotate(&mut self) -> Result<(), StorageError> {
        self.unsynced = None;
        self.newest.sync()?;
        let old = &self.newest;
        let closed = Closed { first_seq: old.first_seq, counts: old.counts() };
        let meta = old.meta.succeed();
        let mut catalog: Vec<_> = self.middle.iter().map(|middle| middle.closed).collect();
        catalog.extend(self.oldest.is_some().then_some(closed));
        let path = recovery::generation_path(&self.options.directory, meta.next_seq);
        let notes = Notes { meta: &meta, catalog: &catalog, losses: &old.losses };
        let mut new = Live::create(&path, notes)?;
        new.losses.number_by(&self.numbers);
        let mut old = std::mem::replace(&mut self.newest, new);
        old.losses = old.losses.handed_over();
        if self.oldest.is_some() {
            let on_disk = old.on_disk();
            let end = self.newest.first_seq;
            self.middle.push_back(Middle { closed, end, on_disk });
        } else {
            self.oldest = Some(old);
        }
        // An empty generation isn't worth keeping, and nothing is found behind it.
        if self.front.is_none() { self.find_front() } else { Ok(()) }
    }

    /// Gives the disk back when the queue ran empty.
    pub(super) fn shrink(&mut self) -> Result<(), StorageError> {
        let limit = SHRINK_ABOVE.min(self.options.max_bytes / 8);
        if self.oldest.is_none()
            && self.newest.counts().samples == 0
            && self.newest.on_disk() > limit
        {
            let rotated = self.rotate();
            return unless_full(rotated);
        }
        Ok(())
    }

    fn generation_limit(&self) -> u64 {
        (self.options.max_bytes / 10).clamp(600_000, 8_000_000.max(self.options.max_bytes / 128))
    }
}

/// A disk without room for a new generation is no reason not to go on with the old one: it is tried
/// again when something leaves.
fn unless_full(done: Result<(), StorageError>) -> Result<(), StorageError> {
    done.or_else(|error| if trouble::is_full(&error) { Ok(()) } else { Err(error) })
}
