//! What the agent's own group tells: the figures of the queue, of the delivery and of the clock, as
//! they are watched anyway.

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::{
    clock::{Clock as _, Moment, Steps, SystemClock},
    forward::{State, Status},
    queue::{Depth, Dropped, Stats},
    sample::{self, Agent, Backlog, Delivering, Fates, Losses, Ticks, WallClock},
    sampler::Tell,
};

/// Where the figures are seen.
#[derive(Debug, Clone)]
pub(super) struct Own {
    pub(super) stats: watch::Receiver<Stats>,
    pub(super) forwarder: watch::Receiver<Status>,
    pub(super) steps: Steps,
}

impl Own {
    /// Tells them.
    pub(super) fn tell(&self) -> Tell {
        let Self { stats, forwarder, steps } = self.clone();
        Box::new(move || {
            let now = SystemClock.moment();
            let mut agent = figures(&stats.borrow(), &forwarder.borrow(), &now);
            let status = forwarder.borrow();
            agent.forwarder.attempts = Some(status.attempts);
            agent.forwarder.failures = Some(status.failures);
            let (count, last) = steps.seen();
            agent.clock =
                WallClock { steps: Some(count), last_step: last.map(|step| step.by.as_secs()) };
            agent
        })
    }
}

/// The figures that a running agent shows to others, too. Those of its process, and what is counted
/// since it was started, aren't among them.
#[must_use]
pub fn figures(stats: &Stats, doing: &Status, now: &Moment) -> Agent {
    let Stats { queue, ledger, unreported, storage, .. } = stats;
    let Dropped { overflow, expired, corrupt, purged } = ledger.dropped;
    Agent {
        process: sample::Process::default(),
        queue: Backlog { waiting_for_disk: storage.waiting, ..backlog(queue, now) },
        ledger: Fates {
            enqueued: ledger.enqueued,
            acknowledged: ledger.acknowledged,
            dead_lettered: ledger.dead_lettered,
            dropped: Losses { overflow, expired, corrupt, purged },
            unreported: unreported.samples,
        },
        forwarder: Delivering {
            state: state(doing.state).into(),
            attempts: None,
            failures: None,
            consecutive_failures: doing.consecutive_failures,
            last_success_age: doing.last_success.and_then(|at| age(now.wall, at)),
        },
        clock: WallClock::default(),
    }
}

fn backlog(queue: &Depth, now: &Moment) -> Backlog {
    let oldest = queue.front.or(queue.oldest.map(|wall| Moment { wall, ..Moment::default() }));
    let known = Some(queue.capacity_seconds).filter(|seconds| *seconds > 0);
    let left = queue.max_bytes.saturating_sub(queue.disk_bytes);
    let remaining = |seconds: u64| {
        let part = u128::from(seconds) * u128::from(left) / u128::from(queue.max_bytes.max(1));
        u64::try_from(part).unwrap_or(u64::MAX)
    };
    Backlog {
        samples: queue.samples,
        bytes: queue.bytes,
        disk_bytes: queue.disk_bytes,
        max_bytes: queue.max_bytes,
        oldest_age: oldest.and_then(|oldest| now.age(&oldest)).and_then(milliseconds),
        capacity_seconds: known,
        remaining_seconds: known.map(remaining),
        dead_letters: queue.dead_letters,
        waiting_for_disk: 0,
    }
}

fn age(now: Timestamp, then: Timestamp) -> Option<Ticks<1000>> {
    milliseconds(now.duration_since(then))
}

/// Nothing is younger than now, whatever the wall clock says.
fn milliseconds(age: SignedDuration) -> Option<Ticks<1000>> {
    u64::try_from(age.as_millis().max(0)).ok().map(Ticks)
}

fn state(state: State) -> &'static str {
    match state {
        State::Idle => "idle",
        State::Sending => "sending",
        State::BackingOff => "backing_off",
        State::Held => "held",
        State::Stopped => "stopped",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(wall: &str, since_boot: u64) -> Moment {
        let since_boot = Some(Duration::from_secs(since_boot));
        Moment { wall: wall.parse().unwrap(), since_boot, boot_id: [3; 16] }
    }

    #[test]
    fn oldest_age_is_the_time_that_passed_although_the_clock_was_set() {
        let queue = Depth { front: Some(at("1970-01-01T00:00:09Z", 9)), ..Depth::default() };
        let told = backlog(&queue, &at("2026-11-24T12:00:00Z", 69));
        assert_eq!(told.oldest_age, Some(Ticks(60_000)));
        assert_eq!(backlog(&Depth::default(), &at("2026-11-24T12:00:00Z", 69)).oldest_age, None);
    }

    #[test]
    fn what_is_left_of_the_capacity_follows_what_is_taken() {
        let queue = Depth {
            capacity_seconds: 1_000,
            max_bytes: 8_000_000,
            disk_bytes: 6_000_000,
            ..Depth::default()
        };
        let told = backlog(&queue, &Moment::default());
        assert_eq!((told.capacity_seconds, told.remaining_seconds), (Some(1_000), Some(250)));
        let unknown =
            backlog(&Depth { max_bytes: 8_000_000, ..Depth::default() }, &Moment::default());
        assert_eq!((unknown.capacity_seconds, unknown.remaining_seconds), (None, None));
    }
}
