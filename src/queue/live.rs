//! One open generation of the queue: its database, and what is and was in it.
//!
//! The ledger balances by construction. What came in is told by the sequence numbers of the entries
//! themselves; what left is counted in the meta record, in the same atomic step in which it leaves;
//! what is there is the difference. It knows nothing of other generations, caps or ages.

use std::{collections::VecDeque, fs, path::Path};

use serde::Serialize;

use super::{
    commit::Value,
    files,
    generation::{Generation, MAX_COMMIT, StorageError},
    losses::Losses,
    meta::{Closed, Counts, Meta},
    raw::{self, Look},
    record::{self, DecodeError, block},
    window::Window,
};

mod leave;
mod look;
mod losing;
mod press;
mod scan;

/// How the name of a generation begins while it is being created.
pub(super) const UNBORN: &str = "new-";

const META_KEY: &[u8] = &[0];
const CATALOG_KEY: &[u8] = &[0, 1];
const LOSSES_KEY: &[u8] = &[0, 2];
/// At most so many removals between two syncs: the log that they write stays below half a segment.
const REMOVALS_PER_SYNC: usize = 100;
/// An open generation.
pub(super) struct Live {
    pub(super) first_seq: u64,
    pub(super) meta: Meta,
    /// What the server is to be told of what was lost.
    pub(super) losses: Losses,
    generation: Generation,
    /// What the directory takes beside the database file.
    overhead: u64,
    /// Keys below the head: gone for the queue, not removed from the database yet.
    swept: Vec<Vec<u8>>,
    /// Values that were appended to this handle and may be pressed into blocks: their first numbers.
    loose: VecDeque<u64>,
    unsynced_removals: usize,
}

/// What a generation begins with.
#[derive(Clone, Copy)]
pub(super) struct Notes<'a> {
    pub(super) meta: &'a Meta,
    pub(super) catalog: &'a [Closed],
    pub(super) losses: &'a Losses,
}

impl Live {
    /// Creates a generation that begins at the next sequence number; durable when this returns. It gets its
    /// name only when its meta record is on stable storage, so that what has the name is whole.
    pub(super) fn create(path: &Path, notes: Notes<'_>) -> Result<Self, StorageError> {
        let unborn = path.with_file_name(format!("{UNBORN}{:020}", notes.meta.next_seq));
        Self::bear(&unborn, path, notes).inspect_err(|_| {
            // The next opening removes it at the latest.
            fs::remove_dir_all(&unborn).ok();
        })
    }

    fn bear(unborn: &Path, path: &Path, notes: Notes<'_>) -> Result<Self, StorageError> {
        let Notes { meta, catalog, losses } = notes;
        let generation = Generation::create(unborn)?;
        generation.commit(vec![
            (META_KEY, Some(sealed(meta)?)),
            (CATALOG_KEY, Some(sealed(&catalog)?)),
            (LOSSES_KEY, Some(sealed(losses)?)),
        ])?;
        generation.sync()?;
        drop(generation);
        let raw = raw::read(unborn)?;
        fs::rename(unborn, path)?;
        files::sync_directory(path.parent().unwrap_or(path))?;
        Self::open_as_written(path, meta, &raw)
    }

    /// Opens a generation with these bytes, of which it is known that it must hold `meta`.
    fn open_as_written(path: &Path, meta: &Meta, raw: &raw::Raw) -> Result<Self, StorageError> {
        let opened = raw.open(path, || {
            let live = Self::open(path, meta.next_seq)?;
            let is_right = !live.meta.is_behind(meta);
            Ok(if is_right { Look::Right(live) } else { Look::Wrong("it is empty".into()) })
        })?;
        opened.map_err(StorageError::Damaged)
    }

    /// Opens a generation. A record that was never complete was never confirmed, and goes.
    pub(super) fn open(path: &Path, first_seq: u64) -> Result<Self, StorageError> {
        let generation = Generation::open_existing(path)?;
        let meta: Meta = unsealed(&generation, META_KEY)?;
        if !meta.is_possible() {
            return Err(StorageError::Damaged("its meta record has impossible numbers".into()));
        }
        let all = files::tree_on_disk(generation.directory());
        let overhead = all.saturating_sub(generation.file_bytes());
        let losses = losing::read(&generation)?;
        let mut live = Self {
            first_seq,
            meta,
            losses,
            generation,
            overhead,
            swept: Vec::new(),
            loose: VecDeque::new(),
            unsynced_removals: 0,
        };
        live.find_end()?;
        live.find_swept()?;
        Ok(live)
    }

    /// Moves the high-water mark behind the last whole record.
    fn find_end(&mut self) -> Result<(), StorageError> {
        let (from, to) = (record::key(self.meta.next_seq, 0), record::key(u64::MAX, u16::MAX));
        while let Some((key, value)) = self.generation.last(&from, &to)? {
            if let Some((seq, running_total)) = last_whole(&self.frames_of(&key, &value)?)? {
                if seq < self.meta.next_seq {
                    return Err(StorageError::Damaged("its last value has an old number".into()));
                }
                (self.meta.next_seq, self.meta.running_total) = (seq + 1, running_total);
                return Ok(());
            }
            self.generation.commit(vec![(&key, None)])?;
        }
        // A block that an earlier build wrote may begin before the mark and end behind it.
        if let Some((key, value)) = self.generation.last(&record::key(0, 0), &from)?
            && block::last_seq(&value) >= Some(self.meta.next_seq)
            && let Some((seq, running_total)) = last_whole(&self.frames_of(&key, &value)?)?
        {
            (self.meta.next_seq, self.meta.running_total) = (seq + 1, running_total);
        }
        Ok(())
    }

    /// Writes `meta` and forgets the catalog, in one durable step: it was found not to hold any more.
    pub(super) fn forget(&mut self, meta: Meta) -> Result<(), StorageError> {
        let none: [Closed; 0] = [];
        let changes =
            vec![(META_KEY, Some(sealed(&meta)?)), (CATALOG_KEY, Some(sealed(&none.as_slice())?))];
        self.generation.commit(changes)?;
        self.meta = meta;
        self.sync()
    }

    /// The catalog of closed generations before this one.
    pub(super) fn catalog(&self) -> Result<Vec<Closed>, StorageError> {
        unsealed(&self.generation, CATALOG_KEY)
    }

    /// Writes values in one atomic step, which a killed process doesn't lose; [`Self::sync`] makes
    /// it survive a power cut. A record of which the last part is missing doesn't count.
    pub(super) fn append(&mut self, values: Vec<Value>) -> Result<(), StorageError> {
        let loose = values.iter().filter(|(_, value)| block::loose(value).is_some());
        let loose: Vec<_> = loose.filter_map(|(key, _)| record::parse_key(key)).collect();
        let keys: Vec<_> = values.iter().map(|(key, _)| *key).collect();
        let changes =
            values.into_iter().zip(&keys).map(|((_, value), key)| (key.as_slice(), Some(value)));
        self.generation.commit(changes.collect())?;
        self.loose.extend(loose.iter().map(|(seq, _)| seq));
        Ok(())
    }

    /// Fills a new generation with salvaged values and the meta record that belongs to them; durable
    /// when this returns.
    pub(super) fn fill(&mut self, values: Vec<Value>, meta: Meta) -> Result<(), StorageError> {
        let mut values = values.into_iter().peekable();
        while values.peek().is_some() {
            // Eight of the longest values make the largest commit.
            let some: Vec<_> = values.by_ref().take(MAX_COMMIT / record::MAX_VALUE).collect();
            self.append(some)?;
            self.sync()?;
        }
        self.note_durably(meta)
    }

    /// Counts what was appended, once it is whole.
    pub(super) fn advance(&mut self, next_seq: u64, running_total: u64) {
        (self.meta.next_seq, self.meta.running_total) = (next_seq, running_total);
    }

    /// Writes the meta record, in one atomic step.
    pub(super) fn note(&mut self, meta: Meta) -> Result<(), StorageError> {
        self.generation.commit(vec![(META_KEY, Some(sealed(&meta)?))])?;
        self.meta = meta;
        Ok(())
    }

    /// Writes the meta record, on stable storage when this returns; after an error it isn't known here,
    /// whatever the disk says.
    pub(super) fn note_durably(&mut self, meta: Meta) -> Result<(), StorageError> {
        self.generation.commit(vec![(META_KEY, Some(sealed(&meta)?))])?;
        self.sync()?;
        self.meta = meta;
        Ok(())
    }

    /// One fdatasync: all that was committed is on stable storage when this returns.
    pub(super) fn sync(&mut self) -> Result<(), StorageError> {
        self.unsynced_removals = 0;
        self.generation.sync()
    }

    fn bounds(&self) -> (record::Key, record::Key) {
        (record::key(self.meta.head, 0), record::key(self.meta.next_seq, 0))
    }

    /// Remembers that nothing live is below `seq`, so that scans needn't walk over what is gone.
    pub(super) fn nothing_below(&mut self, seq: u64) {
        self.meta.head = self.meta.head.max(seq);
    }

    /// What is and was in it.
    pub(super) fn counts(&self) -> Counts {
        self.meta.counts(self.first_seq)
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

/// The sequence number and running total of the last record that ends in `frames`.
fn last_whole(frames: &[u8]) -> Result<Option<(u64, u64)>, StorageError> {
    let (mut end, mut rest) = (None, frames);
    while !rest.is_empty() {
        match record::parse_frame(rest) {
            Ok(part) => {
                if part.index + 1 == part.count {
                    end = Some((part.seq, part.running_total));
                }
                rest = &rest[part.frame_length()..];
            }
            // What a later version wrote isn't ours to judge, still less to remove.
            Err(DecodeError::LaterVersion(version)) => {
                return Err(StorageError::LaterVersion(version));
            }
            // It may have held numbers that were used: the high-water mark isn't known any more.
            Err(DecodeError::Damaged(what)) => {
                return Err(StorageError::Damaged(format!("its last value is {what}")));
            }
        }
    }
    Ok(end)
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

#[cfg(test)]
pub(super) mod tests;
