//! The collecting loop: tick → sample → enqueue. The only place where `spawn_blocking` reads the
//! system. One job takes the samples of all groups that are due together; a group that hangs
//! keeps its sampler and nothing else: after [`GATHER`] the others go on in a fresh job.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tracing::error;

use crate::{
    clock::Clock,
    sample::{Group, Origin, Sample},
    sampler::Sampler,
};

mod health;
mod job;
mod schedule;

use health::Health;
use job::{Job, Outcome, Work};
use schedule::Schedule;

/// Samples that are due together share one commit if they arrive within this time.
pub const GATHER: Duration = Duration::from_millis(50);

/// Commits that may wait for a slow sink; while all are taken, ticks are missed.
const WAITING_COMMITS: usize = 32;

/// Which groups are sampled, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The enabled groups with their intervals.
    pub groups: Vec<(Group, Duration)>,
}

/// What became of the ticks of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Samples that were handed to the sink.
    pub samples: u64,
    /// Readings that failed.
    pub failed: u64,
    /// Ticks without a reading: the machine slept, the sampler or the sink was busy.
    pub missed: u64,
}

/// The collecting loop; [`run`](Self::run) is all it does.
pub struct Collector {
    schedule: Schedule,
    stamp: Arc<Stamp>,
    /// The samplers that aren't in a job.
    idle: BTreeMap<Group, Box<dyn Sampler>>,
    health: BTreeMap<Group, Health>,
    jobs: JoinSet<Arc<Job>>,
    /// Jobs that may still make it into the commit of their tick.
    fresh: Vec<(Instant, Arc<Job>)>,
    gathered: Vec<Sample>,
    gather_until: Option<Instant>,
    summary: Summary,
}

/// What every sample carries besides its figures.
struct Stamp {
    origin: Arc<Origin>,
    clock: Box<dyn Clock>,
    intervals: BTreeMap<Group, Duration>,
}

impl Collector {
    /// Collects with `samplers`, those of them that `options` names.
    #[must_use]
    pub fn new(
        options: &Options,
        samplers: Vec<Box<dyn Sampler>>,
        origin: Arc<Origin>,
        clock: impl Clock,
    ) -> Self {
        let intervals: BTreeMap<_, _> = options.groups.iter().copied().collect();
        let mut idle = BTreeMap::new();
        for sampler in samplers {
            if intervals.contains_key(&sampler.group()) {
                idle.insert(sampler.group(), sampler);
            }
        }
        Self {
            schedule: Schedule::new(&options.groups),
            health: intervals.keys().map(|&group| (group, Health::new(group))).collect(),
            stamp: Arc::new(Stamp { origin, clock: Box::new(clock), intervals }),
            idle,
            jobs: JoinSet::new(),
            fresh: Vec::new(),
            gathered: Vec::new(),
            gather_until: None,
            summary: Summary::default(),
        }
    }

    /// Samples until `shutdown` turns true or its sender is gone; every tick's samples go to
    /// `sink` in one call, calls one after the other.
    ///
    /// The first tick is at once, the others at multiples of each interval from there. Neither a
    /// sampler nor a sink that hangs delays another group's sample: a busy group misses its tick,
    /// and so do all when the sink is far behind. At shutdown it starts nothing more and returns
    /// when the sink has taken every sample that was finished by then. A sampler that hangs still
    /// occupies its thread, so the runtime must be shut down with a timeout.
    pub async fn run<F: Future<Output = ()>>(
        self,
        sink: impl FnMut(Vec<Sample>) -> F,
        shutdown: watch::Receiver<bool>,
    ) -> Summary {
        let (commits, waiting) = mpsc::channel(WAITING_COMMITS);
        let (summary, ()) = tokio::join!(self.collect(commits, shutdown), hand_over(waiting, sink));
        summary
    }

    async fn collect(
        mut self,
        commits: mpsc::Sender<Vec<Sample>>,
        mut shutdown: watch::Receiver<bool>,
    ) -> Summary {
        self.schedule.start(Instant::now());
        loop {
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => break,
                () = sleep_until(self.next_event()) => {}
                Some(job) = self.jobs.join_next() => match job {
                    Ok(job) => self.finish(&job),
                    Err(error) => error!(%error, "a sampling job ended early"),
                },
                Ok(commit) = commits.reserve(), if self.commit_due() => {
                    self.summary.samples += self.gathered.len() as u64;
                    commit.send(std::mem::take(&mut self.gathered));
                    self.gather_until = None;
                }
            }
            self.rescue_late(Instant::now());
            self.tick(Instant::now(), commits.capacity() > 0);
        }
        self.take_what_is_done();
        self.summary.samples += self.gathered.len() as u64;
        if !self.gathered.is_empty() {
            // Fails only when the sink is gone, and with it the reason to go on.
            let _gone = commits.send(self.gathered).await;
        }
        self.summary
    }

    /// When there is something to do even if no job ends.
    fn next_event(&self) -> Instant {
        let late = self.fresh.iter().map(|(late_at, _)| *late_at);
        let gathered = self.gather_until.into_iter().filter(|_| !self.commit_due());
        late.chain(gathered).fold(self.schedule.next(), Instant::min)
    }

    fn commit_due(&self) -> bool {
        let waited = self.gather_until.is_some_and(|until| until <= Instant::now());
        !self.gathered.is_empty() && (self.fresh.is_empty() || waited)
    }

    /// Starts a job for the groups that are due and at home.
    fn tick(&mut self, now: Instant, sink_keeps_up: bool) {
        let mut work = Vec::new();
        for (group, skipped) in self.schedule.due(now) {
            let sampler = if sink_keeps_up { self.idle.remove(&group) } else { None };
            let missed = skipped + u64::from(sampler.is_none());
            self.summary.missed += missed;
            if let Some(health) = self.health.get_mut(&group) {
                health.ticked(missed);
            }
            work.extend(sampler);
        }
        self.start(work.into(), now);
    }

    fn start(&mut self, work: VecDeque<Box<dyn Sampler>>, now: Instant) {
        if work.is_empty() {
            return;
        }
        let job = Arc::new(Job::new(work));
        self.fresh.push((now + GATHER, Arc::clone(&job)));
        let stamp = Arc::clone(&self.stamp);
        self.jobs.spawn_blocking(move || {
            job.run(&stamp);
            job
        });
    }

    /// Takes what jobs that are late have done, and gives what they haven't begun to a fresh one.
    fn rescue_late(&mut self, now: Instant) {
        let (late, fresh) = self.fresh.drain(..).partition(|(late_at, _)| *late_at <= now);
        self.fresh = fresh;
        let late: Vec<(Instant, Arc<Job>)> = late;
        for (_, job) in late {
            let Work { done, todo } = job.take();
            self.take_outcomes(done);
            self.start(todo, now);
        }
    }

    fn finish(&mut self, job: &Arc<Job>) {
        self.fresh.retain(|(_, fresh)| !Arc::ptr_eq(fresh, job));
        self.take_outcomes(job.take().done);
    }

    fn take_outcomes(&mut self, outcomes: Vec<Outcome>) {
        for Outcome { sampler, result } in outcomes {
            let group = sampler.group();
            self.idle.insert(group, sampler);
            let Some(health) = self.health.get_mut(&group) else { continue };
            match result {
                Ok(sample) => {
                    health.sampled();
                    self.gathered.push(sample);
                    self.gather_until.get_or_insert_with(|| Instant::now() + GATHER);
                }
                Err(error) => {
                    health.failed(&error);
                    self.summary.failed += 1;
                }
            }
        }
    }

    fn take_what_is_done(&mut self) {
        for (_, job) in std::mem::take(&mut self.fresh) {
            self.take_outcomes(job.take().done);
        }
        while let Some(Ok(job)) = self.jobs.try_join_next() {
            self.take_outcomes(job.take().done);
        }
    }
}

async fn hand_over<F: Future<Output = ()>>(
    mut waiting: mpsc::Receiver<Vec<Sample>>,
    mut sink: impl FnMut(Vec<Sample>) -> F,
) {
    while let Some(samples) = waiting.recv().await {
        sink(samples).await;
    }
}

#[cfg(test)]
mod tests;
