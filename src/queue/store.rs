//! The queue as a synchronous FIFO over generations, with limits and a ledger that always
//! balances. No tokio, no sled: databases are [`Live`] generations, waiting is the owner's.
//!
//! Only the oldest and the newest generation are open. Entries are appended to the newest and leave
//! from the oldest; a generation that is empty, or must give way, is folded into the newest's
//! carried ledger (durably) before its directory goes, so a crash never counts it twice.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use jiff::Timestamp;

use super::{
    Depth, Enqueued, Ledger, Options, Stats, Storage, Sync,
    capacity::{self, Rate},
    commit::Commit,
    dead::DeadLetters,
    files,
    generation::{MAX_COMMIT, StorageError},
    live::Live,
    losses::{Numbers, Reason},
    meta::{Closed, Counts},
    record::{self, HEADER},
    recovery,
    tail::Tail,
    window::Window,
};
use crate::{
    clock::{Clock, Moment, Stamp},
    sample::Sample,
};

mod dead;
mod inspect;
mod leave;
mod purge;
mod reclaim;
mod report;
mod room;

pub(super) use reclaim::Memory;

/// A closed generation between the oldest and the newest.
pub(super) struct Middle {
    pub(super) closed: Closed,
    /// The sequence number behind its last.
    pub(super) end: u64,
    pub(super) on_disk: u64,
}

/// What was appended and isn't on stable storage yet: bounded in time by the policy, and in bytes
/// by what the database survives.
struct Unsynced {
    since: Instant,
    bytes: usize,
}

/// The queue's store. Every method that changes something has reached the kernel when it returns.
pub(super) struct Store {
    pub(super) options: Options,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) newest: Live,
    /// `None` when the newest is the oldest as well.
    pub(super) oldest: Option<Live>,
    pub(super) middle: VecDeque<Middle>,
    dead: DeadLetters,
    /// Of losses, over all generations.
    numbers: Arc<Numbers>,
    tail: Tail,
    /// Entries that were peeked and haven't left since.
    lent: Window,
    /// How they were asked for; `None` until something was peeked from this handle.
    lent_limits: Option<(usize, u64)>,
    /// Bytes on disk below the directory that are neither in a generation nor dead letters.
    other_bytes: u64,
    /// It was judged just now: what doesn't appear is gone.
    is_judged: bool,
    /// Nothing more can be done about the room, until something comes in.
    tidied: bool,
    front: Option<(u64, Stamp)>,
    back: Option<Timestamp>,
    unsynced: Option<Unsynced>,
    rate: Rate,
    /// When it was opened: what is of unknown age then is no older as far as anybody can tell.
    opened: Moment,
}

impl Store {
    pub(super) fn new(
        parts: recovery::Parts,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StorageError> {
        let recovery::Parts { newest, oldest, middle, lost, told } = parts;
        let (rate, opened) = (Rate::new(newest.meta.rate), clock.moment());
        let dead = DeadLetters::open(&options.directory, options.max_bytes)?;
        let tail = Tail::open(&options.directory)?;
        let mut store = Self {
            options,
            clock,
            newest,
            oldest,
            middle,
            dead,
            numbers: Arc::default(),
            tail,
            lent: Window::default(),
            lent_limits: None,
            other_bytes: 0,
            is_judged: true,
            tidied: false,
            front: None,
            back: None,
            unsynced: None,
            rate,
            opened,
        };
        store.measure_rest();
        // They may be on their way once more.
        store.numbers.reach(told);
        store.numbers.tell(told);
        store.begin_report(&lost)?;
        store.back = store.newest_timestamp()?;
        store.make_room_to_open()?;
        store.find_front()?;
        store.is_judged = false;
        store.reconcile_dead()?;
        store.note_unnoted()?;
        store.tail.note(store.next_seq());
        Ok(store)
    }

    /// Measures what lies in the directory beside the generations.
    pub(super) fn measure_rest(&mut self) {
        let all = files::tree_on_disk(&self.options.directory);
        let known = self.generations_on_disk() + self.dead.on_disk();
        self.other_bytes = all.saturating_sub(known);
    }

    /// The sequence number that comes next.
    pub(super) fn next_seq(&self) -> u64 {
        self.newest.meta.next_seq
    }

    /// The wall clock of the newest entry, wherever it is: a generation that was begun and has no
    /// entry yet doesn't know. `None` as well where that can't be read now.
    fn newest_timestamp(&self) -> Result<Option<Timestamp>, StorageError> {
        if let Some(found) = self.newest.newest_stamp()? {
            return Ok(Some(found.wall));
        }
        let Some(before) = self.middle.back() else {
            let found = self.oldest.as_ref().map_or(Ok(None), Live::newest_stamp)?;
            return Ok(found.map(|stamp| stamp.wall));
        };
        Ok(self.last_of_closed(before).map(|last| last.sample.timestamp))
    }

    /// Appends samples in order, each commit synced when the policy says so. When this returns
    /// without an error, all of them are in the queue or counted as dropped; after an error those
    /// before [`Self::next_seq`] are.
    pub(super) fn append<'a>(
        &mut self,
        samples: impl Iterator<Item = &'a Sample>,
    ) -> Result<Enqueued, StorageError> {
        let before = self.ledger().dropped.total();
        let mut commit = self.commit();
        let mut refused = 0;
        for sample in samples {
            match record::payload(self.newest.meta.agent_id, sample) {
                Ok(payload) => {
                    if commit.size + payload.len() + HEADER > MAX_COMMIT {
                        refused += self.write(&mut commit)?;
                    }
                    commit.add(&payload, Moment::of(sample));
                }
                Err(error) => {
                    tracing::error!(%error, "refused a sample");
                    // In a step of its own: what comes in is told by entries, this by a note.
                    refused += self.write(&mut commit)?;
                    commit.refuse();
                    refused += self.write(&mut commit)?;
                }
            }
        }
        refused += self.write(&mut commit)?;
        let dropped = self.ledger().dropped.total().saturating_sub(before);
        // Mending a generation on the way may have found what was counted as gone.
        Ok(Enqueued { refused, evicted: dropped.saturating_sub(refused) })
    }

    /// Gives numbers to `count` samples that were dropped before they could be written.
    pub(super) fn count_overflow(&mut self, count: u64) -> Result<(), StorageError> {
        self.note_drop();
        let (mut meta, mut losses) = (self.newest.meta.clone(), self.newest.losses.clone());
        let lost = self.newest.lost(Reason::Overflow, meta.next_seq, meta.next_seq + count);
        losses.note(lost);
        meta.next_seq += count;
        meta.left.dropped.overflow += count;
        self.newest.note_lost_durably(meta, losses)?;
        self.tail.note(self.next_seq());
        Ok(())
    }

    fn commit(&self) -> Commit {
        Commit::after(self.newest.meta.next_seq, self.newest.meta.running_total)
    }

    /// Writes what was gathered; returns how many of it were refused.
    fn write(&mut self, commit: &mut Commit) -> Result<u64, StorageError> {
        if commit.samples == 0 && commit.refused.is_empty() {
            return Ok(0);
        }
        if !self.make_room(commit.size as u64)? {
            commit.refuse_all();
        }
        let framed = commit.size as u64;
        while !commit.values.is_empty() {
            let values = commit.take_values();
            let bytes = values.iter().map(|(_, value)| value.len()).sum();
            self.newest.append(values)?;
            self.settle_sync(bytes)?;
        }
        self.newest.advance(commit.next_seq, commit.running_total);
        self.tidied = false;
        self.newest.meta.rate = self.rate.add(framed);
        if !commit.refused.is_empty() {
            self.note_drop();
            let (mut meta, mut losses) = (self.newest.meta.clone(), self.newest.losses.clone());
            losses.note_all(meta.agent_id, Reason::Overflow, &commit.refused);
            meta.left.dropped.overflow += commit.refused.len() as u64;
            self.newest.note_lost(meta, losses)?;
            self.settle_sync(HEADER)?;
        }
        self.front = self.front.or(commit.first);
        self.back = commit.last.or(self.back);
        if self.unsynced.is_none() {
            self.tail.note(commit.next_seq);
        }
        let refused = commit.refused.len() as u64;
        *commit = self.commit();
        Ok(refused)
    }

    /// Syncs what was just appended, now or as late as the policy allows.
    fn settle_sync(&mut self, bytes: usize) -> Result<(), StorageError> {
        let Sync::Every(delay) = self.options.sync else { return self.newest.sync() };
        let unsynced = self.unsynced.get_or_insert(Unsynced { since: Instant::now(), bytes: 0 });
        unsynced.bytes += bytes;
        if unsynced.since.elapsed() >= delay || unsynced.bytes > MAX_COMMIT {
            self.sync()
        } else {
            Ok(())
        }
    }

    /// Forces what was appended to stable storage, if it isn't there yet.
    pub(super) fn sync(&mut self) -> Result<(), StorageError> {
        if self.unsynced.take().is_some() {
            self.newest.sync()?;
            self.tail.note(self.next_seq());
        }
        Ok(())
    }

    /// When [`Self::sync`] is due, if something was appended that a power cut could still take.
    pub(super) fn sync_due(&self) -> Option<Instant> {
        match self.options.sync {
            Sync::Always => None,
            Sync::Every(delay) => self.unsynced.as_ref().map(|unsynced| unsynced.since + delay),
        }
    }

    /// Remembers that something is being dropped now; written with the next meta record.
    fn note_drop(&mut self) {
        self.newest.meta.dropped_at = Some(self.clock.now().as_microsecond());
    }

    fn front_live(&mut self) -> &mut Live {
        self.oldest.as_mut().unwrap_or(&mut self.newest)
    }

    fn generations_on_disk(&self) -> u64 {
        let middle: u64 = self.middle.iter().map(|middle| middle.on_disk).sum();
        self.newest.on_disk() + self.oldest.as_ref().map_or(0, Live::on_disk) + middle
    }

    fn disk_bytes(&self) -> u64 {
        self.other_bytes + self.generations_on_disk() + self.dead.on_disk()
    }

    /// What became of all that was ever queued, dead letters as of when they were set aside.
    fn ledger_of_queue(&self) -> Ledger {
        let mut ledger = self.newest.meta.carried;
        for counts in self.counts() {
            ledger.add(&counts.ledger);
        }
        ledger
    }

    fn ledger(&self) -> Ledger {
        let mut ledger = self.ledger_of_queue();
        let left = self.dead.left();
        ledger.dead_lettered = self.dead.count();
        ledger.acknowledged += left.acknowledged;
        ledger.dropped.add(&left.dropped);
        ledger
    }

    fn counts(&self) -> impl Iterator<Item = Counts> {
        let open = self.oldest.iter().chain([&self.newest]).map(Live::counts);
        open.chain(self.middle.iter().map(|middle| middle.closed.counts))
    }

    /// How long an outage the whole cap holds at the recent rate, by what the parts take that are full.
    fn capacity_seconds(&self) -> u64 {
        let on_disk = self.middle.iter().map(|middle| middle.on_disk).sum();
        let counts = self.middle.iter().map(|middle| middle.closed.counts);
        let framed = counts.map(|counts| counts.bytes + counts.samples * HEADER as u64).sum();
        let percent = capacity::disk_percent(on_disk, framed);
        capacity::seconds(self.options.max_bytes, self.rate.value(), percent)
    }

    /// All figures at this moment.
    pub(super) fn stats(&self) -> Stats {
        let (retrying, retrying_bytes) = self.dead.retrying();
        let queued: u64 = self.counts().map(|counts| counts.samples).sum();
        let samples = queued + retrying;
        let bytes = self.counts().map(|counts| counts.bytes).sum::<u64>() + retrying_bytes;
        let dropped_at = self.newest.meta.dropped_at;
        let last_dropped = dropped_at.and_then(|at| Timestamp::from_microsecond(at).ok());
        let last_seq = self.newest.meta.next_seq.checked_sub(1).filter(|_| samples > 0);
        let queue = Depth {
            samples,
            bytes,
            disk_bytes: self.disk_bytes(),
            max_bytes: self.options.max_bytes,
            first_seq: self.dead.first_retrying().or(self.front.map(|(seq, _)| seq)),
            last_seq,
            oldest: self.front.map(|(_, stamp)| stamp.wall),
            front: self.front.map(|(_, stamp)| stamp),
            newest: self.back.filter(|_| samples > 0),
            capacity_seconds: self.capacity_seconds(),
            dead_letters: self.dead.count(),
        };
        Stats {
            agent_id: self.newest.meta.agent_id,
            queue,
            ledger: self.ledger(),
            last_dropped,
            unreported: self.unreported(),
            storage: Storage::default(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
