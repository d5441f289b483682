//! The queue as a synchronous FIFO over generations, with limits and a ledger that always
//! balances. No tokio, no sled: databases are [`Live`] generations, waiting is the owner's.
//!
//! Only the oldest and the newest generation are open. Entries are appended to the newest and leave
//! from the oldest; a generation that is empty, or must give way, is folded into the newest's
//! carried ledger (durably) before its directory goes, so a crash never counts it twice.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    sync::Arc,
    time::Instant,
};

use jiff::Timestamp;

use super::{
    Depth, Entry, Ledger, Options, Overflow, Stats, Sync,
    capacity::{self, Rate},
    commit::Commit,
    files,
    generation::{MAX_COMMIT, StorageError},
    live::{Closed, Counts, Gone, Leaves, Live, Meta},
    record::{self, Record},
    recovery,
};
use crate::{clock::Clock, sample::Sample};

/// What the database files may grow by before the next look at the cap: two segments.
const RESERVE: u64 = 1 << 20;
/// An empty queue's database is replaced by a small one above this size.
const SHRINK_ABOVE: u64 = 2_500_000;

/// A closed generation between the oldest and the newest.
pub(super) struct Middle {
    pub(super) closed: Closed,
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
    lent: BTreeMap<u64, u64>,
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
            lent: BTreeMap::new(),
            other_bytes: 0,
            front: None,
            back: None,
            unsynced: None,
            rate,
        };
        let all = files::tree_on_disk(&store.options.directory);
        store.other_bytes = all.saturating_sub(store.generations_on_disk());
        store.back = store.newest.newest_timestamp()?;
        store.make_room(0)?;
        store.find_front()?;
        Ok(store)
    }

    // ---- in -----------------------------------------------------------------------------------

    /// Appends samples in order, each commit synced when the policy says so. When this returns
    /// without an error, all of them are in the queue or counted as dropped.
    pub(super) fn append(&mut self, samples: Vec<Sample>) -> Result<Appended, StorageError> {
        let before = self.ledger().dropped.total();
        let mut commit = Commit::after(&self.newest.meta);
        let mut refused = 0;
        for sample in samples {
            let timestamp = sample.timestamp;
            let record = Record { agent_id: self.newest.meta.agent_id, sample };
            match record::pack(&record) {
                Ok(payload) => {
                    if commit.size + payload.len() > MAX_COMMIT {
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

    /// Writes what was gathered; returns how many of it were refused.
    fn write(&mut self, commit: &mut Commit) -> Result<u64, StorageError> {
        if commit.samples + commit.refused == 0 {
            return Ok(0);
        }
        if !self.make_room(commit.size as u64)? {
            commit.refuse_all();
        }
        while commit.size > MAX_COMMIT {
            let parts = commit.take_parts();
            self.newest.append_parts(&parts)?;
            self.settle_sync(MAX_COMMIT)?;
        }
        let mut meta = commit.account(&self.newest.meta);
        meta.rate = self.rate.add(commit.bytes);
        self.newest.append(&commit.frames, meta)?;
        self.settle_sync(commit.size)?;
        self.front = self.front.or(commit.first);
        self.back = commit.last.or(self.back);
        let refused = commit.refused;
        *commit = Commit::after(&self.newest.meta);
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

    // ---- out ----------------------------------------------------------------------------------

    /// Reads the oldest entries, in order, of one generation; nothing is removed.
    pub(super) fn peek(
        &mut self,
        max_samples: usize,
        max_bytes: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        self.expire()?;
        loop {
            let live = self.front_live();
            let found = live.scan(max_samples, max_bytes)?;
            if !found.damaged.is_empty() {
                tracing::error!(values = found.damaged.len(), "removed damaged entries");
                live.remove_damaged(&found.damaged)?;
            }
            if let Some(first) = found.entries.first() {
                live.nothing_below(first.seq);
                self.lent = found.entries.iter().map(|entry| (entry.seq, entry.bytes)).collect();
                return Ok(found.entries);
            }
            if !self.retire_oldest()? {
                return Ok(Vec::new());
            }
        }
    }

    /// Removes those of `seqs` that were peeked and are still there, and counts them as
    /// acknowledged. Returns how many they were.
    pub(super) fn settle(&mut self, seqs: &[u64]) -> Result<u64, StorageError> {
        let gone: Vec<Gone> = seqs.iter().filter_map(|seq| self.lent.remove_entry(seq)).collect();
        if gone.is_empty() {
            return Ok(0);
        }
        let lent_from = self.lent.first_key_value().map(|(seq, _)| *seq);
        let live = self.front_live();
        live.remove(&gone, Leaves::Acknowledged)?;
        live.nothing_below(lent_from.unwrap_or_else(|| gone.last().map_or(0, |(seq, _)| seq + 1)));
        self.find_front()?;
        self.shrink()?;
        Ok(gone.len() as u64)
    }

    fn front_live(&mut self) -> &mut Live {
        self.oldest.as_mut().unwrap_or(&mut self.newest)
    }

    /// Drops what is older than the configured age.
    fn expire(&mut self) -> Result<(), StorageError> {
        let Some(max_age) = self.options.max_age else { return Ok(()) };
        let Ok(oldest) = self.clock.now().checked_sub(max_age) else { return Ok(()) };
        while self.front.is_some_and(|(_, timestamp)| timestamp < oldest) {
            let live = self.front_live();
            let found = live.scan(100, u64::MAX)?;
            let gone: Vec<Gone> = found
                .entries
                .iter()
                .take_while(|entry| entry.sample.timestamp < oldest)
                .map(|entry| (entry.seq, entry.bytes))
                .collect();
            let Some(&(last, _)) = gone.last() else { break };
            live.remove(&gone, Leaves::Expired)?;
            live.nothing_below(last + 1);
            for (seq, _) in gone {
                self.lent.remove(&seq);
            }
            self.find_front()?;
        }
        Ok(())
    }

    /// Finds the oldest entry; generations that turn out to be empty go.
    fn find_front(&mut self) -> Result<(), StorageError> {
        self.front = None;
        loop {
            let live = self.front_live();
            if live.meta.counts.samples > 0
                && let Some(first) = live.scan(1, u64::MAX)?.entries.first()
            {
                live.nothing_below(first.seq);
                self.front = Some((first.seq, first.sample.timestamp));
                return Ok(());
            }
            if !self.retire_oldest()? {
                return Ok(());
            }
        }
    }

    // ---- room ---------------------------------------------------------------------------------

    /// Makes room for the next commit; `false` when the new samples have to give way.
    fn make_room(&mut self, payload: u64) -> Result<bool, StorageError> {
        self.expire()?;
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

    fn lacks_room(&self, payload: u64) -> bool {
        let free = files::free_bytes(&self.options.directory);
        // A record of many parts is written several times over.
        let growth = RESERVE + 3 * payload.saturating_sub(MAX_COMMIT as u64);
        self.disk_bytes() + growth > self.options.max_bytes
            || free.is_some_and(|free| {
                free < self.options.min_free_bytes && self.newest.meta.counts.samples > 0
            })
    }

    /// Removes the oldest generation with all that is in it, counted as overflow. `false` when
    /// there is nothing left that is worth it.
    fn evict(&mut self) -> Result<bool, StorageError> {
        if self.oldest.is_none() {
            if self.newest.meta.counts.samples == 0 || self.newest.on_disk() <= 2 * RESERVE {
                return Ok(false);
            }
            self.rotate()?;
        }
        let Some(oldest) = &self.oldest else { return Ok(false) };
        let (mut counts, end) = (oldest.meta.counts, oldest.meta.next_seq);
        let lost = std::mem::take(&mut counts.samples);
        counts.ledger.dropped.overflow += lost;
        tracing::debug!(samples = lost, "the oldest entries gave way");
        self.fold(counts.ledger)?;
        self.lent = self.lent.split_off(&end);
        self.find_front()?;
        Ok(true)
    }

    /// Removes the oldest generation if it is empty and not the newest; `false` if it isn't.
    fn retire_oldest(&mut self) -> Result<bool, StorageError> {
        match &self.oldest {
            Some(oldest) => {
                // What a scan didn't find though it was counted is damage.
                self.fold(oldest.meta.counts.all_lost())?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Adds the oldest generation's ledger to what the newest carries, durably, then removes it.
    fn fold(&mut self, ledger: Ledger) -> Result<(), StorageError> {
        let Some(oldest) = &self.oldest else { return Ok(()) };
        let mut meta = self.newest.meta.clone();
        meta.carried.add(&ledger);
        meta.folded_through = oldest.first_seq;
        self.newest.append(&[], meta)?;
        self.newest.sync()?;
        let directory = oldest.directory().to_owned();
        self.oldest = None;
        fs::remove_dir_all(&directory)?;
        self.open_next()
    }

    /// Opens the next generation behind the one that went.
    fn open_next(&mut self) -> Result<(), StorageError> {
        while let Some(Middle { closed, .. }) = self.middle.pop_front() {
            let path = recovery::generation_path(&self.options.directory, closed.first_seq);
            match recovery::open_generation(&self.options.directory, &path, closed.first_seq)? {
                Some(live) => {
                    self.oldest = Some(live);
                    return Ok(());
                }
                None => self.count_lost(&closed)?,
            }
        }
        Ok(())
    }

    fn count_lost(&mut self, closed: &Closed) -> Result<(), StorageError> {
        let mut meta = self.newest.meta.clone();
        meta.carried.add(&closed.counts.all_lost());
        meta.folded_through = closed.first_seq;
        self.newest.append(&[], meta)?;
        self.newest.sync()
    }

    /// Closes the newest generation and begins another.
    fn rotate(&mut self) -> Result<(), StorageError> {
        self.unsynced = None;
        self.newest.sync()?;
        let old = &self.newest;
        let closed = Closed { first_seq: old.first_seq, counts: old.meta.counts };
        let meta = Meta { head: old.meta.next_seq, counts: Counts::default(), ..old.meta.clone() };
        let mut catalog: Vec<_> = self.middle.iter().map(|middle| middle.closed).collect();
        catalog.extend(self.oldest.is_some().then_some(closed));
        let path = recovery::generation_path(&self.options.directory, meta.next_seq);
        let new = Live::create(&path, &meta, &catalog)?;
        let old = std::mem::replace(&mut self.newest, new);
        if self.oldest.is_some() {
            let on_disk = old.on_disk();
            self.middle.push_back(Middle { closed, on_disk });
        } else {
            self.oldest = Some(old);
        }
        Ok(())
    }

    /// Gives the disk back when the queue ran empty.
    fn shrink(&mut self) -> Result<(), StorageError> {
        let limit = SHRINK_ABOVE.min(self.options.max_bytes / 8);
        if self.oldest.is_none()
            && self.newest.meta.counts.samples == 0
            && self.newest.on_disk() > limit
        {
            self.rotate()?;
            self.find_front()?;
        }
        Ok(())
    }

    fn generation_limit(&self) -> u64 {
        (self.options.max_bytes / 10).clamp(600_000, 8_000_000.max(self.options.max_bytes / 128))
    }

    // ---- figures ------------------------------------------------------------------------------

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
        let open = self.oldest.iter().chain([&self.newest]).map(|live| live.meta.counts);
        open.chain(self.middle.iter().map(|middle| middle.closed.counts))
    }

    /// All figures at this moment.
    pub(super) fn stats(&self) -> Stats {
        let samples = self.counts().map(|counts| counts.samples).sum();
        let bytes = self.counts().map(|counts| counts.bytes).sum();
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
        Stats { agent_id: self.newest.meta.agent_id, queue, ledger: self.ledger() }
    }
}
