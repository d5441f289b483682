//! The forwarder's status for everybody else: one place where it changes, so that its parts never
//! contradict each other.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::journal::Journal;
use crate::{clock::Clock, queue::Refusal};

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
    /// Since when it has been in this state; a wait's attempts don't end it.
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
    /// Those of them that weren't accepted.
    #[serde(skip)]
    pub failures: u64,
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
            failures: 0,
        }
    }
}

/// Publishes the status and has the journal tell of its changes.
pub(super) struct Board {
    status: watch::Sender<Status>,
    journal: Journal,
    clock: Arc<dyn Clock>,
    /// The wait that is going on, attempts in between included: which and since when.
    waiting: Option<(State, Timestamp)>,
}

impl Board {
    pub(super) fn new(clock: Arc<dyn Clock>) -> (Self, watch::Receiver<Status>) {
        let (status, watched) = watch::channel(Status::new(State::Idle, clock.now()));
        (Self { status, journal: Journal::default(), clock, waiting: None }, watched)
    }

    /// Tells the time by another clock from now on.
    pub(super) fn set_clock(&mut self, clock: Arc<dyn Clock>) {
        self.status.send_modify(|status| status.since = clock.now());
        self.clock = clock;
    }

    /// Nothing to send.
    pub(super) fn idle(&mut self) {
        self.waiting = None;
        self.enter(State::Idle, |_| {});
    }

    /// An attempt begins.
    pub(super) fn sending(&mut self) {
        self.enter(State::Sending, |status| status.next_attempt = None);
    }

    /// Nothing failed; the next attempt is due after `delay`.
    pub(super) fn pausing(&mut self, delay: Duration) {
        let due = self.due(delay);
        self.enter(State::Sending, |status| status.next_attempt = due);
    }

    /// An attempt ended well; `left` entries wait.
    pub(super) fn delivered(&mut self, left: u64) {
        self.journal.delivered(left);
        self.waiting = None;
        let now = self.clock.now();
        self.enter(State::Sending, |status| {
            status.attempts += 1;
            status.last_success = Some(now);
            status.last_error = None;
            status.consecutive_failures = 0;
        });
    }

    /// An attempt failed; the next one is due after `delay`, `queued` entries wait.
    pub(super) fn failed(&mut self, state: State, reason: String, delay: Duration, queued: u64) {
        self.journal.failed(state, &reason, queued);
        let due = self.due(delay);
        self.enter(state, |status| {
            status.attempts += 1;
            status.last_error = Some(reason);
            status.next_attempt = due;
            status.failures += 1;
            status.consecutive_failures += 1;
        });
    }

    /// The server refused a request for what is in it; another one follows at once.
    pub(super) fn refused(&mut self, reason: String) {
        self.enter(State::Sending, |status| {
            status.attempts += 1;
            status.last_error = Some(reason);
            status.failures += 1;
            status.consecutive_failures += 1;
        });
    }

    /// It refuses whatever is in a request, so that the next one is due after `delay`.
    pub(super) fn held(&mut self, reason: String, delay: Duration, queued: u64) {
        self.journal.failed(State::Held, &reason, queued);
        let due = self.due(delay);
        self.enter(State::Held, |status| {
            status.last_error = Some(reason);
            status.next_attempt = due;
        });
    }

    /// The sample `seq` was set aside.
    pub(super) fn dead_lettered(&mut self, seq: u64, refusal: &Refusal) {
        self.journal.dead_lettered(seq, refusal.status);
    }

    fn due(&self, delay: Duration) -> Option<Timestamp> {
        // To the microsecond, as all times.
        let delay = Duration::from_micros(u64::try_from(delay.as_micros()).ok()?);
        self.clock.now().saturating_add(delay).ok()
    }

    fn enter(&mut self, state: State, change: impl FnOnce(&mut Status)) {
        let now = self.clock.now();
        let since = match (state, self.waiting) {
            (State::BackingOff | State::Held, Some((waiting, since))) if waiting == state => since,
            (State::BackingOff | State::Held, _) => {
                self.waiting = Some((state, now));
                now
            }
            _ => now,
        };
        self.status.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            if status.state != state {
                (status.state, status.since) = (state, since);
            }
            *status != before
        });
    }
}

/// The forwarder ends, whichever way.
impl Drop for Board {
    fn drop(&mut self) {
        self.enter(State::Stopped, |status| status.next_attempt = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn next_attempt_is_told_to_the_microsecond() {
        let (mut board, status) = Board::new(Arc::new(SystemClock));
        let delay = Duration::from_nanos(1_234_567_891);
        board.failed(State::BackingOff, "refused".into(), delay, 1);
        let due = status.borrow().next_attempt.unwrap();
        assert_eq!(due.subsec_nanosecond() % 1_000, 0, "{due}");
    }
}
