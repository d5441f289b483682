//! The forwarding loop: peek → encode → send → settle. Exactly one task; it never samples.
//!
//! A batch is encoded once: every attempt sends the same bytes under the same key until the server
//! has judged it. Nothing is removed from the queue before that. What a judgement means is decided
//! here, for a batch that is refused in `bisect.rs`, and carried out in `settle.rs`.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

use self::{
    batch::{Batch, Lateness},
    board::Board,
    limit::Limit,
    pace::{PROBE, Pace},
    report::Reporting,
    signals::Signals,
};
use crate::{
    clock::{Clock, SystemClock},
    encode::{self, Encoder},
    queue::{Consumer, Entry, InFlight, QueueError, Refusal},
    retry::{self, Backoff},
    transport::{Delivery, Reason, Transport},
};

mod batch;
mod bisect;
mod board;
pub mod flush;
mod journal;
mod limit;
mod pace;
mod report;
mod settle;
mod signals;
mod trial;

pub use board::{State, Status};

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
    /// A backlog leaves with so many samples a second at most.
    pub replay_rate: Option<f64>,
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

/// Whether the loop goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Continue,
    Stop,
}

/// What the server, in the end, said of a batch.
enum Verdict {
    Accepted,
    /// Too many bytes for the server.
    TooLarge(Refused),
    /// Too many bytes for the link.
    TooSlow,
    /// The data is refused.
    Rejected(Refused),
    /// All that was queued was dropped or purged meanwhile.
    Gone,
    /// The forwarder stops.
    Stop,
}

/// An answer that refuses a batch: in full, and in one line.
struct Refused {
    refusal: Refusal,
    reason: Reason,
}

/// Empties the queue into the transport.
pub struct Forwarder<T> {
    options: Options,
    consumer: Consumer,
    encoder: Box<dyn Encoder>,
    transport: T,
    clock: Arc<dyn Clock>,
    backoff: Backoff,
    limit: Limit,
    pace: Pace,
    board: Board,
    nudges: watch::Receiver<u64>,
    /// What was sent last and not judged: by the process before this one, or before a new start.
    interrupted: Option<InFlight>,
    /// What is being sent and isn't judged yet.
    unjudged: Option<InFlight>,
    reporting: Reporting,
    /// A sample that the server took.
    last_accepted: Option<Entry>,
    /// The first attempt waits for a moment: others may have been started with us.
    spreads: bool,
}

impl<T: Transport> Forwarder<T> {
    /// A forwarder that doesn't run yet.
    pub fn new(
        options: Options,
        mut consumer: Consumer,
        encoder: Box<dyn Encoder>,
        transport: T,
    ) -> (Self, Handle) {
        let (nudge, nudges) = watch::channel(0);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (board, status) = Board::new(Arc::clone(&clock));
        let forwarder = Self {
            backoff: Backoff::new(&options.retry),
            limit: Limit::new(options.limits),
            pace: Pace::new(options.replay_rate, options.retry.initial()),
            interrupted: consumer.interrupted(),
            unjudged: None,
            reporting: Reporting::default(),
            last_accepted: None,
            spreads: true,
            options,
            consumer,
            encoder,
            transport,
            clock,
            board,
            nudges,
        };
        (forwarder, Handle { status, nudge: Nudge(Arc::new(nudge)) })
    }

    /// The same, with another wall clock than the system's for what it tells of times.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.board.set_clock(Arc::clone(&clock));
        self.clock = clock;
        self
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
        self.interrupted = self.unjudged.take().or(self.interrupted);
        self
    }

    /// The same forwarder with other options, as if it had just begun: no backoff, no hold. Who
    /// watches or nudges it doesn't notice. A request that wasn't judged keeps its entries, and so its
    /// key, even where the new limits are smaller: the server may have taken it.
    #[must_use]
    pub fn renewed(self, options: Options, encoder: Box<dyn Encoder>, transport: T) -> Self {
        Self {
            backoff: Backoff::new(&options.retry),
            limit: Limit::new(options.limits),
            pace: Pace::new(options.replay_rate, options.retry.initial()),
            reporting: Reporting::default(),
            spreads: false,
            options,
            encoder,
            transport,
            ..self
        }
    }

    async fn work(&mut self, mut signals: Signals) {
        let mut flow = self.spread_start(&mut signals).await;
        while flow == Flow::Continue {
            if signals.queued() == 0 {
                self.board.idle();
            }
            if signals.entries().await == Flow::Stop {
                return;
            }
            flow = match self.next_batch(&mut signals).await {
                Ok(Some(batch)) => self.deliver(batch, &mut signals).await,
                Ok(None) => signals.empty().await,
                Err(error) => self.queue_failed(&error, &mut signals).await,
            };
        }
    }

    /// Agents that start together, each with a backlog, don't come all at once. Without a backlog
    /// the first sample leaves at once.
    async fn spread_start(&mut self, signals: &mut Signals) -> Flow {
        if !self.spreads || signals.queued() <= PROBE as u64 {
            return Flow::Continue;
        }
        let delay = retry::jittered(self.options.retry.initial(), fastrand::f64());
        self.pause(delay, signals).await
    }

    /// A wait of the pace, which is no failure.
    async fn pause(&mut self, delay: Duration, signals: &mut Signals) -> Flow {
        if delay.is_zero() {
            return Flow::Continue;
        }
        self.board.pausing(delay);
        signals.pause(delay).await
    }

    /// Sends a batch until it was judged, and does what the judgement asks for.
    async fn deliver(&mut self, batch: Batch, signals: &mut Signals) -> Flow {
        match self.judged(&batch, signals).await {
            Verdict::Accepted => self.delivered(&batch, signals).await,
            Verdict::TooLarge(refused) if batch.entries.len() == 1 => {
                self.too_large_alone(batch, refused, signals).await
            }
            Verdict::TooLarge(refused) => {
                self.board.refused(refused.reason.text);
                self.halve(&batch);
                Flow::Continue
            }
            Verdict::TooSlow => {
                self.halve(&batch);
                Flow::Continue
            }
            Verdict::Rejected(refused) if self.withhold(&batch, &refused) => Flow::Continue,
            Verdict::Rejected(refused) => self.bisect(batch, refused, signals).await,
            Verdict::Gone => Flow::Continue,
            Verdict::Stop => Flow::Stop,
        }
    }

    /// What the server says of a batch in the end. Until then it is what a new start goes on with.
    async fn judged(&mut self, batch: &Batch, signals: &mut Signals) -> Verdict {
        self.unjudged = Some(batch.bounds.clone());
        let verdict = self.verdict(batch, signals).await;
        if !matches!(verdict, Verdict::Stop) {
            self.unjudged = None;
        }
        verdict
    }

    /// Sends the same bytes under the same key until the server has judged them.
    async fn verdict(&mut self, batch: &Batch, signals: &mut Signals) -> Verdict {
        if let Err(QueueError::Closed) = self.consumer.sending(batch.bounds.clone()).await {
            return Verdict::Stop;
        }
        let mut lateness = Lateness::default();
        loop {
            if signals.hear_nudges() {
                self.pace.hurry();
            }
            self.board.sending();
            let flow = match self.transport.send(&batch.request).await {
                Delivery::Accepted => return Verdict::Accepted,
                Delivery::TooLarge { reason, answer } => {
                    return Verdict::TooLarge(self.refused(reason, answer));
                }
                Delivery::Rejected { reason, answer } => {
                    return Verdict::Rejected(self.refused(reason, answer));
                }
                Delivery::Retry { after, reason, late } => {
                    lateness.add(late, batch);
                    self.back_off(after, reason, signals).await
                }
                Delivery::Hold { reason } => self.hold(reason, signals).await,
            };
            match flow {
                Flow::Stop => return Verdict::Stop,
                Flow::Continue if signals.queued() == 0 => return Verdict::Gone,
                Flow::Continue if lateness.is_too_much() => return Verdict::TooSlow,
                Flow::Continue => {}
            }
        }
    }

    async fn back_off(
        &mut self,
        after: Option<Duration>,
        reason: Reason,
        signals: &mut Signals,
    ) -> Flow {
        let backoff = self.backoff.next_delay();
        let delay = after.map_or(backoff, |wished| self.options.retry.spread(wished).max(backoff));
        self.pace.failed(self.backoff.longest());
        self.board.failed(State::BackingOff, reason.text, delay, signals.queued());
        signals.pause(delay).await
    }

    async fn hold(&mut self, reason: Reason, signals: &mut Signals) -> Flow {
        let delay = self.options.retry.max();
        self.pace.failed(delay);
        self.board.failed(State::Held, reason.text, delay, signals.queued());
        tokio::select! {
            biased;
            flow = signals.pause(delay) => flow,
            () = self.transport.changed() => Flow::Continue,
        }
    }

    fn refused(&self, reason: Reason, answer: String) -> Refused {
        let status = reason.status.unwrap_or_default();
        Refused { refusal: Refusal { at: self.clock.now(), status, answer }, reason }
    }
}
