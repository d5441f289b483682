//! Entries that were read, with what it takes to remove them: which values hold them, and who
//! shares those. It reads and writes no database.

use std::collections::BTreeMap;

use super::{
    Entry,
    generation::StorageError,
    reading::{Found, Reading, Stored},
    record::{
        self,
        block::{self, pieces},
    },
};

/// A value that changes when entries leave: its key, and what is left of it.
pub(super) type Rewrite = (Vec<u8>, Option<Vec<u8>>);

/// Entries as a scan found them, with what it takes to remove them.
#[derive(Default)]
pub(super) struct Window {
    /// Entries in order.
    pub(super) entries: Vec<Entry>,
    values: Vec<Stored>,
    /// For each entry the values that hold it (indices into `values`).
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
            let Found { entry, first_value: first, last_value: last } = found;
            (entry.seq, Place { first: *first, last: *last, bytes: entry.bytes })
        });
        let places = places.collect();
        reading.found.truncate(count.max(1));
        let entries = reading.found.into_iter().map(|found| found.entry).collect();
        Self { entries, values: reading.values, places, damaged: reading.damaged.len() }
    }

    /// The sequence number from which a scan finds the first entry that hasn't left.
    pub(super) fn head(&self) -> Option<u64> {
        let place = self.places.values().next()?;
        let (seq, _) = record::parse_key(&self.values.get(place.first)?.key)?;
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
            let Some(stored) = self.values.get_mut(value) else { continue };
            let shared =
                self.places.values().any(|place| (place.first..=place.last).contains(&value));
            let rest = if shared { without(stored, gone, &read)? } else { Vec::new() };
            changes.extend(stored.keys().map(|key| (key.to_vec(), None)));
            if rest.is_empty() {
                continue;
            }
            let rest = block::rest(rest)?;
            let mut keys = rest.iter().map(|(key, _)| key.to_vec());
            let key = keys.next().unwrap_or_default();
            *stored = Stored { key, more: keys.collect() };
            changes.extend(rest.into_iter().map(|(key, value)| (key.to_vec(), Some(value))));
        }
        Ok(changes)
    }
}

/// The frames of a value or a block but those of `gone`; none if they can't be read.
fn without<V: std::ops::Deref<Target = [u8]>>(
    stored: &Stored,
    gone: &[u64],
    read: impl Fn(&[u8]) -> Result<Option<V>, StorageError>,
) -> Result<Vec<u8>, StorageError> {
    let values = stored.keys().map(read).collect::<Result<Option<Vec<V>>, _>>()?;
    let Some(values) = values else { return Ok(Vec::new()) };
    let values: Vec<&[u8]> = values.iter().map(|value| &**value).collect();
    let frames = pieces::frames_of(&values);
    let (mut kept, mut rest) = (Vec::new(), &frames[..]);
    while let Ok(part) = record::parse_frame(rest) {
        let (frame, behind) = rest.split_at(part.frame_length());
        if gone.binary_search(&part.seq).is_err() {
            kept.extend_from_slice(frame);
        }
        rest = behind;
    }
    Ok(kept)
}
