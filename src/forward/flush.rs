//! Delivering everything now: follows a running forwarder until what was queued at the start is
//! gone. Used by the daemon's control server and by the command line alike; it removes nothing
//! itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{Nudge, State, Status};
use crate::queue::{Ledger, Stats};

/// How far a flush is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Samples delivered since the start.
    pub delivered: u64,
    /// Samples that were queued at the start and still are.
    pub remaining: u64,
}

/// How a flush ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// Nothing is left of what was queued at the start.
    Drained {
        /// Samples delivered.
        delivered: u64,
        /// Samples set aside because the server refused them.
        dead_lettered: u64,
        /// Samples dropped meanwhile, as at the cap.
        dropped: u64,
    },
    /// The server refuses us; one attempt was made.
    Held {
        /// Samples delivered.
        delivered: u64,
        /// Samples that are still queued.
        remaining: u64,
        /// What the server said.
        reason: String,
    },
    /// Time ran out.
    TimedOut {
        /// Samples delivered.
        delivered: u64,
        /// Samples that are still queued.
        remaining: u64,
        /// The last failure, if the last attempt failed.
        reason: Option<String>,
    },
    /// The forwarder ended first.
    Stopped {
        /// Samples delivered.
        delivered: u64,
        /// Samples that are still queued.
        remaining: u64,
    },
}

/// Follows the forwarder until every entry that is queued now was delivered, dead-lettered or
/// dropped, or `timeout` is over. It ends a backoff at once, and a hold for one attempt.
/// `progress` hears of every change. Cancel-safe: when dropped, delivering just goes on.
pub async fn drain(
    mut stats: watch::Receiver<Stats>,
    mut doing: watch::Receiver<Status>,
    nudge: Nudge,
    timeout: Duration,
    mut progress: impl FnMut(Progress),
) -> Outcome {
    let deadline = Instant::now() + timeout;
    let start = Start::new(&stats.borrow_and_update(), &doing.borrow());
    if start.samples > 0 {
        nudge.nudge();
    }
    let mut told = None;
    loop {
        let now = start.progress(&stats.borrow_and_update());
        if told.replace(now) != Some(now) {
            progress(now);
        }
        let now_doing = doing.borrow_and_update().clone();
        if let Some(outcome) = start.outcome(&stats.borrow(), &now_doing) {
            return outcome;
        }
        if now_doing.state == State::Idle {
            // It collects for a fuller request; a flush doesn't wait for that.
            nudge.nudge();
        }
        let changed = tokio::select! {
            changed = stats.changed() => changed.is_ok(),
            changed = doing.changed() => changed.is_ok(),
            () = sleep_until(deadline) => {
                let Progress { delivered, remaining } = start.progress(&stats.borrow());
                let reason = doing.borrow().last_error.clone();
                return Outcome::TimedOut { delivered, remaining, reason };
            }
        };
        if !changed {
            let Progress { delivered, remaining } = start.progress(&stats.borrow());
            return Outcome::Stopped { delivered, remaining };
        }
    }
}

/// The figures at the start.
struct Start {
    samples: u64,
    last_seq: u64,
    ledger: Ledger,
    /// Attempts that ended or had begun: only one beyond them has heard the nudge.
    attempts: u64,
}

impl Start {
    fn new(stats: &Stats, doing: &Status) -> Self {
        let is_in_flight = doing.state == State::Sending && doing.next_attempt.is_none();
        let in_flight = u64::from(is_in_flight);
        Self {
            samples: stats.queue.samples,
            last_seq: stats.queue.last_seq.unwrap_or_default(),
            ledger: stats.ledger,
            attempts: doing.attempts + in_flight,
        }
    }

    fn progress(&self, stats: &Stats) -> Progress {
        let newer = stats.ledger.enqueued.saturating_sub(self.ledger.enqueued);
        let delivered = stats.ledger.acknowledged.saturating_sub(self.ledger.acknowledged);
        let mut remaining = stats.queue.samples.saturating_sub(newer).min(self.samples);
        // What a full queue refused was counted as enqueued, though it never was in the queue: then
        // the sequence tells that something old is still there. It can't tell it alone, for
        // salvaged entries have numbers of their own.
        let first = stats.queue.first_seq.filter(|_| stats.queue.samples > 0);
        if remaining == 0 && self.samples > 0 && first.is_some_and(|first| first <= self.last_seq) {
            remaining = 1;
        }
        Progress { delivered, remaining }
    }

    fn outcome(&self, stats: &Stats, doing: &Status) -> Option<Outcome> {
        let Progress { delivered, remaining } = self.progress(stats);
        if remaining == 0 {
            let dead = stats.ledger.dead_lettered.saturating_sub(self.ledger.dead_lettered);
            let dropped = stats.ledger.dropped.total().saturating_sub(self.ledger.dropped.total());
            return Some(Outcome::Drained { delivered, dead_lettered: dead, dropped });
        }
        match doing.state {
            State::Stopped => Some(Outcome::Stopped { delivered, remaining }),
            State::Held if doing.attempts > self.attempts => {
                let reason = doing.last_error.clone().unwrap_or_default();
                Some(Outcome::Held { delivered, remaining, reason })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn figures(samples: u64, seqs: Option<(u64, u64)>, enqueued: u64) -> Stats {
        let mut stats = Stats::default();
        stats.queue.samples = samples;
        (stats.queue.first_seq, stats.queue.last_seq) =
            (seqs.map(|(first, _)| first), seqs.map(|(_, last)| last));
        stats.ledger.enqueued = enqueued;
        stats
    }

    fn doing(state: State, attempts: u64) -> Status {
        Status { attempts, ..Status::new(state, Timestamp::UNIX_EPOCH) }
    }

    #[test]
    fn hold_counts_only_after_an_attempt_that_heard_the_nudge() {
        let queued = figures(2, Some((1, 2)), 2);
        for (at_start, deaf) in [(doing(State::Sending, 4), 5), (doing(State::Held, 4), 4)] {
            let start = Start::new(&queued, &at_start);
            assert_eq!(start.outcome(&queued, &doing(State::Held, deaf)), None);
            let outcome = start.outcome(&queued, &doing(State::Held, deaf + 1));
            assert!(matches!(outcome, Some(Outcome::Held { remaining: 2, .. })), "{outcome:?}");
        }
    }

    #[test]
    fn samples_that_came_later_are_not_waited_for() {
        let start = Start::new(&figures(3, Some((1, 3)), 3), &doing(State::Idle, 0));
        assert_eq!(start.progress(&figures(4, Some((2, 5)), 5)).remaining, 2);
        assert_eq!(start.progress(&figures(2, Some((4, 5)), 5)).remaining, 0);
    }

    #[test]
    fn samples_refused_by_a_full_queue_do_not_pass_for_delivered_ones() {
        let start = Start::new(&figures(3, Some((1, 3)), 3), &doing(State::Idle, 0));
        assert_eq!(start.progress(&figures(3, Some((1, 3)), 100)).remaining, 1);
    }

    #[test]
    fn salvaged_samples_with_higher_numbers_are_waited_for() {
        let start = Start::new(&figures(5, Some((1_000, 2)), 2), &doing(State::Idle, 0));
        assert_eq!(start.progress(&figures(5, Some((1_000, 2)), 2)).remaining, 5);
        assert_eq!(start.progress(&figures(2, Some((1, 2)), 2)).remaining, 2);
    }
}
