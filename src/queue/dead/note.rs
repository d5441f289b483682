//! The lines of the log of dead letters, and what they add up to.

use serde::{Deserialize, Serialize};

use crate::queue::{
    Dropped, Entry, Refusal, generation::StorageError, losses::Reason, reading::Reading, record,
};

/// What became of dead letters that are none any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in crate::queue) struct Left {
    /// Tried again and taken by the server.
    pub(in crate::queue) acknowledged: u64,
    /// Lost, by reason.
    pub(in crate::queue) dropped: Dropped,
}

impl Left {
    pub(super) fn total(&self) -> u64 {
        self.acknowledged + self.dropped.total()
    }

    /// Counts one; why it is lost, if it is.
    pub(super) fn count(&mut self, why: Gone) -> Option<Reason> {
        let (count, reason) = match why {
            Gone::Queued => return None,
            Gone::Acknowledged => (&mut self.acknowledged, None),
            Gone::Overflow => (&mut self.dropped.overflow, Some(Reason::Overflow)),
            Gone::Purged => (&mut self.dropped.purged, Some(Reason::Purged)),
            Gone::Corrupt => (&mut self.dropped.corrupt, Some(Reason::Corrupt)),
        };
        *count += 1;
        reason
    }
}

/// Why a dead letter is none any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::queue) enum Gone {
    /// The server took it after all.
    Acknowledged,
    /// It had to give way to newer ones.
    Overflow,
    /// The operator threw it away.
    Purged,
    /// It is in the queue still: a crash came between the two.
    Queued,
    /// It can't be read any more.
    Corrupt,
}

/// A line of the log.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Note {
    /// Where the log begins: what left before.
    Base(Left),
    /// An entry, as the queue frames it.
    Dead { seq: u64, refusal: Refusal, frames: Vec<u8> },
    /// It is to be sent again.
    Retry(u64),
    /// It is none any more.
    Gone(u64, Gone),
    /// So many can't be read any more.
    Lost(u64),
}

pub(super) fn sealed(note: &Note) -> Result<Vec<u8>, StorageError> {
    record::seal(note).map_err(|error| StorageError::Damaged(error.to_string()))
}

/// The entry whose frames these are.
pub(super) fn entry(seq: u64, frames: &[u8]) -> Option<Entry> {
    let mut reading = Reading::default();
    reading.take(record::key(seq, 0).to_vec(), frames);
    reading.found.pop().map(|found| found.entry)
}
