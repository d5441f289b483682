//! The forwarding loop: peek → encode → send → settle. Exactly one task; it never samples.
//!
//! A batch is encoded once: every attempt sends the same bytes under the same key until the server
//! has taken them. Nothing is removed from the queue before that.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use self::{board::Board, signals::Signals};
use crate::{
    clock::{Clock as _, SystemClock},
    encode::{self, Encoder, Request},
    queue::{Consumer, Entry, QueueError},
    retry::{self, Backoff},
    transport::{Delivery, Transport},
};

mod board;
pub mod flush;
mod journal;
mod signals;

/// How long a request in flight may take after the stop.
const STOP_TIME: Duration = Duration::from_secs(3);

/// How the forwarder paces itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Bounds of one request.
    pub limits: encode::Limits,
    /// Collect for this long before a request that isn't full.
    pub linger: Duration,
    /// How bodies are compressed.
    pub compression: encode::Compression,
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
    /// Attempts that ended, since the start of the process.
    #[serde(skip)]
    pub attempts: u64,
}

impl Status {
    /// The status of a forwarder that hasn't done anything yet.
    #[must_use]
    pub fn new(state: State, since: Timestamp) -> Self {
        Self {
            state,
            since,
            last_success: None,
            last_error: None,
            next_attempt: None,
            consecutive_failures: 0,
            attempts: 0,
        }
    }
}

/// Ends any wait of the forwarder: it makes an attempt at once if anything is queued.
#[derive(Debug, Clone)]
pub struct Nudge(Arc<watch::Sender<u64>>);

impl Nudge {
    /// Nudges. It is a level: an attempt that starts later has heard it, one in flight has not.
    pub fn nudge(&self) {
        self.0.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// What others see of the forwarder, and how they hurry it.
#[derive(Debug, Clone)]
pub struct Handle {
    /// What it is doing.
    pub status: watch::Receiver<Status>,
    /// How to end its waits.
    pub nudge: Nudge,
}

/// A request and the entries that it carries: fixed until it was accepted.
struct Batch {
    request: Request,
    entries: Vec<Entry>,
}

/// Whether the loop goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Continue,
    Stop,
}

/// Empties the queue into the transport.
pub struct Forwarder<T> {
    options: Options,
    consumer: Consumer,
    encoder: Box<dyn Encoder>,
    transport: T,
    backoff: Backoff,
    board: Board,
    nudges: watch::Receiver<u64>,
}

impl<T: Transport> Forwarder<T> {
    /// A forwarder that doesn't run yet.
    pub fn new(
        options: Options,
        consumer: Consumer,
        encoder: Box<dyn Encoder>,
        transport: T,
    ) -> (Self, Handle) {
        let (nudge, nudges) = watch::channel(0);
        let (board, status) = Board::new(SystemClock.now());
        let backoff = Backoff::new(&options.retry);
        let forwarder = Self { options, consumer, encoder, transport, backoff, board, nudges };
        (forwarder, Handle { status, nudge: Nudge(Arc::new(nudge)) })
    }

    /// Forwards until `stop` is true (or its sender is gone) or the queue is closed. A request in
    /// flight may end within 3 s after the stop, then it is abandoned: its entries stay queued.
    /// Returned, it can go on; dropped, it is [`State::Stopped`].
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Self {
        let signals = Signals::new(self.consumer.stats(), self.nudges.clone(), stop.clone());
        {
            let mut work = std::pin::pin!(self.work(signals));
            tokio::select! {
                () = work.as_mut() => {}
                () = signals::stopped(&mut stop) => drop(timeout(STOP_TIME, work).await),
            }
        }
        self
    }

    /// The same forwarder with other options, as if it had just begun: no backoff, no hold. Who
    /// watches or nudges it doesn't notice.
    #[must_use]
    pub fn renewed(self, options: Options, encoder: Box<dyn Encoder>, transport: T) -> Self {
        Self { backoff: Backoff::new(&options.retry), options, encoder, transport, ..self }
    }

    async fn work(&mut self, mut signals: Signals) {
        loop {
            if signals.queued() == 0 {
                self.board.idle();
            }
            if signals.entries().await == Flow::Stop {
                return;
            }
            let flow = match self.next_batch(&mut signals).await {
                Ok(Some(batch)) => self.deliver(batch, &mut signals).await,
                Ok(None) => signals.empty().await,
                Err(error) => self.queue_failed(&error, &mut signals).await,
            };
            if flow == Flow::Stop {
                return;
            }
        }
    }

    /// The oldest entries as one batch; `None` when they vanished, as at the cap, or when the
    /// forwarder stops.
    async fn next_batch(&mut self, signals: &mut Signals) -> Result<Option<Batch>, QueueError> {
        let limits = self.options.limits;
        let max_bytes = limits.max_bytes as u64;
        let mut entries = self.consumer.peek(limits.max_samples, max_bytes).await?;
        if !entries.is_empty() && !self.options.linger.is_zero() {
            self.board.idle();
            signals.linger(self.options.linger, limits).await;
            entries = self.consumer.peek(limits.max_samples, max_bytes).await?;
        }
        if entries.is_empty() || signals.is_stopping() {
            return Ok(None);
        }
        let request = self.encoder.encode(&entries, limits);
        entries.truncate(request.samples);
        Ok(Some(Batch { request, entries }))
    }

    /// Sends the batch until it was accepted and settled.
    async fn deliver(&mut self, batch: Batch, signals: &mut Signals) -> Flow {
        loop {
            signals.hear_nudges();
            self.board.sending();
            let sent = self.transport.send(&batch.request).await;
            let queued = signals.queued();
            let (state, delay, reason) = match sent {
                Delivery::Accepted => return self.settle(&batch, signals).await,
                Delivery::Retry { after, reason } => {
                    let delay = self.backoff.next_delay().max(after.unwrap_or_default());
                    (State::BackingOff, delay, reason)
                }
                // A later version halves and bisects; until then a batch that the server refuses
                // waits as if it were us, and nothing is lost.
                Delivery::Hold { reason }
                | Delivery::TooLarge { reason }
                | Delivery::Rejected { reason } => (State::Held, self.options.retry.max(), reason),
            };
            self.board.failed(state, reason.text, delay, queued);
            if signals.pause(delay).await == Flow::Stop {
                return Flow::Stop;
            }
            if signals.queued() == 0 {
                // Dropped or purged while it waited.
                return Flow::Continue;
            }
        }
    }

    /// Removes what was accepted. When the queue fails, it is asked again: the server has the
    /// batch already, and sending it twice helps nobody.
    async fn settle(&mut self, batch: &Batch, signals: &mut Signals) -> Flow {
        self.backoff.reset();
        self.board.delivered(signals.queued().saturating_sub(batch.entries.len() as u64));
        while let Err(error) = self.consumer.acknowledge(&batch.entries).await {
            if self.queue_failed(&error, signals).await == Flow::Stop {
                return Flow::Stop;
            }
        }
        Flow::Continue
    }

    async fn queue_failed(&mut self, error: &QueueError, signals: &mut Signals) -> Flow {
        if matches!(error, QueueError::Closed) {
            return Flow::Stop;
        }
        let delay = self.backoff.next_delay();
        let text = format!("the queue fails: {error}");
        self.board.failed(State::BackingOff, text, delay, signals.queued());
        // A nudge doesn't mend a disk.
        signals.pause_unhurried(Instant::now() + delay).await
    }
}
