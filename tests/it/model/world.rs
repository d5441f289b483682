//! The real queue beside a list. The list can't know when files are full, so what the queue says it
//! dropped is taken from the list's front; all else is compared.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use collector::{
    clock::{Clock as _, ManualClock},
    queue::{self, Entry, Loss, Options, Overflow, Queue, Stats, record},
    sample::{Cpu, Metrics, Origin, Sample},
};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::{runtime::Runtime, time::timeout};

use crate::support::copy_tree;

use super::{
    crash::{self, Loses},
    plan::{Setting, Step},
    report::Told,
};

/// Less room that was promised must be made within this time.
const EVICTION: Duration = Duration::from_secs(10);

/// An entry as the list has it.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) seq: u64,
    bytes: u64,
    timestamp: Timestamp,
    /// Some of its enqueue were refused, and it isn't known which.
    in_doubt: bool,
}

/// The list, and what became of everything that ever was in it.
#[derive(Debug, Clone, Default)]
pub(super) struct List {
    pub(super) entries: VecDeque<Expected>,
    /// How many of `entries` that are in doubt aren't there.
    pub(super) missing: u64,
    enqueued: u64,
    pub(super) acknowledged: u64,
    /// Numbers that were acknowledged.
    pub(super) delivered: BTreeSet<u64>,
    /// Dead letters by number, and how many were thrown away.
    pub(super) dead: BTreeSet<u64>,
    pub(super) purged: u64,
    /// The figures after the last step.
    before: Stats,
}

/// The real queue beside a list.
pub(super) struct World {
    setting: Setting,
    home: TempDir,
    /// Each crash goes on in a directory of its own.
    lives: u32,
    pub(super) runtime: Runtime,
    clock: ManualClock,
    pub(super) queue: Option<Queue>,
    pub(super) list: List,
    pub(super) lent: Vec<Entry>,
    pub(super) contents: BTreeMap<u64, Timestamp>,
    pub(super) told: Told,
    steps: u32,
}

impl List {
    pub(super) fn enqueued(&self) -> u64 {
        self.enqueued
    }
}

impl World {
    /// An empty queue and an empty list.
    pub(super) fn new(setting: Setting) -> Self {
        let mut world = Self {
            setting,
            home: tempfile::tempdir().unwrap(),
            lives: 0,
            runtime: tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap(),
            clock: ManualClock::new(Timestamp::from_second(1_790_000_000).unwrap()),
            queue: None,
            list: List::default(),
            lent: Vec::new(),
            contents: BTreeMap::new(),
            told: Told::default(),
            steps: 0,
        };
        world.open();
        world.list.before = world.stats();
        world
    }

    fn directory(&self) -> PathBuf {
        self.home.path().join(format!("queue-{}", self.lives))
    }

    fn open(&mut self) {
        let options = Options {
            directory: self.directory(),
            max_bytes: self.setting.max_bytes,
            // No disk has so much free space.
            min_free_bytes: if self.setting.disk_full { u64::MAX } else { 0 },
            overflow: self.setting.overflow,
            max_age: self.setting.max_age.map(|age| Duration::from_secs(age.unsigned_abs())),
            sync: self.setting.sync,
        };
        let clock = Arc::new(self.clock.clone());
        let opened = queue::open(options, Some("machine"), clock, Duration::from_secs(5));
        self.queue = Some(opened.unwrap());
    }

    pub(super) fn stats(&self) -> Stats {
        self.queue.as_ref().unwrap().stats.borrow().clone()
    }

    /// Does a step and compares. `setting` is that after the step.
    pub(super) fn step(&mut self, setting: Setting, step: &Step) {
        self.setting = setting;
        match step {
            Step::Enqueue(sizes) => self.enqueue(sizes),
            Step::Trickle(count, size) => (0..*count).for_each(|_| self.enqueue(&[*size])),
            Step::Fill(count, size) => self.enqueue(&vec![*size; *count]),
            Step::Peek(samples, bytes) => self.peek(*samples, *bytes),
            Step::Acknowledge(mask) => self.acknowledge_some(*mask),
            Step::AcknowledgeFirst(count) => {
                let chosen: Vec<usize> = (0..self.lent.len().min(*count)).collect();
                self.acknowledge(&chosen);
            }
            Step::Report(most) => self.report(*most),
            Step::SetAside(mask) => self.set_aside(*mask),
            Step::Revive(killed) => self.revive(*killed),
            Step::PurgeDead => self.purge_dead(),
            Step::Pass(seconds) => self.clock.advance(*seconds),
            Step::Reopen | Step::Cap(_) | Step::DiskFull(_) => self.reopen(),
            Step::Kill => self.kill(),
            Step::PowerCut(loses, mask) => self.cut_power(*loses, *mask),
        }
        self.compare(step);
    }

    fn reopen(&mut self) {
        self.queue = None;
        self.begin();
    }

    /// Begins a process on what the last one left: nothing that was confirmed may have gone.
    fn begin(&mut self) {
        self.lent.clear();
        self.open();
        self.drop_oldest(0);
        self.wait_for_room();
    }

    /// A cap that was lowered may be reached in the background.
    fn wait_for_room(&mut self) {
        let mut stats = self.queue.as_ref().unwrap().stats.clone();
        let cap = self.setting.max_bytes;
        let reached = stats.wait_for(|stats| stats.queue.disk_bytes <= cap);
        let reached = self.runtime.block_on(async { timeout(EVICTION, reached).await.is_ok() });
        assert!(reached, "the cap isn't reached: {:?}", self.stats());
        self.drop_oldest(0);
    }

    pub(super) fn kill(&mut self) {
        let left = self.directory();
        self.lives += 1;
        copy_tree(&left, &self.directory());
        self.queue = None;
        std::fs::remove_dir_all(left).unwrap();
        self.begin();
    }

    /// After a confirmed enqueue all that was appended is on stable storage. What leaves later may
    /// come back with a power cut; what was confirmed is there in any case.
    fn cut_power(&mut self, loses: Loses, mask: u64) {
        self.enqueue(&[300]);
        let synced = self.home.path().join("synced");
        copy_tree(&self.directory(), &synced);
        let then = self.list.clone();
        self.peek(40, 1 << 20);
        self.acknowledge_some(mask);
        let directory = self.directory();
        self.lives += 1;
        copy_tree(&directory, &self.directory());
        self.queue = None;
        crash::cut_power(&self.directory(), &synced, loses);
        for gone in [directory, synced] {
            std::fs::remove_dir_all(gone).unwrap();
        }
        self.lent.clear();
        self.open();
        let came_back = self.stats().ledger.acknowledged == then.acknowledged;
        match loses {
            Loses::AllSinceTheSync => assert!(came_back),
            Loses::RemovalsOfDirectories => {
                assert_eq!(self.stats().ledger.acknowledged, self.list.acknowledged);
            }
            Loses::OldestFile => {}
        }
        if came_back {
            self.list = then;
        }
        self.drop_oldest(0);
    }

    fn enqueue(&mut self, sizes: &[usize]) {
        let queue = self.queue.as_ref().unwrap();
        let agent_id = queue.stats.borrow().agent_id;
        let samples: Vec<_> = sizes.iter().map(|size| sample(&self.clock, *size)).collect();
        for sample in &samples {
            self.list.enqueued += 1;
            let record = record::Record { agent_id, sample: sample.clone() };
            let (seq, timestamp) = (self.list.enqueued, sample.timestamp);
            let bytes = record::pack(&record).unwrap().len() as u64;
            self.list.entries.push_back(Expected { seq, bytes, timestamp, in_doubt: false });
            self.contents.insert(seq, timestamp);
        }
        let done = self.runtime.block_on(queue.producer.enqueue(samples)).unwrap();
        if done.refused > 0 {
            assert_eq!(self.setting.overflow, Overflow::DropNewest);
            self.list.missing += done.refused;
            for entry in self.list.entries.iter_mut().rev().take(sizes.len()) {
                entry.in_doubt = true;
            }
        }
        self.drop_oldest(done.refused);
    }

    /// What was dropped since the last look went from the front, but for what was refused.
    pub(super) fn drop_oldest(&mut self, refused: u64) {
        let (before, now) = (self.list.before.ledger.dropped, self.stats().ledger.dropped);
        let expired = now.expired - before.expired;
        let gone = now.overflow - before.overflow - refused + expired;
        for _ in 0..gone {
            let gone = self.list.entries.pop_front().unwrap();
            assert!(!gone.in_doubt, "this list can't tell what goes first");
            if now.overflow - before.overflow == refused {
                assert!(self.is_expired(&gone), "expired too early: {gone:?}");
            }
        }
        assert_eq!((now.corrupt, now.purged), (0, self.list.purged));
        let agent_id = self.stats().agent_id;
        let known = self.list.before.agent_id;
        assert!(known.is_nil() || known == agent_id, "nothing was lost: the identity stays");
        self.list.before = self.stats();
    }

    fn is_expired(&self, entry: &Expected) -> bool {
        let age = self.clock.now().duration_since(entry.timestamp);
        let max_age = self.setting.max_age.map(SignedDuration::from_secs);
        max_age.is_some_and(|max_age| age > max_age)
    }

    fn peek(&mut self, samples: usize, bytes: u64) {
        let queue = self.queue.as_mut().unwrap();
        let agent_id = queue.stats.borrow().agent_id;
        self.lent = self.runtime.block_on(queue.consumer.peek(samples, bytes)).unwrap();
        self.drop_oldest(0);
        if self.lent.is_empty() {
            assert_eq!(self.stats().queue.samples, 0);
        }
        assert!(self.lent.len() <= samples.max(1));
        let payload: u64 = self.lent.iter().map(|entry| entry.bytes).sum();
        assert!(payload <= bytes || self.lent.len() == 1, "{payload} > {bytes}");
        let list = &mut self.list;
        for (at, entry) in self.lent.iter().enumerate() {
            while list.entries[at].in_doubt && list.entries[at].seq != entry.seq {
                list.entries.remove(at);
                list.missing -= 1;
            }
            let expected = &mut list.entries[at];
            expected.in_doubt = false;
            assert_eq!((entry.seq, entry.bytes), (expected.seq, expected.bytes));
            assert_eq!(entry.sample.timestamp, self.contents[&entry.seq]);
            assert_eq!(entry.agent_id, agent_id);
        }
        if self.setting.max_age.is_some_and(|_| !self.lent.is_empty()) {
            assert!(!self.is_expired(&self.list.entries[0]), "{:?}", self.list.entries[0]);
        }
    }

    fn acknowledge_some(&mut self, mask: u64) {
        let bit = |at: &usize| mask & (1 << (at % 64)) != 0;
        let chosen: Vec<usize> = (0..self.lent.len()).filter(bit).collect();
        self.acknowledge(&chosen);
    }

    fn acknowledge(&mut self, chosen: &[usize]) {
        let chosen: Vec<_> = chosen.iter().map(|at| self.lent[*at].seq).collect();
        self.acknowledge_seqs(&chosen, &[]);
    }

    pub(super) fn acknowledge_seqs(&mut self, seqs: &[u64], losses: &[Loss]) {
        let chosen: Vec<_> =
            self.lent.iter().filter(|entry| seqs.contains(&entry.seq)).cloned().collect();
        let queue = self.queue.as_mut().unwrap();
        let gone = self.runtime.block_on(queue.consumer.acknowledge_with(&chosen, losses)).unwrap();
        let there = self.list.entries.len();
        let list = &mut self.list;
        let here = list.entries.iter().filter(|expected| seqs.contains(&expected.seq));
        list.delivered.extend(here.map(|expected| expected.seq));
        list.entries.retain(|expected| !seqs.contains(&expected.seq));
        let left = (there - self.list.entries.len()) as u64;
        assert_eq!(gone, left, "exactly those that were there");
        self.list.acknowledged += gone;
    }

    fn compare(&mut self, step: &Step) {
        let Stats { queue, ledger, .. } = self.stats();
        let list = &self.list;
        assert_eq!(queue.samples, list.entries.len() as u64 - list.missing, "after {step:?}");
        assert_eq!(ledger.enqueued, list.enqueued, "no number is used twice or left out");
        assert_eq!(ledger.acknowledged, list.acknowledged, "after {step:?}");
        let dead = list.dead.len() as u64;
        assert_eq!((ledger.dead_lettered, queue.dead_letters), (dead, dead), "after {step:?}");
        let left = ledger.acknowledged + ledger.dead_lettered + ledger.dropped.total();
        assert_eq!(ledger.enqueued, left + queue.samples, "the ledger balances");
        if list.missing == 0 {
            assert_eq!(queue.first_seq, list.entries.front().map(|entry| entry.seq));
            assert_eq!(queue.oldest, list.entries.front().map(|entry| entry.timestamp));
            assert_eq!(queue.bytes, list.entries.iter().map(|entry| entry.bytes).sum::<u64>());
        }
        assert_eq!(queue.last_seq, (queue.samples > 0).then_some(list.enqueued));
        // Of a queue whose newest generation refused everything, a reopened one doesn't know.
        let may_not_know = self.setting.overflow == Overflow::DropNewest;
        assert!(queue.newest.is_some() == (queue.samples > 0) || may_not_know, "{queue:?}");
        let on_disk = crash::bytes_below(&self.directory());
        let cap = self.setting.max_bytes;
        assert!(on_disk <= cap, "{on_disk} bytes on disk after {step:?}: {queue:?}");
        assert!(queue.disk_bytes <= cap, "after {step:?}: {queue:?}");
        self.steps += 1;
        // Looking changes what is joined with what.
        if self.steps.is_multiple_of(3) {
            self.compare_report();
        }
    }

    /// Everything that is left comes out, in order.
    pub(super) fn drain(&mut self) {
        let setting = self.setting;
        while self.stats().queue.samples > 0 {
            self.step(setting, &Step::Peek(1_000, 1 << 20));
            self.step(setting, &Step::Acknowledge(u64::MAX));
        }
        self.compare_report();
        let list = &self.list;
        assert!(list.entries.iter().all(|entry| entry.in_doubt), "{:?}", list.entries);
        assert_eq!(list.entries.len() as u64, list.missing);
    }
}

fn sample(clock: &ManualClock, size: usize) -> Sample {
    // The clock moves within a tick as well.
    clock.advance(1);
    let origin = Origin { host: "x".repeat(size), ..Origin::default() };
    Sample {
        timestamp: clock.now(),
        since_boot: None,
        origin: Arc::new(origin),
        interval: Duration::from_secs(5),
        metrics: Metrics::Cpu(Cpu::default()),
    }
}
