//! What a judgement changes: accepted entries leave the queue, the limits and the pace learn from it.

use tokio::time::Instant;

use super::{Flow, Forwarder, Signals, State, batch::Batch};
use crate::{
    encode::Limits,
    queue::{Entry, Loss, QueueError},
    transport::Transport,
};

impl<T: Transport> Forwarder<T> {
    /// Smaller requests from now on.
    pub(super) fn halve(&mut self, batch: &Batch) {
        let limits = Limits { max_samples: batch.entries.len() / 2, max_bytes: usize::MAX };
        let half = self.encoder.encode(&batch.entries, limits, &batch.bounds.attached);
        // Samples differ a little in size: with no spare the next batch would be less than a half.
        self.limit.shrink(half.samples, half.plain_bytes.saturating_mul(5) / 4);
    }

    /// Removes what was accepted, learns from it, and waits as the pace wants it.
    pub(super) async fn delivered(&mut self, batch: &Batch, signals: &mut Signals) -> Flow {
        let losses = &batch.bounds.attached.losses;
        if self.settle(&batch.entries, losses, signals).await == Flow::Stop {
            return Flow::Stop;
        }
        if batch.is_full {
            self.limit.accepted_full();
        }
        let limits = self.limit.now();
        let pause = self.pace.accepted(batch.entries.len(), signals.queued(), limits);
        self.pause(pause, signals).await
    }

    /// Removes what was accepted, and forgets the losses that were told with it. When the queue
    /// fails, it is asked again: the server has the batch already, and sending it twice helps nobody.
    pub(super) async fn settle(
        &mut self,
        entries: &[Entry],
        losses: &[Loss],
        signals: &mut Signals,
    ) -> Flow {
        self.backoff.reset();
        self.last_accepted = entries.last().cloned().or(self.last_accepted.take());
        self.board.delivered(signals.queued().saturating_sub(entries.len() as u64));
        while let Err(error) = self.consumer.acknowledge_with(entries, losses).await {
            if self.queue_failed(&error, signals).await == Flow::Stop {
                return Flow::Stop;
            }
        }
        Flow::Continue
    }

    pub(super) async fn queue_failed(&mut self, error: &QueueError, signals: &mut Signals) -> Flow {
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
