//! Entries out of values, in the order in which a scan meets them. Knows frames and parts, not the
//! database; it judges every byte and panics on none.

use std::sync::Arc;

use super::{
    Entry,
    record::{self, Assembly, MAGIC},
};

/// An entry with the keys of the values that hold it: the first and how many.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The entry.
    pub(super) entry: Entry,
    /// Index into [`Reading::keys`] of the first value that holds a part of it.
    pub(super) first_value: usize,
}

/// Puts records together from the values of a scan.
#[derive(Default)]
pub(super) struct Reading {
    assembly: Assembly,
    assembly_from: usize,
    /// Keys of all values so far.
    pub(super) keys: Vec<Vec<u8>>,
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
        let index = self.keys.len();
        let mut expected = record::parse_key(&key);
        self.keys.push(key);
        let mut rest = value;
        while !rest.is_empty() {
            if let Some(length) = self.take_frame(rest, expected.take(), index) {
                rest = &rest[length..];
            } else {
                self.note_damage(index);
                rest = next_frame(rest);
            }
        }
    }

    /// Takes the frame at the start of `bytes`; its length, or `None` if it isn't a good one.
    fn take_frame(
        &mut self,
        bytes: &[u8],
        expected: Option<(u64, u16)>,
        value: usize,
    ) -> Option<usize> {
        let part = record::parse_frame(bytes).ok()?;
        if expected.is_some_and(|key| key != (part.seq, part.index)) {
            return None;
        }
        let length = part.frame_length();
        if part.index == 0 {
            if self.assembly.is_open() {
                self.note_damage(self.assembly_from);
            }
            self.assembly_from = value;
        }
        if let Some(done) = self.assembly.push(&part).ok()? {
            self.bytes += done.bytes;
            let entry = Entry {
                seq: done.seq,
                agent_id: done.record.agent_id,
                bytes: done.bytes,
                sample: Arc::new(done.record.sample),
            };
            self.found.push(Found { entry, first_value: self.assembly_from });
        }
        Some(length)
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
