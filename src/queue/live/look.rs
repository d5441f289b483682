//! Reading a generation from anywhere, for the tools. Nothing is removed, and what the consumer holds
//! stays as it is.

use super::{Live, Window};
use crate::queue::{generation::StorageError, reading::Reading, record};

impl Live {
    /// Reads entries from `seq` on, in order, at most `max_samples` with at most `max_bytes` of
    /// payload (one at least).
    pub(in crate::queue) fn scan_from(
        &self,
        seq: u64,
        max_samples: usize,
        max_bytes: u64,
    ) -> Result<Window, StorageError> {
        let (head, to) = self.bounds();
        // An entry may stand in a value that begins with an earlier one. A record of several parts
        // begins a value of its own.
        let before = if seq > self.meta.head {
            self.generation.last(&head, &record::key(seq, 1))?
        } else {
            None
        };
        let first = before.and_then(|(key, _)| record::parse_key(&key));
        let from = first.map_or(head, |(first, _)| record::key(first, 0));
        let mut reading = Reading::default();
        for item in self.generation.scan(&from.max(head), &to)? {
            let (key, value) = item?;
            reading.take(key, &value);
            reading.forget_below(seq);
            if reading.found.len() >= max_samples || reading.bytes > max_bytes {
                break;
            }
        }
        Ok(Window::new(reading, max_samples, max_bytes))
    }

    /// The sequence numbers of all entries, in order.
    pub(in crate::queue) fn seqs(&self) -> Result<Vec<u64>, StorageError> {
        let (mut seqs, mut from) = (Vec::new(), 0);
        loop {
            let window = self.scan_from(from, 1000, 1 << 20)?;
            let Some(last) = window.entries.last() else { return Ok(seqs) };
            // Hostile bytes may hold them in any order.
            from = from.max(last.seq).saturating_add(1);
            seqs.extend(window.entries.iter().map(|entry| entry.seq));
        }
    }
}
