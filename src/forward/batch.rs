//! A request and the entries that it carries, and where the queue is cut into such.

use super::{Forwarder, Signals};
use crate::{
    encode::{Limits, Request},
    queue::{Attached, Entry, InFlight, QueueError},
    transport::{Late, Transport},
};

/// No request had more samples, whatever a file says.
const MOST_SAMPLES: u64 = 10_000;
/// A request of which less is left over by a slow link than this isn't what makes it slow.
const LEAST_SLOW_BYTES: usize = 32 * 1024;

/// A request and the entries that it carries: fixed until it was judged.
pub(super) struct Batch {
    pub(super) request: Request,
    pub(super) entries: Vec<Entry>,
    pub(super) bounds: InFlight,
    /// Whether it reached the limits.
    pub(super) is_full: bool,
}

/// How often a batch ran out of time. Two times while bytes still moved are too much. A link may be
/// slow and yet nobody sees it, when buffers on the way take all at once: four times are too much
/// for a large request then.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    points: u32,
    divisible: bool,
}

impl Lateness {
    pub(super) fn add(&mut self, late: Late, batch: &Batch) {
        self.divisible = batch.entries.len() > 1;
        self.points += match late {
            Late::Moving => 2,
            Late::Silent if batch.request.body.len() >= LEAST_SLOW_BYTES => 1,
            Late::Silent | Late::No => 0,
        };
    }

    pub(super) fn is_too_much(&self) -> bool {
        self.divisible && self.points >= 4
    }
}

/// Where the request that a crash interrupted lies.
enum Place {
    /// It is the first so many entries.
    Here(usize),
    /// It begins behind so many.
    Behind(usize),
}

fn place(bounds: &InFlight, entries: &[Entry]) -> Option<Place> {
    let at = |seq| {
        let is_it = |entry: &Entry| entry.agent_id == bounds.agent_id && entry.seq == seq;
        entries.iter().position(is_it)
    };
    match at(bounds.first_seq)? {
        0 => at(bounds.last_seq).map(|last| Place::Here(last + 1)),
        first => Some(Place::Behind(first)),
    }
}

impl<T: Transport> Forwarder<T> {
    /// The oldest entries as one batch; `None` when they vanished, as at the cap, or when the
    /// forwarder stops.
    pub(super) async fn next_batch(
        &mut self,
        signals: &mut Signals,
    ) -> Result<Option<Batch>, QueueError> {
        let mut entries = self.peek().await?;
        if !entries.is_empty() && !self.options.linger.is_zero() {
            self.board.idle();
            signals.linger(self.options.linger, self.limits()).await;
            entries = self.peek().await?;
        }
        if entries.is_empty() || signals.is_stopping() {
            return Ok(None);
        }
        let attached = self.attached(self.limits()).await?;
        Ok(self.cut(entries, attached))
    }

    fn limits(&self) -> Limits {
        self.pace.within(self.limit.now())
    }

    async fn peek(&mut self) -> Result<Vec<Entry>, QueueError> {
        let Limits { max_samples, max_bytes } = self.limits();
        let interrupted =
            self.interrupted.as_ref().map_or(0, |bounds| bounds.last_seq - bounds.first_seq);
        let interrupted = usize::try_from(interrupted.min(MOST_SAMPLES) + 1).unwrap_or_default();
        self.consumer.peek(max_samples.max(interrupted), max_bytes as u64).await
    }

    /// Cuts where the request was cut that was in flight when the last process ended, so that it is
    /// the same again; else where the limits are.
    fn cut(&mut self, mut entries: Vec<Entry>, mut attached: Attached) -> Option<Batch> {
        let mut limits = self.limits();
        if let Some(interrupted) = self.interrupted.take() {
            match place(&interrupted, &entries) {
                Some(Place::Here(count)) => {
                    entries.truncate(count);
                    limits = Limits { max_samples: count, max_bytes: usize::MAX };
                    attached = interrupted.attached;
                }
                Some(Place::Behind(count)) => {
                    entries.truncate(count);
                    self.interrupted = Some(interrupted);
                }
                None => {}
            }
        }
        self.batch(entries, limits, attached)
    }

    /// The longest batch of the first `entries` within `limits`; `None` without entries.
    pub(super) fn batch(
        &self,
        mut entries: Vec<Entry>,
        limits: Limits,
        attached: Attached,
    ) -> Option<Batch> {
        let request = self.encoder.encode(&entries, limits, &attached);
        let is_cut = request.samples < entries.len() && request.samples < limits.max_samples;
        let is_full = is_cut || request.samples == self.limit.now().max_samples;
        entries.truncate(request.samples);
        let bounds = InFlight::of(&entries, attached)?;
        Some(Batch { request, entries, bounds, is_full })
    }
}
