//! What goes into one atomic step: frames of records and what they change in the meta record.
//! Pure; it writes nothing.

use jiff::Timestamp;

use super::{
    generation::MAX_COMMIT,
    live::Meta,
    record::{self, Key},
};

/// Records that are gathered for one commit, with sequence numbers given.
pub(super) struct Commit {
    next_seq: u64,
    running_total: u64,
    /// Frames in key order.
    pub(super) frames: Vec<(Key, Vec<u8>)>,
    /// Their bytes.
    pub(super) size: usize,
    /// Records in it.
    pub(super) samples: u64,
    /// Their payload.
    pub(super) bytes: u64,
    /// Samples that get a number and are dropped at once.
    pub(super) refused: u64,
    /// The first record.
    pub(super) first: Option<(u64, Timestamp)>,
    /// The last record's wall clock.
    pub(super) last: Option<Timestamp>,
}

impl Commit {
    /// An empty commit behind what `meta` knows.
    pub(super) fn after(meta: &Meta) -> Self {
        Self {
            next_seq: meta.next_seq,
            running_total: meta.running_total,
            frames: Vec::new(),
            size: 0,
            samples: 0,
            bytes: 0,
            refused: 0,
            first: None,
            last: None,
        }
    }

    /// Adds one record.
    pub(super) fn add(&mut self, payload: &[u8], timestamp: Timestamp) {
        let seq = self.next_seq;
        self.running_total += payload.len() as u64;
        for (part, frame) in record::frames(seq, self.running_total, payload) {
            self.size += frame.len();
            self.frames.push((record::key(seq, part), frame));
        }
        self.next_seq += 1;
        self.samples += 1;
        self.bytes += payload.len() as u64;
        self.first.get_or_insert((seq, timestamp));
        self.last = Some(timestamp);
    }

    /// Gives a number to a sample that can't be queued.
    pub(super) fn refuse(&mut self) {
        self.next_seq += 1;
        self.refused += 1;
    }

    /// Drops all records: their numbers stay used.
    pub(super) fn refuse_all(&mut self) {
        self.refused += std::mem::take(&mut self.samples);
        self.running_total -= std::mem::take(&mut self.bytes);
        self.frames.clear();
        (self.size, self.first, self.last) = (0, None, None);
    }

    /// Takes the first frames, as many as fit one commit.
    pub(super) fn take_parts(&mut self) -> Vec<(Key, Vec<u8>)> {
        let sizes = self.frames.iter().scan(0, |taken, (_, frame)| {
            *taken += frame.len();
            Some(*taken)
        });
        let count = sizes.take_while(|taken| *taken <= MAX_COMMIT).count().max(1);
        let parts: Vec<_> = self.frames.drain(..count).collect();
        self.size -= parts.iter().map(|(_, frame)| frame.len()).sum::<usize>();
        parts
    }

    /// The meta record that belongs to this commit, after `meta`.
    pub(super) fn account(&self, meta: &Meta) -> Meta {
        let mut meta = meta.clone();
        meta.next_seq = self.next_seq;
        meta.running_total = self.running_total;
        meta.counts.samples += self.samples;
        meta.counts.bytes += self.bytes;
        meta.counts.ledger.enqueued += self.samples + self.refused;
        meta.counts.ledger.dropped.overflow += self.refused;
        meta
    }
}
