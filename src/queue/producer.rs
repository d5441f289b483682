//! The samplers' role: a [`Producer`] hands samples over and never waits for a disk.

use std::sync::Arc;

use super::{Enqueued, QueueError, nudge, owner::Commands, ring::Ring};
use crate::sample::Sample;

/// Puts samples into the queue, and can do nothing else.
#[derive(Clone)]
pub struct Producer {
    ring: Arc<Ring>,
    commands: Commands,
}

impl Producer {
    pub(super) fn new(ring: Arc<Ring>, commands: Commands) -> Self {
        Self { ring, commands }
    }

    /// Hands the samples of one tick over, to be appended in one durable commit. It never waits for
    /// the disk: while that hangs or refuses, samples wait in memory, about 2 MiB of them; beyond
    /// that they are dropped as the overflow policy says, and counted.
    pub fn offer(&self, samples: Vec<Sample>) {
        drop(self.enqueue(samples));
    }

    /// Whether the queue has been stuck in a write for minutes and won't go on by itself: then only
    /// a new process helps. What was confirmed is safe.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        nudge::is_stuck()
    }

    /// Hands the samples of one tick over, as [`Self::offer`] does, when it is called. The future
    /// is ready when they are durable or were dropped, however long the disk takes.
    ///
    /// When it returns `Ok`, every sample that isn't counted as refused survives a `kill -9`, and
    /// with [`Sync::Always`](super::Sync::Always) a power cut. Cancel-safe: what was handed over stays so.
    pub fn enqueue(
        &self,
        samples: Vec<Sample>,
    ) -> impl Future<Output = Result<Enqueued, QueueError>> + Send + use<> {
        let answer = self.ring.push(samples);
        if self.ring.has_news() {
            self.commands.wake();
        }
        async { answer.await.unwrap_or(Err(QueueError::Closed)) }
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}
