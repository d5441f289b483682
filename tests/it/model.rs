//! Does the queue do what a plain list would do, whatever happens in whatever order? Random steps
//! on the real store beside a model; after each step order, figures, ledger and disk are compared.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::Arc,
    time::Duration,
};

use collector::{
    clock::{Clock as _, ManualClock},
    queue::{self, Entry, Options, Overflow, Queue, Stats, Sync, record},
    sample::{Cpu, Metrics, Origin, Sample},
};
use jiff::{SignedDuration, Timestamp};
use proptest::{prelude::*, test_runner::Config};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// What can happen to a queue.
#[derive(Debug, Clone)]
enum Step {
    /// Samples of these sizes come in, in one call.
    Enqueue(Vec<usize>),
    /// So many samples of one size come in, in one call.
    Fill(usize, usize),
    /// At most so many samples and bytes are looked at.
    Peek(usize, u64),
    /// Of what was peeked last, those whose bit is set were delivered; `u64::MAX` is all.
    Acknowledge(u64),
    /// Only so many of the first ones were delivered.
    AcknowledgeFirst(usize),
    /// Seconds pass.
    Pass(i64),
    /// The process ends and another begins.
    Reopen,
}

#[derive(Debug, Clone, Copy)]
struct Setting {
    max_bytes: u64,
    overflow: Overflow,
    max_age: Option<i64>,
    sync: Sync,
}

/// An entry as the model has it.
#[derive(Debug, Clone)]
struct Expected {
    seq: u64,
    bytes: u64,
    timestamp: Timestamp,
    /// Some of its enqueue were refused, and it isn't known which.
    in_doubt: bool,
}

struct Model {
    setting: Setting,
    home: TempDir,
    runtime: Runtime,
    clock: ManualClock,
    queue: Option<Queue>,
    entries: VecDeque<Expected>,
    /// How many of `entries` that are in doubt aren't there.
    missing: u64,
    lent: Vec<Entry>,
    enqueued: u64,
    acknowledged: u64,
    before: Stats,
    contents: BTreeMap<u64, Timestamp>,
}

impl Model {
    fn new(setting: Setting) -> Self {
        let mut model = Self {
            setting,
            home: tempfile::tempdir().unwrap(),
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
            clock: ManualClock::new(Timestamp::from_second(1_790_000_000).unwrap()),
            queue: None,
            entries: VecDeque::new(),
            missing: 0,
            lent: Vec::new(),
            enqueued: 0,
            acknowledged: 0,
            before: Stats::default(),
            contents: BTreeMap::new(),
        };
        model.open();
        model.before = model.stats();
        model
    }

    fn open(&mut self) {
        let options = Options {
            directory: self.home.path().join("queue"),
            max_bytes: self.setting.max_bytes,
            min_free_bytes: 0,
            overflow: self.setting.overflow,
            max_age: self.setting.max_age.map(|age| Duration::from_secs(age.unsigned_abs())),
            sync: self.setting.sync,
        };
        let clock = Arc::new(self.clock.clone());
        let opened = queue::open(options, Some("machine"), clock, Duration::from_secs(5));
        self.queue = Some(opened.unwrap());
    }

    fn stats(&self) -> Stats {
        self.queue.as_ref().unwrap().stats.borrow().clone()
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Enqueue(sizes) => self.enqueue(sizes),
            Step::Fill(count, size) => self.enqueue(&vec![*size; *count]),
            Step::Peek(samples, bytes) => self.peek(*samples, *bytes),
            Step::Acknowledge(mask) => {
                let bit = |at: &usize| mask & (1 << (at % 64)) != 0;
                let chosen: Vec<usize> = (0..self.lent.len()).filter(bit).collect();
                self.acknowledge(&chosen);
            }
            Step::AcknowledgeFirst(count) => {
                let chosen: Vec<usize> = (0..self.lent.len().min(*count)).collect();
                self.acknowledge(&chosen);
            }
            Step::Pass(seconds) => self.clock.advance(*seconds),
            Step::Reopen => {
                self.queue = None;
                self.lent.clear();
                self.open();
                self.drop_oldest(0);
            }
        }
        self.compare(step);
    }

    fn enqueue(&mut self, sizes: &[usize]) {
        let queue = self.queue.as_ref().unwrap();
        let agent_id = queue.stats.borrow().agent_id;
        let samples: Vec<_> = sizes.iter().map(|size| sample(&self.clock, *size)).collect();
        for sample in &samples {
            self.enqueued += 1;
            let record = record::Record { agent_id, sample: sample.clone() };
            let (seq, timestamp) = (self.enqueued, sample.timestamp);
            let bytes = record::pack(&record).unwrap().len() as u64;
            self.entries.push_back(Expected { seq, bytes, timestamp, in_doubt: false });
            self.contents.insert(seq, timestamp);
        }
        let done = self.runtime.block_on(queue.producer.enqueue(samples)).unwrap();
        if done.refused > 0 {
            assert_eq!(self.setting.overflow, Overflow::DropNewest);
            self.missing += done.refused;
            for entry in self.entries.iter_mut().rev().take(sizes.len()) {
                entry.in_doubt = true;
            }
        }
        self.drop_oldest(done.refused);
    }

    /// What was dropped since the last look went from the front, but for what was refused.
    fn drop_oldest(&mut self, refused: u64) {
        let (before, now) = (self.before.ledger.dropped, self.stats().ledger.dropped);
        let expired = now.expired - before.expired;
        let gone = now.overflow - before.overflow - refused + expired;
        for _ in 0..gone {
            let gone = self.pop();
            if now.overflow - before.overflow == refused {
                assert!(self.is_expired(&gone), "expired too early: {gone:?}");
            }
        }
        assert_eq!((now.corrupt, now.purged), (0, 0));
        self.before = self.stats();
    }

    /// The oldest entry that is there goes; the figures tell which of those in doubt never was.
    fn pop(&mut self) -> Expected {
        let first = self.entries.pop_front().unwrap();
        assert!(!first.in_doubt, "this model can't tell what goes first");
        first
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
        for (at, entry) in self.lent.iter().enumerate() {
            while self.entries[at].in_doubt && self.entries[at].seq != entry.seq {
                self.entries.remove(at);
                self.missing -= 1;
            }
            let expected = &mut self.entries[at];
            expected.in_doubt = false;
            assert_eq!((entry.seq, entry.bytes), (expected.seq, expected.bytes));
            assert_eq!(entry.sample.timestamp, self.contents[&entry.seq]);
            assert_eq!(entry.agent_id, agent_id);
        }
        if self.setting.max_age.is_some_and(|_| !self.lent.is_empty()) {
            assert!(!self.is_expired(&self.entries[0]), "{:?}", self.entries[0]);
        }
    }

    fn acknowledge(&mut self, chosen: &[usize]) {
        let chosen: Vec<_> = chosen.iter().map(|at| self.lent[*at].clone()).collect();
        let queue = self.queue.as_mut().unwrap();
        let gone = self.runtime.block_on(queue.consumer.acknowledge(&chosen)).unwrap();
        let there = self.entries.len();
        self.entries.retain(|expected| chosen.iter().all(|entry| entry.seq != expected.seq));
        assert_eq!(gone, (there - self.entries.len()) as u64, "exactly those that were there");
        self.acknowledged += gone;
    }

    fn compare(&mut self, step: &Step) {
        let Stats { queue, ledger, .. } = self.stats();
        assert_eq!(queue.samples, self.entries.len() as u64 - self.missing);
        assert_eq!(ledger.enqueued, self.enqueued, "no number is used twice or left out");
        assert_eq!(ledger.acknowledged, self.acknowledged);
        let left = ledger.acknowledged + ledger.dead_lettered + ledger.dropped.total();
        assert_eq!(ledger.enqueued, left + queue.samples, "the ledger balances");
        if self.missing == 0 {
            assert_eq!(queue.first_seq, self.entries.front().map(|entry| entry.seq));
            assert_eq!(queue.oldest, self.entries.front().map(|entry| entry.timestamp));
            assert_eq!(queue.bytes, self.entries.iter().map(|entry| entry.bytes).sum::<u64>());
        }
        assert_eq!(queue.last_seq, (queue.samples > 0).then_some(self.enqueued));
        // Of a queue whose newest generation refused everything, a reopened one doesn't know.
        let may_not_know = self.setting.overflow == Overflow::DropNewest;
        assert!(queue.newest.is_some() == (queue.samples > 0) || may_not_know, "{queue:?}");
        let on_disk = bytes_below(self.home.path());
        assert!(
            on_disk <= self.setting.max_bytes,
            "{on_disk} bytes on disk after {step:?}: {queue:?}"
        );
        assert!(queue.disk_bytes <= self.setting.max_bytes, "after {step:?}: {queue:?}");
    }

    /// Everything that is left comes out, in order.
    fn drain(&mut self) {
        while self.stats().queue.samples > 0 {
            self.step(&Step::Peek(1_000, 1 << 20));
            self.step(&Step::Acknowledge(u64::MAX));
        }
        assert!(self.entries.iter().all(|entry| entry.in_doubt), "{:?}", self.entries);
        assert_eq!(self.entries.len() as u64, self.missing);
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

fn bytes_below(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            Some(if metadata.is_dir() { bytes_below(&entry.path()) } else { metadata.len() })
        })
        .sum()
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0_usize..900, 2 => 3_000_usize..9_000, 1 => 33_000_usize..120_000]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(size(), 1..8).prop_map(Step::Enqueue),
        4 => (1_usize..12, prop_oneof![Just(1 << 20), 1_u64..20_000])
            .prop_map(|(samples, bytes)| Step::Peek(samples, bytes)),
        2 => Just(Step::Acknowledge(u64::MAX)),
        2 => any::<u64>().prop_map(Step::Acknowledge),
        1 => (0_usize..12).prop_map(Step::AcknowledgeFirst),
        1 => (-20_i64..40).prop_map(Step::Pass),
        1 => Just(Step::Reopen),
    ]
}

/// Steps that make megabytes come and go.
fn large_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (100_usize..250, 2_000_usize..9_000)
            .prop_map(|(count, size)| Step::Fill(count, size)),
        2 => Just(Step::Fill(4, 300)),
        2 => Just(Step::Fill(1, 400_000)),
        3 => (1_usize..300).prop_map(|samples| Step::Peek(samples, 1 << 20)),
        3 => Just(Step::Acknowledge(u64::MAX)),
        1 => any::<u64>().prop_map(Step::Acknowledge),
        1 => Just(Step::Reopen),
    ]
}

fn sync() -> impl Strategy<Value = Sync> {
    prop_oneof![Just(Sync::Always), Just(Sync::Every(Duration::from_mins(1)))]
}

fn config(cases: u32, max_shrink_iters: u32) -> Config {
    Config { cases, max_shrink_iters, failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(config(40, 300))]

    #[test]
    fn queue_does_what_a_list_would_do(
        max_age in prop::option::of(10_i64..60),
        sync in sync(),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let overflow = Overflow::DropOldest;
        let mut model = Model::new(Setting { max_bytes: 100_000_000, overflow, max_age, sync });
        for step in &steps {
            model.step(step);
        }
        model.drain();
    }
}

proptest! {
    #![proptest_config(config(4, 10))]

    #[test]
    fn full_queue_does_what_a_bounded_list_would_do(
        overflow in prop_oneof![Just(Overflow::DropOldest), Just(Overflow::DropNewest)],
        steps in prop::collection::vec(large_step(), 20..40),
    ) {
        let (max_bytes, sync) = (8_000_000, Sync::Every(Duration::from_mins(1)));
        let mut model = Model::new(Setting { max_bytes, overflow, max_age: None, sync });
        for step in &steps {
            model.step(step);
        }
        model.drain();
    }
}
