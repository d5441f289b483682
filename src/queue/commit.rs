//! What goes into one atomic step: records framed and packed into values. Pure; it writes nothing.
//!
//! The samples of one tick share a value as long as they fit: one insert is atomic by itself, and
//! costs the database a quarter of what four do.

use jiff::Timestamp;

use super::{
    generation::MAX_COMMIT,
    record::{self, Key, MAX_VALUE},
};
use crate::clock::Stamp;

/// A value with its key.
pub(super) type Value = (Key, Vec<u8>);

/// Records that are gathered for one commit, with sequence numbers given.
pub(super) struct Commit {
    /// The next sequence number after it.
    pub(super) next_seq: u64,
    /// Payload bytes ever queued, after it.
    pub(super) running_total: u64,
    /// In key order.
    pub(super) values: Vec<Value>,
    /// Their bytes.
    pub(super) size: usize,
    /// Records in it.
    pub(super) samples: u64,
    /// Their payload.
    pub(super) bytes: u64,
    /// Numbers of samples that are dropped at once, in order.
    pub(super) refused: Vec<u64>,
    /// The first record.
    pub(super) first: Option<(u64, Stamp)>,
    /// The last record's wall clock.
    pub(super) last: Option<Timestamp>,
}

impl Commit {
    /// An empty commit.
    pub(super) fn after(next_seq: u64, running_total: u64) -> Self {
        Self {
            next_seq,
            running_total,
            values: Vec::new(),
            size: 0,
            samples: 0,
            bytes: 0,
            refused: Vec::new(),
            first: None,
            last: None,
        }
    }

    /// Adds one record.
    pub(super) fn add(&mut self, payload: &[u8], stamp: Stamp) {
        let seq = self.next_seq;
        self.running_total += payload.len() as u64;
        for (part, frame) in record::frames(seq, self.running_total, payload) {
            self.size += frame.len();
            match self.values.last_mut() {
                Some((_, value)) if value.len() + frame.len() <= MAX_VALUE => value.extend(frame),
                _ => self.values.push((record::key(seq, part), frame)),
            }
        }
        self.next_seq += 1;
        self.samples += 1;
        self.bytes += payload.len() as u64;
        self.first.get_or_insert((seq, stamp));
        self.last = Some(stamp.wall);
    }

    /// Gives a number to a sample that can't be queued.
    pub(super) fn refuse(&mut self) {
        self.refused.push(self.next_seq);
        self.next_seq += 1;
    }

    /// Drops all records: their numbers stay used.
    pub(super) fn refuse_all(&mut self) {
        let all = self.samples + self.refused.len() as u64;
        self.samples = 0;
        self.refused = (self.next_seq - all..self.next_seq).collect();
        self.running_total -= std::mem::take(&mut self.bytes);
        self.values.clear();
        (self.size, self.first, self.last) = (0, None, None);
    }

    /// Takes the first values, as many as fit one atomic step.
    pub(super) fn take_values(&mut self) -> Vec<Value> {
        let sizes = self.values.iter().scan(0, |taken, (_, value)| {
            *taken += value.len();
            Some(*taken)
        });
        let count = sizes.take_while(|taken| *taken <= MAX_COMMIT).count().max(1);
        let values: Vec<_> = self.values.drain(..count.min(self.values.len())).collect();
        self.size -= values.iter().map(|(_, value)| value.len()).sum::<usize>();
        values
    }
}
