//! The forwarder's status for everybody else: one place where it changes, so that its parts never
//! contradict each other.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::{State, Status, journal::Journal};
use crate::clock::{Clock as _, SystemClock};

/// Publishes the status and has the journal tell of its changes.
pub(super) struct Board {
    status: watch::Sender<Status>,
    journal: Journal,
}

impl Board {
    pub(super) fn new(now: Timestamp) -> (Self, watch::Receiver<Status>) {
        let (status, watched) = watch::channel(Status::new(State::Idle, now));
        (Self { status, journal: Journal::default() }, watched)
    }

    /// Nothing to send.
    pub(super) fn idle(&self) {
        self.enter(State::Idle, |_| {});
    }

    /// An attempt begins.
    pub(super) fn sending(&self) {
        self.enter(State::Sending, |status| status.next_attempt = None);
    }

    /// An attempt ended well; `left` entries wait.
    pub(super) fn delivered(&mut self, left: u64) {
        self.journal.delivered(left);
        self.enter(State::Sending, |status| {
            status.attempts += 1;
            status.last_success = Some(SystemClock.now());
            status.last_error = None;
            status.consecutive_failures = 0;
        });
    }

    /// An attempt failed; the next one is due after `delay`, `queued` entries wait.
    pub(super) fn failed(&mut self, state: State, reason: String, delay: Duration, queued: u64) {
        self.journal.failed(state, &reason, queued);
        let due = SystemClock.now().saturating_add(delay).ok();
        self.enter(state, |status| {
            status.attempts += 1;
            status.last_error = Some(reason);
            status.next_attempt = due;
            status.consecutive_failures += 1;
        });
    }

    fn enter(&self, state: State, change: impl FnOnce(&mut Status)) {
        self.status.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            if status.state != state {
                status.state = state;
                status.since = SystemClock.now();
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
