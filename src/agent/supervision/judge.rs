//! Whether the agent makes progress: pure, from what the loops leave behind and the time. A planned
//! wait is progress, however long; what takes longer than it is allowed to isn't.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    clock::{Clock as _, SystemClock},
    forward::{State, Status},
};

/// On top of every bound: a busy machine isn't a hang.
const GRACE: Duration = Duration::from_mins(1);
/// A plan beyond this is the work of a clock that jumped.
const LONGEST_PLAN: Duration = Duration::from_hours(24);

/// What the forwarder is allowed.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::agent) struct Bounds {
    /// For one exchange with the server.
    pub(in crate::agent) exchange: Duration,
    /// For entries that wait for company.
    pub(in crate::agent) linger: Duration,
}

/// What was seen so far.
#[derive(Debug)]
pub(super) struct Judge {
    bounds: Bounds,
    /// How long the queue's owner may take for an answer.
    patience: Duration,
    state: State,
    /// When the forwarder's present step must have ended.
    due: Instant,
    /// Since when entries wait although the forwarder is idle.
    waiting: Option<Instant>,
    /// Since when the queue's owner owes an answer.
    asked: Option<Instant>,
}

impl Judge {
    pub(super) fn new(bounds: Bounds, patience: Duration, status: &Status) -> Self {
        let now = Instant::now();
        let state = status.state;
        let mut judge = Self { bounds, patience, state, due: now, waiting: None, asked: None };
        judge.forwarder(now, status);
        judge
    }

    /// The forwarder's status has changed.
    pub(super) fn forwarder(&mut self, now: Instant, status: &Status) {
        let planned = status.next_attempt.map_or(Duration::ZERO, |next| {
            let left = next.duration_since(SystemClock.now());
            Duration::try_from(left).unwrap_or_default().min(LONGEST_PLAN)
        });
        self.state = status.state;
        self.due = now + planned + self.bounds.exchange + GRACE;
        self.waiting = None;
    }

    /// The owner was asked. An earlier question that went unanswered counts from its beginning.
    pub(super) fn asked(&mut self, now: Instant) {
        self.asked.get_or_insert(now);
    }

    /// The owner has answered.
    pub(super) fn answered(&mut self) {
        self.asked = None;
    }

    /// What hangs, if anything does.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        planned: Instant,
        queued: u64,
    ) -> Option<&'static str> {
        let idle = self.state == State::Idle;
        if !idle || queued == 0 {
            self.waiting = None;
        } else {
            self.waiting.get_or_insert(now);
        }
        let since = |since: Option<Instant>| since.map(|since| now - since).unwrap_or_default();
        if now > planned + GRACE {
            Some("the collecting loop")
        } else if since(self.asked) >= self.patience {
            Some("the queue's owner")
        } else if (!idle && now > self.due) || since(self.waiting) > self.bounds.linger + GRACE {
            Some("the forwarding loop")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds =
        Bounds { exchange: Duration::from_secs(30), linger: Duration::from_mins(5) };
    const PATIENCE: Duration = Duration::from_secs(30);

    fn status(state: State, next_attempt: Option<Duration>) -> Status {
        let now = SystemClock.now();
        let mut status = Status::new(state, now);
        status.next_attempt = next_attempt.map(|wait| now.saturating_add(wait).unwrap());
        status
    }

    fn judge(state: State, next_attempt: Option<Duration>) -> Judge {
        Judge::new(BOUNDS, PATIENCE, &status(state, next_attempt))
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn planned_wait_is_progress_and_a_late_one_is_not() {
        let now = Instant::now();
        let far = now + seconds(1_000_000);
        for (state, wait, fine, late) in [
            (State::Sending, None, 89, 92),
            (State::Sending, Some(seconds(500)), 580, 600),
            (State::BackingOff, Some(seconds(20)), 105, 120),
            (State::Held, Some(seconds(3600)), 3680, 3700),
        ] {
            let mut judge = judge(state, wait);
            assert_eq!(judge.judge(now + seconds(fine), far, 9), None, "{state:?}");
            let finding = judge.judge(now + seconds(late), far, 9);
            assert_eq!(finding, Some("the forwarding loop"), "{state:?}");
            judge.forwarder(now + seconds(late), &status(state, wait));
            assert_eq!(judge.judge(now + seconds(late), far, 9), None, "{state:?} goes on");
        }
    }

    #[test]
    fn idle_is_progress_unless_entries_wait_beyond_the_linger() {
        let now = Instant::now();
        let far = now + seconds(1_000_000);
        let mut judge = judge(State::Idle, None);
        assert_eq!(judge.judge(now + seconds(100_000), far, 0), None);
        let begin = now + seconds(100_010);
        assert_eq!(judge.judge(begin, far, 1), None);
        assert_eq!(judge.judge(begin + seconds(360), far, 1), None);
        assert_eq!(judge.judge(begin + seconds(361), far, 1), Some("the forwarding loop"));
        assert_eq!(judge.judge(begin + seconds(362), far, 0), None);
        assert_eq!(judge.judge(begin + seconds(363), far, 1), None);
    }

    #[test]
    fn collecting_loop_that_is_past_its_plan_hangs() {
        let now = Instant::now();
        let mut judge = judge(State::Idle, None);
        assert_eq!(judge.judge(now, now + seconds(86_400), 0), None);
        assert_eq!(judge.judge(now + seconds(60), now, 0), None);
        assert_eq!(judge.judge(now + seconds(61), now, 0), Some("the collecting loop"));
    }

    #[test]
    fn owner_that_owes_an_answer_hangs_however_often_it_is_asked() {
        let now = Instant::now();
        let mut judge = judge(State::Idle, None);
        judge.asked(now);
        judge.asked(now + seconds(15));
        assert_eq!(judge.judge(now + seconds(29), now + seconds(99), 0), None);
        let late = judge.judge(now + seconds(30), now + seconds(99), 0);
        assert_eq!(late, Some("the queue's owner"));
        judge.answered();
        assert_eq!(judge.judge(now + seconds(31), now + seconds(99), 0), None);
    }
}
