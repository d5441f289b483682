//! The readings of one tick, on a blocking thread. Each sampler is in one place at a time: still to
//! do, being read, or done; so the loop can take away what a hanging one holds up.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;

use super::Stamp;
use crate::{
    clock::Moment,
    sample::Sample,
    sampler::{SampleError, Sampler},
};

/// Why a group has no sample of this tick.
#[derive(Debug, thiserror::Error)]
pub(super) enum JobError {
    /// The system doesn't give the figures.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A bug; the sampler is used again all the same.
    #[error("the sampler panicked")]
    Panicked,
}

/// A sampler that comes home, and what it brings.
pub(super) struct Outcome {
    pub(super) sampler: Box<dyn Sampler>,
    pub(super) result: Result<Sample, JobError>,
}

/// What a job has done and what it hasn't begun.
#[derive(Default)]
pub(super) struct Work {
    pub(super) done: Vec<Outcome>,
    pub(super) todo: VecDeque<Box<dyn Sampler>>,
}

/// One blocking job.
pub(super) struct Job {
    work: Mutex<Work>,
}

impl Job {
    /// A job for the samplers of `todo`, in their order.
    pub(super) fn new(todo: VecDeque<Box<dyn Sampler>>) -> Self {
        Self { work: Mutex::new(Work { todo, done: Vec::new() }) }
    }

    /// Reads until nothing is left to do. Blocks; belongs on a blocking thread.
    pub(super) fn run(&self, stamp: &Stamp) {
        loop {
            let Some(mut sampler) = self.lock().todo.pop_front() else { return };
            let result = read(&mut *sampler, stamp);
            self.lock().done.push(Outcome { sampler, result });
        }
    }

    /// Takes everything but the sampler that is being read.
    pub(super) fn take(&self) -> Work {
        std::mem::take(&mut *self.lock())
    }

    /// Never held during a reading.
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(sampler: &mut dyn Sampler, stamp: &Stamp) -> Result<Sample, JobError> {
    let Moment { wall: now, since_boot, .. } = stamp.steps.read(&*stamp.clock);
    // The sampler keeps only its previous reading, which is replaced as a whole.
    let metrics = catch_unwind(AssertUnwindSafe(|| sampler.sample()));
    let metrics = metrics.map_err(|_| JobError::Panicked)??;
    Ok(Sample {
        timestamp: Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now),
        since_boot,
        origin: Arc::clone(&stamp.origin),
        interval: stamp.intervals.get(&metrics.group()).copied().unwrap_or_default(),
        metrics,
    })
}
