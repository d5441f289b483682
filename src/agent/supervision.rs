//! What the service manager hears while the agent runs: a status line when it changes, and that the
//! agent is alive, only while that is true. Judging takes no wake-ups of its own but the watchdog's:
//! the loops leave behind until when they plan to wait, and the queue's owner is asked a question.

use std::{pin::Pin, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use self::judge::{Bounds, Judge};
use super::supervisor::{News, Supervisor};
use crate::{
    forward::{State, Status},
    queue::{Inspector, QueueError, Selection, Stats},
};

pub(super) mod judge;

/// A status line is told at most this often.
const STATUS_PAUSE: Duration = Duration::from_secs(5);
/// A watchdog that wants more must do without.
const SHORTEST_PERIOD: Duration = Duration::from_millis(50);

/// What the supervision looks at.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    pub(super) stats: watch::Receiver<Stats>,
    pub(super) forwarder: watch::Receiver<Status>,
    pub(super) inspector: Inspector,
    pub(super) bounds: Bounds,
}

/// Tells the manager of the agent until it is dropped; `planned` is the collecting loop's next step.
pub(super) async fn supervise(
    supervisor: Supervisor,
    sight: Sight,
    planned: watch::Receiver<Instant>,
) {
    let status = tell_status(&supervisor, sight.stats.clone(), sight.forwarder.clone());
    match supervisor.watchdog() {
        None => status.await,
        Some(watchdog) => drop(tokio::join!(status, feed(&supervisor, watchdog, sight, planned))),
    }
}

async fn tell_status(
    supervisor: &Supervisor,
    mut stats: watch::Receiver<Stats>,
    mut forwarder: watch::Receiver<Status>,
) {
    let mut told = String::new();
    loop {
        let line = line(&stats.borrow_and_update(), &forwarder.borrow_and_update());
        if line != told {
            supervisor.tell(News::Status(line.clone()));
            told = line;
            sleep(STATUS_PAUSE).await;
        }
        let changed = tokio::select! {
            changed = stats.changed() => changed,
            changed = forwarder.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

fn line(stats: &Stats, doing: &Status) -> String {
    let queued = stats.queue.samples;
    let entries = format!("{queued} {} queued", if queued == 1 { "sample" } else { "samples" });
    let reason = doing.last_error.as_deref().unwrap_or("no reason given");
    let phase = match doing.state {
        State::Idle | State::Sending => "delivering".to_owned(),
        State::BackingOff => format!("delivery fails, trying again: {reason}"),
        State::Held => format!("held, the server refuses us: {reason}"),
        State::Stopped => "delivery has stopped".to_owned(),
    };
    match &stats.storage.error {
        None => format!("{phase}; {entries}"),
        Some(error) => format!("{phase}; {entries}; the disk fails: {error}"),
    }
}

type Answer = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Says that the agent is alive, twice a period, as long as the judge finds nothing.
async fn feed(
    supervisor: &Supervisor,
    watchdog: Duration,
    mut sight: Sight,
    planned: watch::Receiver<Instant>,
) {
    let mut ticks = interval((watchdog / 2).max(SHORTEST_PERIOD));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut judge = Judge::new(sight.bounds, watchdog, &sight.forwarder.borrow_and_update());
    let mut question: Option<Answer> = None;
    let mut told = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let now = Instant::now();
                let queued = sight.stats.borrow().queue.samples;
                let finding = judge.judge(now, *planned.borrow(), queued);
                tell(supervisor, finding, &mut told);
                if question.is_none() {
                    judge.asked(now);
                    question = Some(ask(sight.inspector.clone()));
                }
            }
            answered = answer(&mut question) => {
                question = None;
                if answered {
                    judge.answered();
                }
            }
            Ok(()) = sight.forwarder.changed() => {
                judge.forwarder(Instant::now(), &sight.forwarder.borrow_and_update());
            }
        }
    }
}

fn tell(supervisor: &Supervisor, finding: Option<&'static str>, told: &mut Option<&'static str>) {
    match finding {
        None => supervisor.tell(News::Alive),
        Some(hangs) if *told != Some(hangs) => {
            tracing::error!(hangs, "no progress: the watchdog isn't fed any more");
        }
        Some(_) => {}
    }
    *told = finding;
}

/// Whether the queue's owner answers. One that fails is at work; one that can't even be asked isn't.
fn ask(inspector: Inspector) -> Answer {
    Box::pin(async move {
        let answer = inspector.measure(Selection::All).await;
        !matches!(answer, Err(QueueError::Busy | QueueError::Closed))
    })
}

async fn answer(question: &mut Option<Answer>) -> bool {
    match question {
        Some(question) => question.as_mut().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
