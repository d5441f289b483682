//! What the forwarder waits for: entries, the time, a nudge, the stop. All are levels, so nothing
//! that happens while it is busy is missed.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::Flow;
use crate::{encode::Limits, queue::Stats};

/// Pause after the queue gave nothing although its figures promised something.
const EMPTY_PAUSE: Duration = Duration::from_secs(1);

/// See the module. Every wait ends at the stop; all are cancel-safe.
pub(super) struct Signals {
    stats: watch::Receiver<Stats>,
    nudges: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    /// A nudge has ended a wait, and no attempt was made since.
    nudged: bool,
}

impl Signals {
    pub(super) fn new(
        stats: watch::Receiver<Stats>,
        nudges: watch::Receiver<u64>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self { stats, nudges, stop, nudged: false }
    }

    /// Whether the forwarder is to end. Nobody left to tell it counts as the stop.
    pub(super) fn is_stopping(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    /// Entries in the queue now.
    pub(super) fn queued(&self) -> u64 {
        self.stats.borrow().queue.samples
    }

    /// What was nudged so far is answered by the attempt that begins now; whether there was any.
    pub(super) fn hear_nudges(&mut self) -> bool {
        let waiting = self.nudges.has_changed().unwrap_or(false);
        self.nudges.mark_unchanged();
        std::mem::take(&mut self.nudged) || waiting
    }

    /// Until there are entries.
    pub(super) async fn entries(&mut self) -> Flow {
        tokio::select! {
            biased;
            () = stopped(&mut self.stop) => Flow::Stop,
            found = self.stats.wait_for(|stats| stats.queue.samples > 0) => match found {
                Ok(_) => Flow::Continue,
                Err(_) => Flow::Stop,
            },
        }
    }

    /// For `linger`, or until a request would be full, or until a nudge.
    pub(super) async fn linger(&mut self, linger: Duration, limits: Limits) {
        let full = |stats: &Stats| {
            stats.queue.samples >= limits.max_samples as u64
                || stats.queue.bytes >= limits.max_bytes as u64
        };
        tokio::select! {
            biased;
            () = stopped(&mut self.stop) => {}
            () = nudged(&mut self.nudges) => self.nudged = true,
            _ = self.stats.wait_for(full) => {}
            () = sleep_until(Instant::now() + linger) => {}
        }
    }

    /// For `delay`, or until a nudge.
    pub(super) async fn pause(&mut self, delay: Duration) -> Flow {
        tokio::select! {
            biased;
            () = stopped(&mut self.stop) => Flow::Stop,
            () = nudged(&mut self.nudges) => {
                self.nudged = true;
                Flow::Continue
            }
            () = sleep_until(Instant::now() + delay) => Flow::Continue,
        }
    }

    /// Until `due`, whatever else happens.
    pub(super) async fn pause_unhurried(&mut self, due: Instant) -> Flow {
        tokio::select! {
            biased;
            () = stopped(&mut self.stop) => Flow::Stop,
            () = sleep_until(due) => Flow::Continue,
        }
    }

    /// After the queue gave nothing: until something changes, but never at once.
    pub(super) async fn empty(&mut self) -> Flow {
        if self.queued() == 0 && !self.is_stopping() {
            return Flow::Continue;
        }
        self.pause_unhurried(Instant::now() + EMPTY_PAUSE).await
    }
}

/// A channel whose sender is gone will never tell, so its silence must not be taken for a signal.
async fn nudged(nudges: &mut watch::Receiver<u64>) {
    if nudges.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Until the stop.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody is left to tell: that is a stop as well.
    stop.wait_for(|stop| *stop).await.map(|_| ()).ok();
}
