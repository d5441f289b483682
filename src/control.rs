//! What the command line and the daemon say to each other: HTTP/1.1 over a Unix socket (a named
//! pipe on Windows) that only the owner can use. Owns the types; `docs/control-protocol.md` is its
//! page.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    forward::{
        self,
        flush::{Outcome, Progress},
    },
    queue,
};

pub mod client;
mod endpoint;
pub mod server;
mod tools;

pub use tools::{
    DeadLettersAsked, DeadLettersEvent, PageEvent, PageRequest, PurgeEvent, PurgeRequest, Shown,
    ShownLetter, ShownPage, VerifyEvent,
};

/// The path of the figures.
const STATS: &str = "/v1/stats";
/// The path that delivers now.
const FLUSH: &str = "/v1/flush";
/// The path of a page of entries.
const PAGE: &str = "/v1/page";
/// The path of an examination.
const VERIFY: &str = "/v1/verify";
/// The path of the dead letters.
const DEAD_LETTERS: &str = "/v1/dead-letters";
/// The path that throws away.
const PURGE: &str = "/v1/purge";

/// What `queue stats --json` prints: the queue, its whole life, and what the forwarder is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Whether a daemon runs.
    pub running: bool,
    /// The daemon's process.
    pub pid: Option<u32>,
    /// The version that wrote this report.
    pub version: String,
    /// The agent id of new samples.
    pub agent_id: Uuid,
    /// What is queued.
    pub queue: queue::Depth,
    /// What became of everything that ever was.
    pub ledger: queue::Ledger,
    /// When something was dropped last.
    pub last_dropped: Option<jiff::Timestamp>,
    /// What was lost and the server doesn't know of yet.
    #[serde(default)]
    pub unreported: queue::Unreported,
    /// How the queue's disk does.
    pub storage: queue::Storage,
    /// What the forwarder is doing.
    pub forwarder: forward::Status,
}

impl Report {
    /// The report of this process.
    #[must_use]
    pub fn new(stats: &queue::Stats, forwarder: forward::Status, daemon: bool) -> Self {
        Self {
            running: daemon,
            pid: daemon.then(std::process::id),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            agent_id: stats.agent_id,
            queue: stats.queue.clone(),
            ledger: stats.ledger,
            last_dropped: stats.last_dropped,
            unreported: stats.unreported,
            storage: stats.storage.clone(),
            forwarder,
        }
    }
}

impl From<Report> for (queue::Stats, forward::Status) {
    fn from(report: Report) -> Self {
        let Report { agent_id, queue, ledger, last_dropped, unreported, storage, .. } = report;
        let stats = queue::Stats { agent_id, queue, ledger, last_dropped, unreported, storage };
        (stats, report.forwarder)
    }
}

/// What the client asks of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FlushRequest {
    /// Give up after so many seconds.
    pub timeout: f64,
}

/// A line of the answer to a flush.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlushEvent {
    /// How far it is.
    Progress(Progress),
    /// It has ended.
    Done(Outcome),
}
