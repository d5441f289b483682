//! What a request carries beside its samples: the losses that the server is to be told of, and the clocks by
//! which times are put right. A server that refuses a request because of the losses must not stop
//! delivery: they wait, and samples go without them.

use std::time::Duration;

use tokio::time::Instant;

use super::{Forwarder, Refused, batch::Batch};
use crate::{
    encode::Limits,
    queue::{Attached, MOST_LOSSES, QueueError},
    transport::Transport,
};

/// For so long after a refusal nothing is told of losses.
const WITHHELD: Duration = Duration::from_hours(1);
/// A loss takes less as text, and all of them a quarter of a request at most.
const BYTES_OF_LOSS: usize = 200;

/// Whether losses are told.
#[derive(Debug, Default)]
pub(super) struct Reporting {
    withheld_until: Option<Instant>,
}

impl Reporting {
    fn is_withheld(&self) -> bool {
        self.withheld_until.is_some_and(|until| Instant::now() < until)
    }
}

impl<T: Transport> Forwarder<T> {
    /// What the next request carries beside its entries, within a share of `limits`.
    pub(super) async fn attached(&mut self, limits: Limits) -> Result<Attached, QueueError> {
        let is_none = self.consumer.stats().borrow().unreported.ranges == 0;
        let most = (limits.max_bytes / 4 / BYTES_OF_LOSS).clamp(1, MOST_LOSSES);
        let losses = if is_none || self.reporting.is_withheld() {
            Vec::new()
        } else {
            self.consumer.losses(most).await?
        };
        Ok(Attached { losses, ..self.bare() })
    }

    /// What a request carries that tells nothing of losses.
    pub(super) fn bare(&self) -> Attached {
        Attached { losses: Vec::new(), clocks: self.clock.moment() }
    }

    /// Whether a batch that was refused is to be sent without the losses that it told, which may be
    /// what the server doesn't like.
    pub(super) fn withhold(&mut self, batch: &Batch, refused: &Refused) -> bool {
        if batch.bounds.attached.losses.is_empty() {
            return false;
        }
        self.board.refused(refused.reason.text.clone());
        self.reporting.withheld_until = Some(Instant::now() + WITHHELD);
        tracing::warn!(
            reason = refused.reason.text,
            "a request that tells of losses was refused; samples go without them for an hour"
        );
        true
    }
}
