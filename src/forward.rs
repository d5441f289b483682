//! The forwarding loop: peek → encode → send → settle. Exactly one task; it never samples.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{encode, retry};

/// How the forwarder paces itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Bounds of one request.
    pub limits: encode::Limits,
    /// How bodies are compressed.
    pub compression: encode::Compression,
    /// Collect for this long before a request that isn't full.
    pub linger: Duration,
    /// Backoff.
    pub retry: retry::Policy,
}

/// What the forwarder is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing to send.
    Idle,
    /// A request is in flight.
    Sending,
    /// Waiting after a failure.
    BackingOff,
    /// The server refuses us; probing slowly.
    Held,
    /// Not running.
    Stopped,
}

/// What the forwarder is doing, since when, and how it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// Since when it has been in this state.
    pub since: Timestamp,
    /// When a batch was last acknowledged.
    pub last_success: Option<Timestamp>,
    /// The last failure, in one line that never shows a secret; `None` after a success.
    pub last_error: Option<String>,
    /// When the next attempt is due.
    pub next_attempt: Option<Timestamp>,
    /// Failures since the last success.
    pub consecutive_failures: u64,
}
