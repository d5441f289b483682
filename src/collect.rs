//! The collecting loop: tick → sample → enqueue. The only place where `spawn_blocking` reads the
//! system. One job takes the samples of all groups that are due together; a group that hangs
//! keeps its sampler and nothing else: after [`GATHER`] the others go on in a fresh job.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tracing::error;

use crate::{
    clock::{Clock, Steps},
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
    /// Ticks without a reading: the machine slept, or the sampler was busy.
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
    planned: watch::Sender<Instant>,
    summary: Summary,
}

/// What every sample carries besides its figures.
struct Stamp {
    origin: Arc<Origin>,
    clock: Box<dyn Clock>,
    steps: Steps,
    intervals: BTreeMap<Group, Duration>,
}

impl Collector {
    /// Collects with `samplers`, those of them that `options` names. That the wall clock is set is
    /// noticed by its `steps`.
    #[must_use]
    pub fn new(
        options: &Options,
        samplers: Vec<Box<dyn Sampler>>,
        origin: Arc<Origin>,
        (clock, steps): (impl Clock, Steps),
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
            stamp: Arc::new(Stamp { origin, clock: Box::new(clock), steps, intervals }),
            idle,
            jobs: JoinSet::new(),
            fresh: Vec::new(),
            gathered: Vec::new(),
            gather_until: None,
            planned: watch::Sender::new(Instant::now()),
            summary: Summary::default(),
        }
    }

    /// When the loop does its next step of its own accord. If that is long past while it runs, it
    /// hangs.
    #[must_use]
    pub fn planned(&self) -> watch::Receiver<Instant> {
        self.planned.subscribe()
    }

    /// Samples until `shutdown` turns true or its sender is gone; every tick's samples go to
    /// `sink` in one call. It must not block.
    ///
    /// The first tick is at once, the others at multiples of each interval from there. A sampler
    /// that hangs delays no other group's sample: a busy group misses its tick. At shutdown it
    /// starts nothing more and hands over every sample that was finished by then. A sampler that
    /// hangs still occupies its thread, so the runtime must be shut down with a timeout.
    pub async fn run(
        mut self,
        mut sink: impl FnMut(Vec<Sample>),
        mut shutdown: watch::Receiver<bool>,
    ) -> Summary {
        self.schedule.start(Instant::now());
        loop {
            self.planned.send_replace(self.next_event());
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => break,
                () = sleep_until(self.next_event()) => {}
                Some(job) = self.jobs.join_next() => match job {
                    Ok(job) => self.finish(&job),
                    Err(error) => error!(%error, "a sampling job ended early"),
                },
            }
            self.rescue_late(Instant::now());
            self.tick(Instant::now());
            if self.commit_due() {
                sink(self.commit());
            }
        }
        self.take_what_is_done();
        if !self.gathered.is_empty() {
            sink(self.commit());
        }
        self.summary
    }

    fn commit(&mut self) -> Vec<Sample> {
        self.summary.samples += self.gathered.len() as u64;
        self.gather_until = None;
        std::mem::take(&mut self.gathered)
    }

    /// When there is something to do even if no job ends.
    fn next_event(&self) -> Instant {
        let late = self.fresh.iter().map(|(late_at, _)| *late_at);
        late.chain(self.gather_until).fold(self.schedule.next(), Instant::min)
    }

    fn commit_due(&self) -> bool {
        let waited = self.gather_until.is_some_and(|until| until <= Instant::now());
        !self.gathered.is_empty() && (self.fresh.is_empty() || waited)
    }

    /// Starts a job for the groups that are due and at home.
    fn tick(&mut self, now: Instant) {
        let mut work = Vec::new();
        for (group, skipped) in self.schedule.due(now) {
            let sampler = self.idle.remove(&group);
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

#[cfg(test)]
mod tests;
