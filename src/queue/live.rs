//! One open generation of the queue: its database with the meta record that counts what is in it.
//! Entries and counts change in the same atomic step, here and nowhere else. It knows nothing of
//! the other generations, of caps or of ages.

use std::{fs, path::Path, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Entry, Ledger, files,
    generation::{Generation, StorageError},
    record::{self, Assembly, DecodeError},
};

/// How the name of a generation begins while it is being created.
pub(super) const UNBORN: &str = "new-";

const META_KEY: &[u8] = &[0];
const CATALOG_KEY: &[u8] = &[0, 1];
/// At most so many removals between two syncs: the log that they write stays below half a segment.
const REMOVALS_PER_SYNC: usize = 100;

/// What a generation knows of itself and, the newest one, of the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Meta {
    /// The agent id of new samples.
    pub(super) agent_id: Uuid,
    /// The machine to which the agent id belongs, hashed; `None` where machines have no id.
    pub(super) machine: Option<Uuid>,
    /// The next sequence number, never used before.
    pub(super) next_seq: u64,
    /// Nothing below it is in this generation any more.
    pub(super) head: u64,
    /// Payload bytes that were ever queued.
    pub(super) running_total: u64,
    /// What is and was in this generation.
    pub(super) counts: Counts,
    /// The ledger of the generations that are gone.
    pub(super) carried: Ledger,
    /// The last generation that is in `carried`: what is left of it may be removed.
    pub(super) folded_through: u64,
    /// Payload bytes a second at which the queue was filled lately.
    pub(super) rate: f32,
}

/// What is and was in one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Entries in it.
    pub(super) samples: u64,
    /// Their payload.
    pub(super) bytes: u64,
    /// What became of all that were ever in it.
    pub(super) ledger: Ledger,
}

/// A generation that is full and closed, in the catalog that its successor keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Closed {
    /// Its first sequence number, which is also its name.
    pub(super) first_seq: u64,
    /// What was in it when it was closed.
    pub(super) counts: Counts,
}

/// Why entries leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaves {
    /// The server has them.
    Acknowledged,
    /// Older than `max_age`.
    Expired,
}

/// A removal: an entry's sequence number and payload length.
pub(super) type Gone = (u64, u64);

/// What a scan found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Entries in order.
    pub(super) entries: Vec<Entry>,
    /// Keys of values that can't be read.
    pub(super) damaged: Vec<Vec<u8>>,
}

/// An open generation with its counts.
pub(super) struct Live {
    pub(super) first_seq: u64,
    pub(super) meta: Meta,
    generation: Generation,
    /// Nothing live is below this sequence number.
    scan_from: u64,
    /// What the directory takes beside the database file.
    overhead: u64,
    unsynced_removals: usize,
}

impl Live {
    /// Creates a generation that begins at `meta.next_seq`; durable when this returns. It gets its
    /// name only when its meta record is on stable storage, so that what has the name is whole.
    pub(super) fn create(
        path: &Path,
        meta: &Meta,
        catalog: &[Closed],
    ) -> Result<Self, StorageError> {
        let unborn = path.with_file_name(format!("{UNBORN}{:020}", meta.next_seq));
        let generation = Generation::create(&unborn)?;
        let changes = vec![(META_KEY, Some(sealed(meta)?)), (CATALOG_KEY, Some(sealed(&catalog)?))];
        generation.commit(changes)?;
        generation.sync()?;
        drop(generation);
        fs::rename(&unborn, path)?;
        files::sync_directory(path.parent().unwrap_or(path))?;
        Self::open(path, meta.next_seq)
    }

    /// Opens a generation. What lies above its high-water mark was never confirmed and goes.
    pub(super) fn open(path: &Path, first_seq: u64) -> Result<Self, StorageError> {
        let generation = Generation::open_existing(path)?;
        let meta: Meta = unsealed(&generation, META_KEY)?;
        let live = Self::new(first_seq, meta, generation);
        live.remove_unconfirmed()?;
        Ok(live)
    }

    fn new(first_seq: u64, meta: Meta, generation: Generation) -> Self {
        let all = files::tree_on_disk(generation.directory());
        let overhead = all.saturating_sub(generation.file_bytes());
        Self { first_seq, meta, generation, scan_from: first_seq, overhead, unsynced_removals: 0 }
    }

    fn remove_unconfirmed(&self) -> Result<(), StorageError> {
        let (from, to) = (record::key(self.meta.next_seq, 0), record::key(u64::MAX, u16::MAX));
        let keys = self.generation.scan(&from, &to)?.map(|item| item.map(|(key, _)| key));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        for keys in keys.chunks(REMOVALS_PER_SYNC) {
            self.generation.commit(keys.iter().map(|key| (key.as_slice(), None)).collect())?;
            self.generation.sync()?;
        }
        Ok(())
    }

    /// The catalog of closed generations before this one.
    pub(super) fn catalog(&self) -> Result<Vec<Closed>, StorageError> {
        unsealed(&self.generation, CATALOG_KEY)
    }

    /// Writes frames and the new meta record in one atomic step, which a killed process doesn't
    /// lose; `sync` makes it survive a power cut.
    pub(super) fn append(
        &mut self,
        frames: &[(record::Key, Vec<u8>)],
        meta: Meta,
    ) -> Result<(), StorageError> {
        let mut changes = vec![(META_KEY, Some(sealed(&meta)?))];
        changes.extend(frames.iter().map(|(key, frame)| (key.as_slice(), Some(frame.clone()))));
        self.generation.commit(changes)?;
        self.meta = meta;
        Ok(())
    }

    /// Writes parts of a record that doesn't fit one commit. Without the meta record they don't
    /// count: what is torn is removed at the next open.
    pub(super) fn append_parts(
        &mut self,
        frames: &[(record::Key, Vec<u8>)],
    ) -> Result<(), StorageError> {
        let changes = frames.iter().map(|(key, frame)| (key.as_slice(), Some(frame.clone())));
        self.generation.commit(changes.collect())
    }

    /// One fdatasync: all that was committed is on stable storage when this returns.
    pub(super) fn sync(&mut self) -> Result<(), StorageError> {
        self.unsynced_removals = 0;
        self.generation.sync()
    }

    /// Removes exactly `gone` (ascending) and counts it. It has reached the kernel when this
    /// returns: a killed process doesn't bring the entries back, a power cut may.
    pub(super) fn remove(&mut self, gone: &[Gone], why: Leaves) -> Result<(), StorageError> {
        for chunk in gone.chunks(REMOVALS_PER_SYNC) {
            let mut meta = self.meta.clone();
            meta.counts.leave(chunk, why);
            meta.head = self.scan_from.max(meta.head);
            let keys: Vec<_> = chunk.iter().flat_map(|&(seq, bytes)| keys_of(seq, bytes)).collect();
            self.commit_removal(keys.iter().map(record::Key::as_slice), meta)?;
        }
        Ok(())
    }

    /// Remembers that nothing live is below `seq`, so that scans needn't walk over what is gone.
    pub(super) fn nothing_below(&mut self, seq: u64) {
        self.scan_from = self.scan_from.max(seq);
    }

    /// Removes values that can't be read, counts them as corrupt.
    pub(super) fn remove_damaged(&mut self, keys: &[Vec<u8>]) -> Result<(), StorageError> {
        let mut seqs: Vec<_> =
            keys.iter().filter_map(|key| record::parse_key(key)).map(|(seq, _)| seq).collect();
        seqs.dedup();
        for chunk in keys.chunks(REMOVALS_PER_SYNC) {
            let meta = self.meta.clone();
            self.commit_removal(chunk.iter().map(Vec::as_slice), meta)?;
        }
        let mut meta = self.meta.clone();
        let lost = (seqs.len() as u64).min(meta.counts.samples);
        meta.counts.samples -= lost;
        meta.counts.ledger.dropped.corrupt += lost;
        self.append(&[], meta)
    }

    fn commit_removal<'a>(
        &mut self,
        keys: impl Iterator<Item = &'a [u8]>,
        meta: Meta,
    ) -> Result<(), StorageError> {
        let mut changes = vec![(META_KEY, Some(sealed(&meta)?))];
        changes.extend(keys.map(|key| (key, None)));
        self.unsynced_removals += changes.len() - 1;
        self.generation.commit(changes)?;
        self.meta = meta;
        if self.unsynced_removals >= REMOVALS_PER_SYNC {
            self.sync()?;
        }
        Ok(())
    }

    /// Reads entries in order, at most `max_samples` with at most `max_bytes` of payload (one at
    /// least). Nothing is removed.
    pub(super) fn scan(&self, max_samples: usize, max_bytes: u64) -> Result<Scan, StorageError> {
        let (from, to) = (record::key(self.scan_from, 0), record::key(self.meta.next_seq, 0));
        let mut reading = Reading::default();
        for item in self.generation.scan(&from, &to)? {
            let (key, value) = item?;
            reading.take(key, &value);
            let Some(last) = reading.found.entries.last() else { continue };
            let full = reading.found.entries.len() >= max_samples;
            if reading.bytes > max_bytes && reading.found.entries.len() > 1 {
                reading.bytes -= last.bytes;
                reading.found.entries.pop();
                return Ok(reading.found);
            }
            if full {
                return Ok(reading.found);
            }
        }
        Ok(reading.finish())
    }

    /// The wall clock of the newest entry.
    pub(super) fn newest_timestamp(&self) -> Result<Option<Timestamp>, StorageError> {
        let Some(seq) = self.meta.next_seq.checked_sub(1) else { return Ok(None) };
        let (from, to) = (record::key(seq, 0), record::key(self.meta.next_seq, 0));
        let mut reading = Reading::default();
        for item in self.generation.scan(&from, &to)? {
            let (key, value) = item?;
            reading.take(key, &value);
        }
        Ok(reading.found.entries.last().map(|entry| entry.sample.timestamp))
    }

    /// Whether it ever held an entry: only then may it have a successor.
    pub(super) fn is_used(&self) -> bool {
        self.meta.next_seq > self.first_seq
    }

    /// What the generation takes on disk, in bytes.
    pub(super) fn on_disk(&self) -> u64 {
        self.overhead + self.generation.file_bytes()
    }

    /// Where it lives.
    pub(super) fn directory(&self) -> &Path {
        self.generation.directory()
    }
}

impl Counts {
    /// The ledger when everything that is still in it is lost.
    pub(super) fn all_lost(mut self) -> Ledger {
        self.ledger.dropped.corrupt += self.samples;
        self.ledger
    }

    fn leave(&mut self, gone: &[Gone], why: Leaves) {
        let samples = gone.len() as u64;
        self.samples -= samples.min(self.samples);
        self.bytes = self.bytes.saturating_sub(gone.iter().map(|(_, bytes)| bytes).sum());
        match why {
            Leaves::Acknowledged => self.ledger.acknowledged += samples,
            Leaves::Expired => self.ledger.dropped.expired += samples,
        }
    }
}

/// Puts parts together as a scan meets them, and tells what doesn't belong to a whole record.
#[derive(Default)]
struct Reading {
    assembly: Assembly,
    /// Keys of the record that isn't complete yet.
    open: Vec<Vec<u8>>,
    bytes: u64,
    found: Scan,
}

impl Reading {
    fn take(&mut self, key: Vec<u8>, value: &[u8]) {
        if record::parse_key(&key).is_some_and(|(_, part)| part == 0) {
            self.found.damaged.append(&mut self.open);
        }
        match read_part(&key, value, &mut self.assembly) {
            Ok(Some(entry)) => {
                self.open.clear();
                self.bytes += entry.bytes;
                self.found.entries.push(entry);
            }
            Ok(None) => self.open.push(key),
            Err(_) => {
                self.found.damaged.append(&mut self.open);
                self.found.damaged.push(key);
            }
        }
    }

    fn finish(mut self) -> Scan {
        self.found.damaged.append(&mut self.open);
        self.found
    }
}

fn read_part(
    key: &[u8],
    value: &[u8],
    assembly: &mut Assembly,
) -> Result<Option<Entry>, DecodeError> {
    let part = record::parse_frame(value)?;
    if record::parse_key(key) != Some((part.seq, part.index)) {
        return Err(DecodeError::Damaged("it lies under another key"));
    }
    Ok(assembly.push(&part)?.map(|done| Entry {
        seq: done.seq,
        agent_id: done.record.agent_id,
        bytes: done.bytes,
        sample: Arc::new(done.record.sample),
    }))
}

fn keys_of(seq: u64, bytes: u64) -> impl Iterator<Item = record::Key> {
    let parts = bytes.div_ceil(record::MAX_PART as u64).max(1);
    (0..u16::try_from(parts).unwrap_or(u16::MAX)).map(move |part| record::key(seq, part))
}

fn sealed<T: Serialize>(value: &T) -> Result<Vec<u8>, StorageError> {
    record::seal(value).map_err(|error| StorageError::Damaged(error.to_string()))
}

fn unsealed<T: serde::de::DeserializeOwned>(
    generation: &Generation,
    key: &[u8],
) -> Result<T, StorageError> {
    let value = generation.get(key)?;
    let value = value.ok_or_else(|| StorageError::Damaged("its meta record is missing".into()))?;
    record::unseal(&value).map_err(|error| match error {
        DecodeError::LaterVersion(version) => StorageError::LaterVersion(version),
        DecodeError::Damaged(what) => StorageError::Damaged(format!("its meta record is {what}")),
    })
}
