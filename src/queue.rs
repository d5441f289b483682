//! The durable queue: roles as types. A [`Producer`] only enqueues, a [`Consumer`] only peeks and
//! settles, an [`Inspector`] looks in and purges for the tools, [`Stats`] are watched. One owner thread does all blocking work behind these; nothing
//! here names sled.

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use crate::{
    clock::{Clock, Stamp},
    sample::Sample,
};

mod ballast;
mod calm;
mod capacity;
mod commit;
mod dead;
mod files;
mod format;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod generation;
mod in_flight;
mod inspector;
mod leaf;
mod ledger;
mod live;
mod lock;
mod losses;
mod meta;
mod nudge;
mod owner;
mod press;
mod producer;
mod raw;
mod reading;
pub mod record;
mod recovery;
mod ring;
mod salvage;
mod store;
mod tail;
mod trouble;
mod verify;
mod window;
mod work;

pub use capacity::DISK_PERCENT;
pub use generation::{StorageError, is_guarded, note_panic};
pub use in_flight::{Attached, InFlight, MOST_LOSSES};
pub use inspector::{Amount, DeadLetter, Inspector, Page, Selection, Which, verify_closed};
pub use ledger::{Dropped, Ledger};
pub use lock::LockError;
pub use losses::{Loss, Lost, Reason};
pub use owner::Owner;
pub use producer::Producer;
pub use verify::{Database, Part, Verdict};

/// Where the queue lives and what bounds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The queue's home; created 0700 when absent.
    pub directory: PathBuf,
    /// Bound on the bytes on disk below the directory.
    pub max_bytes: u64,
    /// Free space of the file system below which the oldest entries are dropped.
    pub min_free_bytes: u64,
    /// Who gives way at the bound.
    pub overflow: Overflow,
    /// Older entries are dropped, counted as expired.
    pub max_age: Option<Duration>,
    /// When an enqueued sample is forced to stable storage.
    pub sync: Sync,
}

#[cfg(test)]
impl Options {
    /// A small queue that forces everything to stable storage.
    fn for_test(directory: &std::path::Path) -> Self {
        Self {
            directory: directory.to_owned(),
            max_bytes: 20_000_000,
            min_free_bytes: 0,
            overflow: Overflow::DropOldest,
            max_age: None,
            sync: Sync::Always,
        }
    }
}

/// Who gives way when the queue is full. Every drop is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The oldest entries are removed.
    DropOldest,
    /// The new sample is refused.
    DropNewest,
}

/// When an enqueued sample is on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// When its enqueue returns.
    Always,
    /// At most this long after its enqueue returned.
    Every(Duration),
}

/// One queued sample, as the consumer sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Rises by one per enqueued sample; never used twice by one agent id.
    pub seq: u64,
    /// The agent id under which the sample was enqueued.
    pub agent_id: Uuid,
    /// What the sample takes as payload in the queue, in bytes.
    pub bytes: u64,
    /// The sample.
    pub sample: Arc<Sample>,
}

/// Why the server refused an entry that it was sent alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// When.
    #[serde(with = "crate::sample::unix_micros")]
    pub at: Timestamp,
    /// The status of the answer.
    pub status: u16,
    /// The beginning of the answer's body, at most 1 KiB, the API key masked.
    pub answer: String,
}

/// What is queued and what became of everything that ever was.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stats {
    /// The agent id of new samples.
    pub agent_id: Uuid,
    /// What is queued now.
    pub queue: Depth,
    /// The whole life of the queue.
    pub ledger: Ledger,
    /// When something was dropped last.
    pub last_dropped: Option<Timestamp>,
    /// What was lost and the server doesn't know of yet.
    #[serde(default)]
    pub unreported: Unreported,
    /// How the disk does.
    pub storage: Storage,
}

/// Losses that the server wasn't told of, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Unreported {
    /// Ranges of sequence numbers.
    pub ranges: u64,
    /// Samples.
    pub samples: u64,
}

/// How the queue's disk does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Storage {
    /// What it refuses now; `None` while it works.
    pub error: Option<String>,
    /// Since when it refuses.
    pub since: Option<Timestamp>,
    /// Samples that wait in memory until it takes them: a crash loses these.
    pub waiting: u64,
}

/// What is queued now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Depth {
    /// Queued entries.
    pub samples: u64,
    /// Their payload, in bytes.
    pub bytes: u64,
    /// What the directory takes on disk, in bytes.
    pub disk_bytes: u64,
    /// The configured cap on `disk_bytes`.
    pub max_bytes: u64,
    /// Sequence number of the oldest entry.
    pub first_seq: Option<u64>,
    /// Sequence number of the newest entry.
    pub last_seq: Option<u64>,
    /// Wall clock of the oldest entry.
    pub oldest: Option<Timestamp>,
    /// The clocks of the oldest entry.
    #[serde(skip)]
    pub front: Option<Stamp>,
    /// Wall clock of the newest entry.
    pub newest: Option<Timestamp>,
    /// How long an outage the whole cap holds at the recent rate, in seconds.
    pub capacity_seconds: u64,
    /// Entries set aside because the server refused them alone.
    pub dead_letters: u64,
}

/// Why the queue couldn't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process owns the directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The directory can't be used.
    #[error("can't use the queue's directory {directory}")]
    Directory {
        /// Which one.
        directory: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database can't be used.
    #[error("can't open the queue in {directory}")]
    Storage {
        /// Where.
        directory: PathBuf,
        /// Why.
        source: StorageError,
    },
}

/// Why the queue didn't do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueueError {
    /// It was closed.
    #[error("the queue is closed")]
    Closed,
    /// Too many requests wait already.
    #[error("the queue is busy")]
    Busy,
    /// The storage refused. Nothing was confirmed; the queue reopens its storage by itself.
    #[error("{0}")]
    Storage(Arc<StorageError>),
}

/// What became of the samples of one enqueue.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Enqueued {
    /// Samples that were refused because the queue is full, counted as dropped.
    pub refused: u64,
    /// Older entries that had to give way, counted as dropped.
    pub evicted: u64,
}

/// An open queue, by role.
#[derive(Debug)]
pub struct Queue {
    /// For samplers.
    pub producer: Producer,
    /// For the forwarder.
    pub consumer: Consumer,
    /// For tools.
    pub inspector: Inspector,
    /// For everybody who wants to look.
    pub stats: watch::Receiver<Stats>,
    /// The thread that does the work; to be joined.
    pub owner: Owner,
}

/// Opens the queue in `options.directory`, creates it when absent, and starts its owner thread.
/// `machine_id` binds the agent id to this machine, so that a cloned disk image gets its own.
///
/// It blocks for some milliseconds, or as long as another process takes to let go of the lock, at
/// most `patience`.
pub fn open(
    options: Options,
    machine_id: Option<&str>,
    clock: Arc<dyn Clock>,
    patience: Duration,
) -> Result<Queue, OpenError> {
    let machine = machine_id.map(|id| Uuid::new_v5(&MACHINE_NAMESPACE, id.as_bytes()));
    let owner::Started { commands, ring, owner, stats, interrupted } =
        owner::start(options, machine, clock, patience)?;
    let producer = Producer::new(ring, commands.clone());
    let consumer = Consumer { commands: commands.clone(), stats: stats.clone(), interrupted };
    let inspector = Inspector::new(commands, stats.clone());
    Ok(Queue { producer, consumer, inspector, stats, owner })
}

/// Whether there is a queue in `directory` at all.
#[must_use]
pub fn exists(directory: &std::path::Path) -> bool {
    recovery::exists(directory)
}

const MACHINE_NAMESPACE: Uuid = Uuid::from_u128(0x6f1c_2a0e_9d5b_4c37_8a41_52e3_b7d0_c9f4);

/// Reads the queue and removes what was delivered. There is one.
#[derive(Debug)]
pub struct Consumer {
    commands: owner::Commands,
    stats: watch::Receiver<Stats>,
    interrupted: Option<InFlight>,
}

impl Consumer {
    /// Writes down what the next request carries, for [`Self::interrupted`] of the next
    /// process. It survives a killed process, a power cut perhaps; a disk that refuses is no error.
    pub async fn sending(&mut self, bounds: InFlight) -> Result<(), QueueError> {
        self.commands.ask(|reply| owner::Command::Sending { bounds, reply }).await
    }

    /// The request that was written down last when the queue was opened, once; its entries may have
    /// left since.
    pub fn interrupted(&mut self) -> Option<InFlight> {
        self.interrupted.take()
    }

    /// The oldest entries in order, at most `max_samples` with about `max_bytes` of payload (one at
    /// least, if there is one); empty when the queue is. Removes nothing; cancel-safe.
    pub async fn peek(
        &mut self,
        max_samples: usize,
        max_bytes: u64,
    ) -> Result<Vec<Entry>, QueueError> {
        self.commands.ask(|reply| owner::Command::Peek { max_samples, max_bytes, reply }).await
    }

    /// The first entry behind `seq`, in whatever part of the queue: [`Self::peek`] ends where a part
    /// does. It can't be settled before it is peeked. Removes nothing; cancel-safe.
    pub async fn behind(&mut self, seq: u64) -> Result<Option<Entry>, QueueError> {
        Inspector::new(self.commands.clone(), self.stats.clone()).first_from(seq + 1).await
    }

    /// Removes exactly those of `entries` that were peeked last and weren't dropped since, counted
    /// as acknowledged. When it returns, a killed process doesn't bring them back; a power cut may,
    /// and then they are delivered again. Cancel-safe: a dropped call settles all or nothing.
    pub async fn acknowledge(&mut self, entries: &[Entry]) -> Result<u64, QueueError> {
        self.acknowledge_with(entries, &[]).await
    }

    /// The same for a request that told the server of `losses`: they are forgotten behind the
    /// entries, so that a crash in between has them told again.
    pub async fn acknowledge_with(
        &mut self,
        entries: &[Entry],
        losses: &[Loss],
    ) -> Result<u64, QueueError> {
        let seqs = entries.iter().map(|entry| entry.seq).collect();
        let told = losses.iter().map(|loss| loss.number).max().unwrap_or(0);
        self.commands.ask(|reply| owner::Command::Acknowledge { seqs, told, reply }).await
    }

    /// What was lost and the server doesn't know of, as far as is known: the first `max` of it, in
    /// the order in which it was noted. Removes nothing; cancel-safe.
    pub async fn losses(&mut self, max: usize) -> Result<Vec<Loss>, QueueError> {
        self.commands.ask(|reply| owner::Command::Losses { max, reply }).await
    }

    /// Sets aside exactly those of `entries` that were peeked last and weren't dropped since: they
    /// become dead letters, kept with `refusal`. When it returns, they are on stable storage as
    /// such. Cancel-safe: a dropped call sets aside all or nothing.
    pub async fn dead_letter(
        &mut self,
        entries: &[Entry],
        refusal: Refusal,
    ) -> Result<u64, QueueError> {
        let seqs = entries.iter().map(|entry| entry.seq).collect();
        self.commands.ask(|reply| owner::Command::DeadLetter { seqs, refusal, reply }).await
    }

    /// Figures that change with every change of the queue: a level, so no wake-up is lost.
    #[must_use]
    pub fn stats(&self) -> watch::Receiver<Stats> {
        self.stats.clone()
    }
}

type Reply<T> = oneshot::Sender<Result<T, QueueError>>;
