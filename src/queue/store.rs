//! The queue as a synchronous FIFO over generations, with limits and a ledger that always
//! balances. No tokio, no sled: databases are [`Live`] generations, waiting is the owner's.
//!
//! Only the oldest and the newest generation are open. Entries are appended to the newest and leave
//! from the oldest; a generation that is empty, or must give way, is folded into the newest's
//! carried ledger (durably) before its directory goes, so a crash never counts it twice.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use jiff::Timestamp;

use super::{
    Depth, Entry, Ledger, Options, Refusal, Stats, Sync,
    capacity::{self, Rate},
    commit::Commit,
    files,
    generation::{MAX_COMMIT, StorageError},
    live::Live,
    meta::{Closed, Counts, Leaves},
    record::{self, HEADER, Record},
    recovery,
    window::Window,
};
use crate::{clock::Clock, sample::Sample};

mod room;

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
    /// Entries that were peeked and haven't left since.
    lent: Window,
    lent_limits: (usize, u64),
    /// Bytes on disk below the directory that aren't in a generation.
    pub(super) other_bytes: u64,
    front: Option<(u64, Timestamp)>,
    back: Option<Timestamp>,
    unsynced: Option<Unsynced>,
    rate: Rate,
}

/// What became of the samples of one append: those that aren't refused are queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Appended {
    /// Samples that were refused, counted as dropped.
    pub(super) refused: u64,
    /// Older entries that gave way, counted as dropped.
    pub(super) evicted: u64,
}

impl Store {
    pub(super) fn new(
        parts: recovery::Parts,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StorageError> {
        let recovery::Parts { newest, oldest, middle } = parts;
        let rate = Rate::new(newest.meta.rate);
        let mut store = Self {
            options,
            clock,
            newest,
            oldest,
            middle,
            lent: Window::default(),
            lent_limits: (0, 0),
            other_bytes: 0,
            front: None,
            back: None,
            unsynced: None,
            rate,
        };
        store.measure_rest();
        store.back = store.newest_timestamp()?;
        store.make_room(0)?;
        store.find_front()?;
        Ok(store)
    }

    /// Measures what lies in the directory beside the generations.
    fn measure_rest(&mut self) {
        let all = files::tree_on_disk(&self.options.directory);
        self.other_bytes = all.saturating_sub(self.generations_on_disk());
    }

    /// The wall clock of the newest entry, wherever it is: a generation that was begun and has no
    /// entry yet doesn't know. `None` as well where that can't be read now.
    fn newest_timestamp(&self) -> Result<Option<Timestamp>, StorageError> {
        if let Some(found) = self.newest.newest_timestamp()? {
            return Ok(Some(found));
        }
        let Some(Middle { closed, .. }) = self.middle.back() else {
            return self.oldest.as_ref().map_or(Ok(None), Live::newest_timestamp);
        };
        let path = recovery::generation_path(&self.options.directory, closed.first_seq);
        let before = Live::open(&path, closed.first_seq).ok();
        Ok(before.and_then(|live| live.newest_timestamp().ok()).flatten())
    }

    /// Appends samples in order, each commit synced when the policy says so. When this returns
    /// without an error, all of them are in the queue or counted as dropped.
    pub(super) fn append(&mut self, samples: Vec<Sample>) -> Result<Appended, StorageError> {
        let before = self.ledger().dropped.total();
        let mut commit = self.commit();
        let mut refused = 0;
        for sample in samples {
            let timestamp = sample.timestamp;
            let record = Record { agent_id: self.newest.meta.agent_id, sample };
            match record::pack(&record) {
                Ok(payload) => {
                    if commit.size + payload.len() + HEADER > MAX_COMMIT {
                        refused += self.write(&mut commit)?;
                    }
                    commit.add(&payload, timestamp);
                }
                Err(error) => {
                    tracing::error!(%error, "refused a sample");
                    commit.refuse();
                }
            }
        }
        refused += self.write(&mut commit)?;
        let dropped = self.ledger().dropped.total() - before;
        Ok(Appended { refused, evicted: dropped - refused })
    }

    fn commit(&self) -> Commit {
        Commit::after(self.newest.meta.next_seq, self.newest.meta.running_total)
    }

    /// Writes what was gathered; returns how many of it were refused.
    fn write(&mut self, commit: &mut Commit) -> Result<u64, StorageError> {
        if commit.samples + commit.refused == 0 {
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
        self.newest.meta.rate = self.rate.add(framed);
        if commit.refused > 0 {
            self.note_drop();
            let mut meta = self.newest.meta.clone();
            meta.left.dropped.overflow += commit.refused;
            self.newest.note(meta)?;
            self.settle_sync(HEADER)?;
        }
        self.front = self.front.or(commit.first);
        self.back = commit.last.or(self.back);
        let refused = commit.refused;
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
        if self.unsynced.take().is_some() { self.newest.sync() } else { Ok(()) }
    }

    /// When [`Self::sync`] is due, if something was appended that a power cut could still take.
    pub(super) fn sync_due(&self) -> Option<Instant> {
        match self.options.sync {
            Sync::Always => None,
            Sync::Every(delay) => self.unsynced.as_ref().map(|unsynced| unsynced.since + delay),
        }
    }

    /// Reads the oldest entries, in order, of one generation; nothing is removed.
    pub(super) fn peek(
        &mut self,
        max_samples: usize,
        max_bytes: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        self.expire()?;
        if self.front.is_none() {
            return Ok(Vec::new());
        }
        self.lent_limits = (max_samples, max_bytes);
        self.lent = self.front_live().scan(max_samples, max_bytes)?;
        if self.lent.damaged > 0 {
            tracing::error!(values = self.lent.damaged, "passed over damaged entries");
        }
        Ok(std::mem::take(&mut self.lent.entries))
    }

    /// Removes those of `seqs` (ascending) that were peeked and are still there, and counts them
    /// as acknowledged. Returns how many they were.
    pub(super) fn settle(&mut self, seqs: &[u64]) -> Result<u64, StorageError> {
        let mut window = std::mem::take(&mut self.lent);
        let gone = window.present(seqs);
        let result = self.leave(&mut window, &gone, Leaves::Acknowledged);
        self.lent = window;
        result?;
        self.shrink()?;
        Ok(gone.len() as u64)
    }

    /// Sets those of `seqs` (ascending) aside that were peeked and are still there.
    pub(super) fn set_aside(
        &mut self,
        seqs: &[u64],
        _refusal: &Refusal,
    ) -> Result<u64, StorageError> {
        let mut window = std::mem::take(&mut self.lent);
        let gone = window.present(seqs);
        let result = self.leave(&mut window, &gone, Leaves::DeadLettered);
        self.lent = window;
        result?;
        Ok(gone.len() as u64)
    }

    /// Removes the entries `gone` of `window`, which belong to the oldest generation.
    fn leave(
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

    /// Remembers that something is being dropped now; written with the next meta record.
    fn note_drop(&mut self) {
        self.newest.meta.dropped_at = Some(self.clock.now().as_microsecond());
    }

    fn front_live(&mut self) -> &mut Live {
        self.oldest.as_mut().unwrap_or(&mut self.newest)
    }

    /// Drops what is older than the configured age.
    fn expire(&mut self) -> Result<(), StorageError> {
        let Some(max_age) = self.options.max_age else { return Ok(()) };
        let Ok(oldest) = self.clock.now().checked_sub(max_age) else { return Ok(()) };
        while self.front.is_some_and(|(_, timestamp)| timestamp < oldest) {
            let mut window = self.front_live().scan(100, u64::MAX)?;
            let expired = window.entries.iter().take_while(|entry| entry.sample.timestamp < oldest);
            let gone: Vec<_> = expired.map(|entry| entry.seq).collect();
            if gone.is_empty() {
                break;
            }
            self.note_drop();
            self.leave(&mut window, &gone, Leaves::Expired)?;
            // What expired can't be settled, and a value that it shared lies under another key now.
            self.lent = match self.front {
                Some(_) => {
                    let (max_samples, max_bytes) = self.lent_limits;
                    self.front_live().scan(max_samples, max_bytes)?
                }
                None => Window::default(),
            };
        }
        Ok(())
    }

    /// Finds the oldest entry; generations that turn out to be empty go.
    fn find_front(&mut self) -> Result<(), StorageError> {
        self.front = None;
        loop {
            let live = self.front_live();
            if live.counts().samples > 0 {
                let window = live.scan(1, u64::MAX)?;
                if let (Some(head), Some(first)) = (window.head(), window.entries.first()) {
                    live.nothing_below(head);
                    self.front = Some((first.seq, first.sample.timestamp));
                    return Ok(());
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

    fn generations_on_disk(&self) -> u64 {
        let middle: u64 = self.middle.iter().map(|middle| middle.on_disk).sum();
        self.newest.on_disk() + self.oldest.as_ref().map_or(0, Live::on_disk) + middle
    }

    fn disk_bytes(&self) -> u64 {
        self.other_bytes + self.generations_on_disk()
    }

    fn ledger(&self) -> Ledger {
        let mut ledger = self.newest.meta.carried;
        for counts in self.counts() {
            ledger.add(&counts.ledger);
        }
        ledger
    }

    fn counts(&self) -> impl Iterator<Item = Counts> {
        let open = self.oldest.iter().chain([&self.newest]).map(Live::counts);
        open.chain(self.middle.iter().map(|middle| middle.closed.counts))
    }

    /// All figures at this moment.
    pub(super) fn stats(&self) -> Stats {
        let samples = self.counts().map(|counts| counts.samples).sum();
        let bytes = self.counts().map(|counts| counts.bytes).sum();
        let dropped_at = self.newest.meta.dropped_at;
        let last_dropped = dropped_at.and_then(|at| Timestamp::from_microsecond(at).ok());
        let last_seq = self.newest.meta.next_seq.checked_sub(1).filter(|_| samples > 0);
        let queue = Depth {
            samples,
            bytes,
            disk_bytes: self.disk_bytes(),
            max_bytes: self.options.max_bytes,
            first_seq: self.front.map(|(seq, _)| seq),
            last_seq,
            oldest: self.front.map(|(_, timestamp)| timestamp),
            newest: self.back.filter(|_| samples > 0),
            capacity_seconds: capacity::seconds(self.options.max_bytes, self.rate.value()),
            dead_letters: 0,
        };
        Stats { agent_id: self.newest.meta.agent_id, queue, ledger: self.ledger(), last_dropped }
    }
}
