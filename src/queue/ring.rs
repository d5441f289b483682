//! What producers have handed over and isn't on the disk yet: ticks in order, bounded in bytes. While
//! the disk works, a tick is here for a moment; while it hangs or refuses, this is what keeps samplers
//! on time. It knows no storage; whatever it has to drop it counts, for the ledger.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::oneshot;

use super::{Enqueued, Overflow, QueueError, Reply, record};
use crate::sample::Sample;

/// Bytes of payload that may wait: six hours of a small machine's ticks at 5 s.
pub(super) const MAX_BYTES: u64 = 2 << 20;

/// The samples of one enqueue, with whoever waits until they are durable.
pub(super) struct Tick {
    pub(super) samples: VecDeque<Sample>,
    bytes: u64,
    reply: Reply<Enqueued>,
    done: Enqueued,
}

impl Tick {
    /// Adds to what became of the tick's samples.
    pub(super) fn count(&mut self, done: Enqueued) {
        self.done.refused += done.refused;
        self.done.evicted += done.evicted;
    }

    /// Tells whoever waits.
    pub(super) fn answer(self) {
        // It may have stopped waiting; what was done is done.
        self.reply.send(Ok(self.done)).ok();
    }
}

/// What the owner takes at once: first so many samples that were dropped, then ticks.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) dropped: u64,
    pub(super) ticks: VecDeque<Tick>,
}

impl Batch {
    /// Whether all of it is done.
    pub(super) fn is_empty(&self) -> bool {
        self.dropped == 0 && self.ticks.is_empty()
    }

    /// Samples in it.
    pub(super) fn samples(&self) -> u64 {
        self.ticks.iter().map(|tick| tick.samples.len() as u64).sum()
    }

    /// The first `count` samples are durable: ticks that are whole are answered.
    pub(super) fn confirm(&mut self, mut count: u64, mut done: Enqueued) {
        while let Some(tick) = self.ticks.front_mut() {
            tick.count(std::mem::take(&mut done));
            while count > 0 && tick.samples.pop_front().is_some() {
                count -= 1;
            }
            if !tick.samples.is_empty() {
                return;
            }
            self.ticks.pop_front().into_iter().for_each(Tick::answer);
            if count == 0 {
                return;
            }
        }
    }
}

/// See the module. Shared by producers and the owner.
pub(super) struct Ring {
    overflow: Overflow,
    /// The owner has been told and hasn't looked yet: once is enough, as its channel is short.
    told: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    ticks: VecDeque<Tick>,
    bytes: u64,
    /// Samples that were dropped and are in no ledger yet.
    dropped: u64,
    closed: bool,
}

impl Ring {
    pub(super) fn new(overflow: Overflow) -> Self {
        Self { overflow, told: AtomicBool::new(false), inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the samples of one tick; the answer comes when they are durable or were dropped.
    pub(super) fn push(
        &self,
        samples: Vec<Sample>,
    ) -> oneshot::Receiver<Result<Enqueued, QueueError>> {
        let (reply, answer) = oneshot::channel();
        let samples = samples.into();
        let tick = Tick { samples, bytes: 0, reply, done: Enqueued::default() };
        let mut inner = self.lock();
        if inner.closed {
            tick.reply.send(Err(QueueError::Closed)).ok();
        } else {
            inner.ticks.push_back(tick);
            if inner.ticks.len() > 1 {
                inner.weigh();
                inner.shed(self.overflow);
            }
        }
        answer
    }

    /// Whether the owner has to be told that something waits; whoever asks tells it.
    pub(super) fn has_news(&self) -> bool {
        !self.told.swap(true, Ordering::AcqRel)
    }

    /// The owner looks now: what comes from here on is news.
    pub(super) fn look(&self) {
        self.told.store(false, Ordering::Release);
    }

    /// Takes what waits, at most `max_samples` (one tick at least); `None` when nothing does.
    pub(super) fn take(&self, max_samples: usize) -> Option<Batch> {
        let mut inner = self.lock();
        let mut batch = Batch { dropped: std::mem::take(&mut inner.dropped), ..Batch::default() };
        let mut samples = 0;
        while let Some(next) = inner.ticks.front()
            && (samples == 0 || samples + next.samples.len() <= max_samples)
        {
            let Some(tick) = inner.ticks.pop_front() else { break };
            inner.bytes -= tick.bytes;
            samples += tick.samples.len();
            batch.ticks.push_back(tick);
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// Samples that wait, and samples that were dropped and are in no ledger yet.
    pub(super) fn waiting(&self) -> (u64, u64) {
        let inner = self.lock();
        let samples = inner.ticks.iter().map(|tick| tick.samples.len() as u64).sum();
        (samples, inner.dropped)
    }

    /// Takes nothing any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }
}

impl Inner {
    /// Weighs what hasn't been weighed yet: a tick that waits alone isn't worth it.
    fn weigh(&mut self) {
        for tick in self.ticks.iter_mut().filter(|tick| tick.bytes == 0) {
            tick.bytes = tick.samples.iter().map(record::weight).sum();
            self.bytes += tick.bytes;
        }
    }

    /// Drops ticks until the rest fits. The last one stays even if it is larger than the bound.
    fn shed(&mut self, overflow: Overflow) {
        while self.bytes > MAX_BYTES && self.ticks.len() > 1 {
            let gone = match overflow {
                Overflow::DropOldest => self.ticks.pop_front(),
                Overflow::DropNewest => self.ticks.pop_back(),
            };
            let Some(mut tick) = gone else { return };
            let refused = tick.samples.len() as u64;
            self.bytes -= tick.bytes;
            self.dropped += refused;
            tick.count(Enqueued { refused, evicted: 0 });
            tick.answer();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::sample::{Cpu, Metrics, Origin};

    fn tick(samples: usize, size: usize) -> Vec<Sample> {
        let origin = Arc::new(Origin { host: "x".repeat(size), ..Origin::default() });
        let sample = Sample {
            timestamp: jiff::Timestamp::UNIX_EPOCH,
            since_boot: None,
            origin,
            interval: Duration::from_secs(5),
            metrics: Metrics::Cpu(Cpu::default()),
        };
        vec![sample; samples]
    }

    #[test]
    fn what_does_not_fit_is_dropped_at_the_right_end_and_counted() {
        for (overflow, first) in [(Overflow::DropOldest, 2), (Overflow::DropNewest, 1)] {
            let ring = Ring::new(overflow);
            let mut answers: Vec<_> =
                (1..=3).map(|samples| ring.push(tick(samples, 1_000_000 / samples))).collect();
            let gone = if first == 1 { 2 } else { 0 };
            let told = answers.remove(gone).try_recv().unwrap().unwrap();
            assert_eq!(told.refused, gone as u64 + 1);
            assert!(answers.iter_mut().all(|answer| answer.try_recv().is_err()));
            let batch = ring.take(100).unwrap();
            assert_eq!((batch.dropped, batch.ticks[0].samples.len()), (gone as u64 + 1, first));
            assert!(ring.take(100).is_none());
        }
    }

    #[test]
    fn tick_is_answered_when_its_last_sample_is_durable() {
        let ring = Ring::new(Overflow::DropOldest);
        let (mut one, mut other) = (ring.push(tick(2, 1)), ring.push(tick(3, 1)));
        let mut batch = ring.take(4).unwrap();
        assert_eq!(batch.samples(), 2, "a tick isn't torn");
        batch.confirm(1, Enqueued { refused: 0, evicted: 7 });
        assert!(one.try_recv().is_err());
        batch.confirm(1, Enqueued::default());
        assert_eq!(one.try_recv().unwrap().unwrap().evicted, 7);
        assert!(batch.is_empty() && other.try_recv().is_err());
    }

    #[test]
    fn owner_is_told_once_until_it_looks() {
        let ring = Ring::new(Overflow::DropOldest);
        assert_eq!([ring.has_news(), ring.has_news()], [true, false]);
        ring.look();
        assert_eq!([ring.has_news(), ring.has_news()], [true, false]);
    }

    #[test]
    fn closed_ring_takes_nothing() {
        let ring = Ring::new(Overflow::DropOldest);
        ring.close();
        let told = ring.push(tick(1, 1)).try_recv().unwrap();
        assert!(matches!(told, Err(QueueError::Closed)));
    }
}
