//! Entries out of values, in the order in which a scan meets them. Knows frames and parts, not the
//! database; it judges every byte and panics on none.

use std::sync::Arc;

use super::{
    Entry,
    record::{
        self, Assembly, MAGIC, Part,
        block::{
            self, Block,
            pieces::{Joined, Piece},
        },
    },
};

/// An entry with the values that hold it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The entry.
    pub(super) entry: Entry,
    /// Index into [`Reading::values`] of the first value that holds a part of it.
    pub(super) first_value: usize,
    /// And of the last.
    pub(super) last_value: usize,
}

/// A value that was read, or all pieces of a block.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// Its key, that of the first piece.
    pub(super) key: Vec<u8>,
    /// The keys of the pieces behind the first.
    pub(super) more: Vec<Vec<u8>>,
}

impl Stored {
    /// Its keys, in order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(&self.key).chain(&self.more).map(Vec::as_slice)
    }
}

/// Puts records together from the values of a scan.
#[derive(Default)]
pub(super) struct Reading {
    assembly: Assembly,
    assembly_from: usize,
    pieces: Joined,
    /// All values so far.
    pub(super) values: Vec<Stored>,
    /// Entries so far, in order.
    pub(super) found: Vec<Found>,
    /// Payload bytes of `found`.
    pub(super) bytes: u64,
    /// Indices of values of which something couldn't be read.
    pub(super) damaged: Vec<usize>,
}

impl Reading {
    /// Takes the next value of the scan.
    pub(super) fn take(&mut self, key: Vec<u8>, value: &[u8]) {
        if let Ok(piece) = Piece::parse(value) {
            return self.take_piece(key, &piece);
        }
        if self.pieces.is_open() {
            self.note_damage(self.values.len() - 1);
            self.pieces = Joined::default();
        }
        let expected = record::parse_key(&key);
        self.values.push(Stored { key, more: Vec::new() });
        self.take_frames(expected, &block::frames_of(value));
    }

    /// Takes the next value, a piece of a block.
    fn take_piece(&mut self, key: Vec<u8>, piece: &Piece<'_>) {
        let is_its_key = record::parse_key(&key) == Some((piece.of.seqs.0, piece.index));
        let is_open = self.pieces.is_open();
        match self.values.last_mut() {
            Some(block) if is_open && piece.index > 0 => block.more.push(key),
            _ => {
                if is_open {
                    self.note_damage(self.values.len() - 1);
                }
                self.values.push(Stored { key, more: Vec::new() });
            }
        }
        let block = if is_its_key { self.pieces.push(piece).ok() } else { None };
        let frames = match block {
            // More are to come.
            Some(None) => return,
            Some(Some(block)) => Block::parse_joined(&block).and_then(|block| block.frames()).ok(),
            None => None,
        };
        if let Some(frames) = frames {
            self.take_frames(Some((piece.of.seqs.0, 0)), &frames);
        } else {
            self.pieces = Joined::default();
            self.note_damage(self.values.len() - 1);
        }
    }

    /// Takes the frames of the last value.
    fn take_frames(&mut self, mut expected: Option<(u64, u16)>, frames: &[u8]) {
        let index = self.values.len() - 1;
        let mut rest = frames;
        while !rest.is_empty() {
            let expected = expected.take();
            let Ok(part) = record::parse_frame(rest) else {
                self.note_damage(index);
                rest = next_frame(rest);
                continue;
            };
            // Of a frame whose checksum is right the end is known, whatever is in it: what looks
            // like a frame inside is somebody's payload.
            rest = &rest[part.frame_length()..];
            let is_expected = expected.is_none_or(|key| key == (part.seq, part.index));
            if !is_expected || self.take_part(&part, index).is_none() {
                self.note_damage(index);
            }
        }
    }

    /// Forgets entries below `seq`.
    pub(super) fn forget_below(&mut self, seq: u64) {
        let forgotten = self.found.partition_point(|found| found.entry.seq < seq);
        let gone = self.found.drain(..forgotten);
        self.bytes -= gone.map(|found| found.entry.bytes).sum::<u64>();
    }

    /// Takes the next part of a record; `None` if it isn't one.
    fn take_part(&mut self, part: &Part<'_>, value: usize) -> Option<()> {
        if part.index == 0 {
            if self.assembly.is_open() {
                self.note_damage(self.assembly_from);
            }
            self.assembly_from = value;
        }
        if let Some(done) = self.assembly.push(part).ok()? {
            self.bytes += done.bytes;
            let entry = Entry {
                seq: done.seq,
                agent_id: done.record.agent_id,
                bytes: done.bytes,
                sample: Arc::new(done.record.sample),
            };
            let (first_value, last_value) = (self.assembly_from, value);
            self.found.push(Found { entry, first_value, last_value });
        }
        Some(())
    }

    fn note_damage(&mut self, value: usize) {
        if self.damaged.last() != Some(&value) {
            self.damaged.push(value);
        }
    }
}

/// What is left of `bytes` from the next magic number on, behind its first byte.
fn next_frame(bytes: &[u8]) -> &[u8] {
    let behind = bytes.get(1..).unwrap_or_default();
    let at = behind.windows(MAGIC.len()).position(|window| window == MAGIC);
    at.map_or(&[], |at| &behind[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_inside_of_a_frame_is_no_entry() {
        let origin = crate::sample::Origin::default();
        let sample = crate::sample::Sample {
            timestamp: jiff::Timestamp::UNIX_EPOCH,
            since_boot: None,
            origin: Arc::new(origin),
            interval: std::time::Duration::from_secs(5),
            metrics: crate::sample::Metrics::Cpu(crate::sample::Cpu::default()),
        };
        let payload =
            record::pack(&record::Record { agent_id: uuid::Uuid::nil(), sample }).unwrap();
        let (_, inner) = record::frames(6, 600, &payload).next().unwrap();
        // A payload that isn't a record, as another build might have written it.
        let (_, outer) = record::frames(7, 700, &inner).next().unwrap();
        let mut reading = Reading::default();
        reading.take(record::key(6, 0).to_vec(), &inner);
        reading.take(record::key(7, 0).to_vec(), &outer);
        let seqs: Vec<_> = reading.found.iter().map(|found| found.entry.seq).collect();
        assert_eq!((seqs, reading.damaged), (vec![6], vec![1]));
    }
}
