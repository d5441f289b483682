//! The tools' role: an [`Inspector`] looks into the queue and throws away what the operator says, in
//! bounded steps, so that samplers and forwarder never wait for more than one of them. Reading
//! removes nothing and changes nothing on the disk.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Entry, QueueError, Refusal, Reply, Stats, owner,
    verify::{self, Part, Verdict},
};
use crate::clock::{Moment, Stamp};

/// Samples of one page at most.
const MAX_SAMPLES: usize = 2000;
/// Payload of one page at most, in bytes, unless a single sample has more.
const MAX_BYTES: u64 = 256 << 10;

/// Some entries in order, as they were at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// The entries; there may be none although there are more behind.
    pub entries: Vec<Entry>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<u64>,
    /// Places that were passed over because they can't be read.
    pub damaged: u64,
    /// When it was read.
    pub read: Moment,
}

/// What is to be thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// Everything that is queued when it begins.
    All,
    /// From the oldest on, up to the first that isn't older than this.
    OlderThan(Timestamp),
}

impl Selection {
    /// Whether an entry that was taken `then` is in it: by what the wall clock should have said,
    /// if it was set since.
    pub(super) fn takes(self, now: &Moment, then: &Stamp) -> bool {
        match self {
            Self::All => true,
            Self::OlderThan(limit) => now.put_right(then).unwrap_or(then.wall) < limit,
        }
    }
}

/// An entry that was set aside, with why.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// The entry, with its own sequence number.
    pub entry: Entry,
    /// What the server said.
    pub refusal: Refusal,
    /// It was asked to be sent again and waits for that, counted as queued.
    pub retrying: bool,
}

/// Which dead letters are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// All of them.
    All,
    /// Those with these sequence numbers.
    Seqs(Vec<u64>),
}

/// How much a selection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Amount {
    /// Samples.
    pub samples: u64,
    /// Their payload, in bytes.
    pub bytes: u64,
}

impl Amount {
    pub(super) fn add(&mut self, other: Self) {
        self.samples += other.samples;
        self.bytes += other.bytes;
    }
}

/// Which entries to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    /// The first sequence number.
    pub(super) from: u64,
    pub(super) max_samples: usize,
    pub(super) max_bytes: u64,
}

/// One step of a purge.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Purged {
    pub(super) amount: Amount,
    /// Nothing of the selection is left.
    pub(super) done: bool,
}

/// What the owner can be asked by tools. Each takes milliseconds.
pub(super) enum Request {
    /// Reads entries.
    Page { cursor: Cursor, reply: Reply<Page> },
    /// Examines the first generation behind the one that begins at `after`.
    Examine { after: Option<u64>, reply: Reply<Option<Part>> },
    /// Looks at what lies around the generations.
    Survey { reply: Reply<verify::Survey> },
    /// How much is queued.
    Measure { reply: Reply<Amount> },
    /// Dead letters from a sequence number on.
    DeadLetters { from: u64, max: usize, reply: Reply<Vec<DeadLetter>> },
    /// Has dead letters sent again.
    Retry { which: Which, reply: Reply<u64> },
    /// Throws dead letters away.
    PurgeDeadLetters { which: Which, reply: Reply<u64> },
    /// Removes some of the selection, nothing behind `through`.
    Purge { selection: Selection, through: u64, reply: Reply<Purged> },
}

/// Looks into the queue.
#[derive(Debug, Clone)]
pub struct Inspector {
    commands: owner::Commands,
    stats: tokio::sync::watch::Receiver<Stats>,
}

impl Inspector {
    pub(super) fn new(
        commands: owner::Commands,
        stats: tokio::sync::watch::Receiver<Stats>,
    ) -> Self {
        Self { commands, stats }
    }

    /// Entries from the sequence number `from` on, in order: at most `max_samples`, and no more than
    /// a page holds. What comes between two pages may leave or come in. Removes nothing; what the
    /// consumer has peeked stays as it is. Cancel-safe.
    pub async fn page(&self, from: u64, max_samples: usize) -> Result<Page, QueueError> {
        let cursor =
            Cursor { from, max_samples: max_samples.clamp(1, MAX_SAMPLES), max_bytes: MAX_BYTES };
        self.ask(|reply| Request::Page { cursor, reply }).await
    }

    /// The first entry from the sequence number `from` on.
    pub(super) async fn first_from(&self, from: u64) -> Result<Option<Entry>, QueueError> {
        let mut next = Some(from);
        while let Some(from) = next {
            let page = self.page(from, 1).await?;
            if let Some(entry) = page.entries.into_iter().next() {
                return Ok(Some(entry));
            }
            next = page.next;
        }
        Ok(None)
    }

    /// Examines the queue, part by part; `each` hears of every part. Changes nothing. A part that is
    /// begun or given up meanwhile may be left out. Cancel-safe.
    pub async fn verify(&self, mut each: impl FnMut(&Part)) -> Result<Verdict, QueueError> {
        let (mut parts, mut after) = (Vec::new(), None);
        while let Some(part) = self.ask(|reply| Request::Examine { after, reply }).await? {
            each(&part);
            after = Some(part.first_seq);
            parts.push(part);
        }
        let survey = self.ask(|reply| Request::Survey { reply }).await?;
        Ok(Verdict::new(parts, survey, Some(self.stats.borrow().clone())))
    }

    /// How much `selection` is now. Removes nothing. Cancel-safe.
    pub async fn measure(&self, selection: Selection) -> Result<Amount, QueueError> {
        if selection == Selection::All {
            return self.ask(|reply| Request::Measure { reply }).await;
        }
        let (mut amount, mut next) = (Amount::default(), Some(0));
        while let Some(from) = next {
            let page = self.page(from, usize::MAX).await?;
            let now = page.read;
            let taken =
                page.entries.iter().take_while(|e| selection.takes(&now, &Moment::of(&e.sample)));
            let bytes: Vec<_> = taken.map(|entry| entry.bytes).collect();
            amount.add(Amount { samples: bytes.len() as u64, bytes: bytes.iter().sum() });
            next = page.next.filter(|_| bytes.len() == page.entries.len());
        }
        Ok(amount)
    }

    /// Throws `selection` away, counted as purged, in atomic steps; `progress` hears what is gone so
    /// far. What is enqueued after it began stays. A dropped call has purged some or all of it.
    pub async fn purge(
        &self,
        selection: Selection,
        mut progress: impl FnMut(Amount),
    ) -> Result<Amount, QueueError> {
        let through = self.stats.borrow().queue.last_seq;
        let mut gone = Amount::default();
        let Some(through) = through else { return Ok(gone) };
        loop {
            let Purged { amount, done } =
                self.ask(|reply| Request::Purge { selection, through, reply }).await?;
            gone.add(amount);
            if done {
                return Ok(gone);
            }
            progress(gone);
        }
    }

    /// Dead letters from the sequence number `from` on, at most `max` and about 1 MiB of them (one at
    /// least). Removes nothing; cancel-safe.
    pub async fn dead_letters(&self, from: u64, max: usize) -> Result<Vec<DeadLetter>, QueueError> {
        let max = max.clamp(1, MAX_SAMPLES);
        self.ask(|reply| Request::DeadLetters { from, max, reply }).await
    }

    /// Has dead letters sent again, before everything else; returns how many. From now on they are
    /// counted as queued. On stable storage when this returns.
    pub async fn retry_dead_letters(&self, which: Which) -> Result<u64, QueueError> {
        self.ask(|reply| Request::Retry { which, reply }).await
    }

    /// Throws dead letters away, counted as purged; returns how many. On stable storage when this
    /// returns.
    pub async fn purge_dead_letters(&self, which: Which) -> Result<u64, QueueError> {
        self.ask(|reply| Request::PurgeDeadLetters { which, reply }).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, QueueError> {
        self.commands.ask(|reply| owner::Command::Inspect(request(reply))).await
    }
}

/// Examines a queue that nobody uses, without opening it: a damaged one is neither mended nor moved
/// aside, and no file changes. Databases are opened as copies below the system's directory for
/// temporary files, one at a time. It holds the queue's lock meanwhile. Blocks.
pub fn verify_closed(
    directory: &Path,
    max_bytes: u64,
    each: impl FnMut(&Part),
) -> Result<Verdict, super::LockError> {
    let _lock = super::lock::Lock::take_quietly(directory)?;
    Ok(verify::closed::verify(directory, max_bytes, each))
}
