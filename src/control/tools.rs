//! What the tools that look into the queue ask of the daemon, and what they hear.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    queue::{Amount, DeadLetter, Entry, Page, Part, Selection, Verdict, Which},
    sample::Line,
};

/// Asks for entries from a sequence number on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageRequest {
    /// The first sequence number.
    pub from: u64,
    /// No more than so many; the daemon sends no more than a page holds in any case.
    pub max_samples: usize,
}

/// A queued sample as tools show it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shown {
    /// What it takes as payload in the queue, in bytes.
    pub bytes: u64,
    /// The object of `queue export`: agent id, sequence number and the sample as on the wire.
    pub line: Box<RawValue>,
}

impl Shown {
    /// An entry as tools show it.
    fn new(entry: &Entry) -> serde_json::Result<Self> {
        let line = Line::new(&entry.sample).of(entry.agent_id).numbered(entry.seq);
        Ok(Self { bytes: entry.bytes, line: serde_json::value::to_raw_value(&line)? })
    }
}

/// A line of the answer to a [`PageRequest`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageEvent {
    /// One entry.
    Sample(Shown),
    /// The page is whole.
    End {
        /// Where the next page begins; null at the end.
        next: Option<u64>,
        /// Places that were passed over because they can't be read.
        damaged: u64,
    },
    /// The queue didn't do it.
    Failed(String),
}

/// A page as tools show it.
#[derive(Debug, Clone, Default)]
pub struct ShownPage {
    /// Its entries, in order.
    pub samples: Vec<Shown>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<u64>,
    /// Places that were passed over because they can't be read.
    pub damaged: u64,
}

impl ShownPage {
    /// What `page` shows.
    #[must_use]
    pub fn new(page: &Page) -> Self {
        let mut this = Self { samples: Vec::new(), next: page.next, damaged: page.damaged };
        for entry in &page.entries {
            match Shown::new(entry) {
                Ok(shown) => this.samples.push(shown),
                // Figures that JSON can't say.
                Err(_) => this.damaged += 1,
            }
        }
        this
    }

    /// The page as lines of an answer.
    pub(super) fn into_events(self) -> impl Iterator<Item = PageEvent> {
        let end = PageEvent::End { next: self.next, damaged: self.damaged };
        self.samples.into_iter().map(PageEvent::Sample).chain([end])
    }
}

/// A line of the answer to an examination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyEvent {
    /// One part was examined.
    Part(Part),
    /// All were.
    Done(Verdict),
    /// The queue didn't do it.
    Failed(String),
}

/// Asks what a purge would take, or for the purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurgeRequest {
    /// What is to go.
    pub selection: Selection,
    /// Whether it goes; else it is only measured.
    pub commit: bool,
}

/// A line of the answer to a [`PurgeRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PurgeEvent {
    /// So much is gone.
    Progress(Amount),
    /// So much went, or would go.
    Done(Amount),
    /// The queue didn't do it.
    Failed(String),
}

/// Asks about dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DeadLettersAsked {
    /// Shows them.
    List {
        /// The first sequence number.
        from: u64,
        /// No more than so many; the daemon sends no more than about 1 MiB in any case.
        max: usize,
    },
    /// Has these sent again.
    Retry(Which),
    /// Throws these away.
    Purge(Which),
}

/// A dead letter as tools show it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShownLetter {
    /// When the server refused it.
    pub refused_at: Timestamp,
    /// The status of the server's answer.
    pub status: u16,
    /// The beginning of the answer, the API key masked.
    pub answer: String,
    /// It was asked to be sent again, waits for that and is counted as queued.
    pub retrying: bool,
    /// The object of `queue export`; null when its figures can't be said in JSON.
    pub sample: Option<Box<RawValue>>,
    /// Its sequence number.
    pub seq: u64,
}

impl ShownLetter {
    /// What `letter` shows.
    #[must_use]
    pub fn new(letter: &DeadLetter) -> Self {
        let DeadLetter { entry, refusal, retrying } = letter;
        Self {
            refused_at: refusal.at,
            status: refusal.status,
            answer: refusal.answer.clone(),
            retrying: *retrying,
            sample: Shown::new(entry).ok().map(|shown| shown.line),
            seq: entry.seq,
        }
    }
}

/// A line of the answer to a [`DeadLettersAsked`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLettersEvent {
    /// One of them.
    Letter(Box<ShownLetter>),
    /// That was it: how many were shown, are sent again, or are gone.
    Done(u64),
    /// The queue didn't do it.
    Failed(String),
}
