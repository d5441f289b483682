//! Entries that were read, with what it takes to remove them: which values hold them, and who
//! shares those. It reads and writes no database.

use std::collections::BTreeMap;

use super::{
    Entry,
    generation::StorageError,
    reading::{Found, Reading},
    record::{self, block},
};

/// A value that changes when entries leave: its key, and what is left of it.
pub(super) type Rewrite = (Vec<u8>, Option<Vec<u8>>);

/// Entries as a scan found them, with what it takes to remove them.
#[derive(Default)]
pub(super) struct Window {
    /// Entries in order.
    pub(super) entries: Vec<Entry>,
    keys: Vec<Vec<u8>>,
    /// For each entry the values that hold it (indices into `keys`), and for the last value the
    /// entries that share it.
    places: BTreeMap<u64, Place>,
    /// Values of which something couldn't be read.
    pub(super) damaged: usize,
}

#[derive(Clone, Copy)]
struct Place {
    first: usize,
    last: usize,
    bytes: u64,
}

impl Window {
    /// Keeps the first entries of what was read; the rest is known but not handed out.
    pub(super) fn new(mut reading: Reading, max_samples: usize, max_bytes: u64) -> Self {
        let mut bytes = 0;
        let fits = |found: &&Found| {
            bytes += found.entry.bytes;
            bytes <= max_bytes
        };
        let count = reading.found.iter().take(max_samples).take_while(fits).count();
        let places = reading.found.iter().map(|found| {
            let last = (found.first_value..)
                .nth(parts(found.entry.bytes) - 1)
                .unwrap_or(found.first_value);
            (found.entry.seq, Place { first: found.first_value, last, bytes: found.entry.bytes })
        });
        let places = places.collect();
        reading.found.truncate(count.max(1));
        let entries = reading.found.into_iter().map(|found| found.entry).collect();
        Self { entries, keys: reading.keys, places, damaged: reading.damaged.len() }
    }

    /// The sequence number from which a scan finds the first entry that hasn't left.
    pub(super) fn head(&self) -> Option<u64> {
        let place = self.places.values().next()?;
        let (seq, _) = record::parse_key(self.keys.get(place.first)?)?;
        Some(seq)
    }

    /// The payload of the entries `gone`.
    pub(super) fn payload(&self, gone: &[u64]) -> u64 {
        gone.iter().filter_map(|seq| self.places.get(seq)).map(|place| place.bytes).sum()
    }

    /// The head when `gone`, which was vacated, was all that lay before what stays: then nothing
    /// below the head matters any more.
    pub(super) fn head_behind(&self, gone: &[u64]) -> Option<u64> {
        let last = *gone.last()?;
        match self.places.first_key_value() {
            None => Some(last + 1),
            Some((first, _)) if *first > last => {
                // A value that is shared was written anew under the first that stays.
                self.head().filter(|head| *head > last)
            }
            Some(_) => None,
        }
    }

    /// The sequence number behind the last entry that is known here.
    pub(super) fn end(&self) -> u64 {
        self.places.last_key_value().map_or(0, |(seq, _)| seq + 1)
    }

    /// Which of `seqs` are still here.
    pub(super) fn present(&self, seqs: &[u64]) -> Vec<u64> {
        seqs.iter().copied().filter(|seq| self.places.contains_key(seq)).collect()
    }

    /// Forgets entries below `seq`: their generation is gone.
    pub(super) fn forget_below(&mut self, seq: u64) {
        self.places = self.places.split_off(&seq);
    }

    /// Forgets `gone`; returns what that changes: values that nobody needs any more go, a value
    /// that is shared with entries that stay is written without those that go.
    pub(super) fn vacate<V: std::ops::Deref<Target = [u8]>>(
        &mut self,
        gone: &[u64],
        read: impl Fn(&[u8]) -> Result<Option<V>, StorageError>,
    ) -> Result<Vec<Rewrite>, StorageError> {
        let places: Vec<_> = gone.iter().filter_map(|seq| self.places.remove(seq)).collect();
        let mut values: Vec<usize> =
            places.iter().flat_map(|place| place.first..=place.last).collect();
        values.dedup();
        let mut changes = Vec::with_capacity(values.len());
        for value in values {
            let Some(key) = self.keys.get(value) else { continue };
            let shared =
                self.places.values().any(|place| (place.first..=place.last).contains(&value));
            let rest = if shared { read(key)?.map(|old| without(&old, gone)) } else { None };
            changes.push((key.clone(), None));
            if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
                let Ok(first) = record::parse_frame(&rest) else { continue };
                let moved = record::key(first.seq, first.index).to_vec();
                changes.push((moved.clone(), Some(block::rest(rest)?)));
                self.keys[value] = moved;
            }
        }
        Ok(changes)
    }
}

/// The frames of a value but those of `gone`.
fn without(value: &[u8], gone: &[u64]) -> Vec<u8> {
    let mut kept = Vec::new();
    let frames = block::frames_of(value);
    let mut rest = &frames[..];
    while let Ok(part) = record::parse_frame(rest) {
        let (frame, behind) = rest.split_at(part.frame_length());
        if gone.binary_search(&part.seq).is_err() {
            kept.extend_from_slice(frame);
        }
        rest = behind;
    }
    kept
}

fn parts(bytes: u64) -> usize {
    let parts = bytes.div_ceil(record::MAX_PART as u64).max(1);
    usize::try_from(parts).unwrap_or(usize::MAX)
}
