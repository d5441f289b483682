//! What a generation holds, read through its database. Nothing here changes anything.

use super::Live;
use crate::clock::{Moment, Stamp};
use crate::queue::{
    commit::Value,
    generation::StorageError,
    reading::Reading,
    record::{
        self,
        block::{
            Block,
            pieces::{self, Joined, Piece},
        },
    },
    window::Window,
};

impl Live {
    /// Reads entries in order, at most `max_samples` with at most `max_bytes` of payload (one at
    /// least). Nothing is removed.
    pub(in crate::queue) fn scan(
        &self,
        max_samples: usize,
        max_bytes: u64,
    ) -> Result<Window, StorageError> {
        let (from, to) = self.bounds();
        let mut reading = Reading::default();
        for item in self.generation.scan(&from, &to)? {
            let (key, value) = item?;
            reading.take(key, &value);
            if reading.found.len() >= max_samples || reading.bytes > max_bytes {
                break;
            }
        }
        Ok(Window::new(reading, max_samples, max_bytes))
    }

    /// Whether the entry `seq` is in it.
    pub(in crate::queue) fn holds(&self, seq: u64) -> Result<bool, StorageError> {
        let (from, _) = self.bounds();
        // The value that holds it is the last one that begins at it or before.
        let last = self.generation.last(&from, &record::key(seq, u16::MAX))?;
        let Some((key, value)) = last else { return Ok(false) };
        let frames = self.frames_of(&key, &value)?;
        let mut rest = &frames[..];
        while let Ok(part) = record::parse_frame(rest) {
            if part.seq == seq {
                return Ok(true);
            }
            rest = &rest[part.frame_length()..];
        }
        Ok(false)
    }

    /// The frames in a value, or in the block of which it is a piece. As of a damaged value, its own bytes
    /// are given when a piece is missing or isn't in its place.
    pub(super) fn frames_of(&self, key: &[u8], value: &[u8]) -> Result<Vec<u8>, StorageError> {
        let Ok(piece) = Piece::parse(value) else { return Ok(pieces::frames_of(&[value])) };
        if record::parse_key(key) != Some((piece.of.seqs.0, piece.index)) {
            return Ok(value.to_vec());
        }
        let mut values = Vec::new();
        for key in piece.keys() {
            let Some(value) = self.generation.get(&key)? else { return Ok(value.to_vec()) };
            values.push(value);
        }
        let values: Vec<&[u8]> = values.iter().map(|value| &**value).collect();
        Ok(pieces::frames_of(&values))
    }

    /// How many entries a scan finds whole; [`Self::counts`] says how many there should be.
    pub(in crate::queue) fn count(&self) -> Result<u64, StorageError> {
        let (from, to) = self.bounds();
        let mut tally = Tally::default();
        for item in self.generation.scan(&from, &to)? {
            let (_, value) = item?;
            tally.take(&value);
        }
        Ok(tally.records)
    }

    /// All values that hold entries, in order: for a generation that is written anew.
    pub(in crate::queue) fn values(&self) -> Result<Vec<Value>, StorageError> {
        let (from, to) = self.bounds();
        let mut values = Vec::new();
        for item in self.generation.scan(&from, &to)? {
            let (key, value) = item?;
            if let Ok(key) = key.as_slice().try_into() {
                values.push((key, value.to_vec()));
            }
        }
        Ok(values)
    }

    /// When the newest entry was taken.
    pub(in crate::queue) fn newest_stamp(&self) -> Result<Option<Stamp>, StorageError> {
        let (from, to) = self.bounds();
        let mut reading = Reading::default();
        // The last value may hold no more than the end of a long record.
        let last = self.generation.last(&from, &to)?;
        let Some((seq, _)) = last.and_then(|(key, _)| record::parse_key(&key)) else {
            return Ok(None);
        };
        for item in self.generation.scan(&record::key(seq, 0), &to)? {
            let (key, value) = item?;
            reading.take(key, &value);
        }
        Ok(reading.found.last().map(|found| Moment::of(&found.entry.sample)))
    }
}

/// Counts records of which every part is there, without decoding them.
#[derive(Default)]
struct Tally {
    records: u64,
    /// The part that comes next of a record that was begun.
    next: Option<(u64, u16)>,
    pieces: Joined,
}

impl Tally {
    /// Takes the next value of a scan.
    fn take(&mut self, value: &[u8]) {
        if let Ok(piece) = Piece::parse(value) {
            self.next = None;
            if let Ok(Some(block)) = self.pieces.push(&piece) {
                self.records += Block::parse_joined(&block).map_or(0, |block| block.records.into());
            }
            return;
        }
        if let Ok(block) = Block::parse(value) {
            self.next = None;
            self.records += u64::from(block.records);
            return;
        }
        let mut rest = value;
        while let Ok(part) = record::parse_frame(rest) {
            let follows = part.index == 0 || self.next == Some((part.seq, part.index));
            let is_last = part.index + 1 == part.count;
            self.records += u64::from(follows && is_last);
            self.next = (follows && !is_last).then_some((part.seq, part.index + 1));
            rest = &rest[part.frame_length()..];
        }
    }
}
