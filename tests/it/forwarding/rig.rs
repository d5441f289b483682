//! The rig: a real queue, a real forwarder, a transport that answers by script. Time is paused in most
//! tests: it jumps to the next timer whenever nothing else is left to do.

use std::{
    collections::{BTreeMap, VecDeque},
    future::pending,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use collector::{
    clock::{Clock, SystemClock},
    encode::{Compression, Limits, Request, json::Json},
    forward::{
        Forwarder, Handle, Options, State, Status,
        flush::{Outcome, Progress, drain},
    },
    queue::{self, Overflow, Owner, Producer, Queue, Stats, Sync},
    retry::Policy,
    sample::{Memory, Metrics, Origin, Sample},
    transport::{Delivery, Late, Reason, Transport},
};
use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    sync::{Notify, oneshot, watch},
    task::JoinHandle,
    time::Instant,
};

pub(super) const SECOND: Duration = Duration::from_secs(1);
/// Of a test, in real time.
const PATIENCE: Duration = Duration::from_mins(2);

/// What a server answers to a request; its number from 0 and its samples' numbers.
type Judge = dyn FnMut(usize, &[u64]) -> Delivery + Send;

/// Answers by script, then as its judge says; without one it accepts everything.
#[derive(Clone, Default)]
pub(super) struct Scripted {
    script: Arc<Mutex<VecDeque<Step>>>,
    judge: Option<Arc<Mutex<Judge>>>,
    attempts: Arc<Mutex<Vec<(Instant, Request)>>>,
    changed: Arc<Notify>,
    begun: Arc<watch::Sender<usize>>,
}

pub(super) enum Step {
    Answer(Delivery),
    /// Answers when told to.
    Wait(oneshot::Receiver<Delivery>),
    Never,
}

impl Scripted {
    pub(super) fn new(script: impl IntoIterator<Item = Delivery>) -> Self {
        Self::steps(script.into_iter().map(Step::Answer))
    }

    pub(super) fn steps(steps: impl IntoIterator<Item = Step>) -> Self {
        let script = Arc::new(Mutex::new(steps.into_iter().collect()));
        Self { script, ..Self::default() }
    }

    pub(super) fn judging(judge: impl FnMut(usize, &[u64]) -> Delivery + Send + 'static) -> Self {
        Self { judge: Some(Arc::new(Mutex::new(judge))), ..Self::default() }
    }

    /// Tells the forwarder that something has changed that may end a hold.
    pub(super) fn change(&self) {
        self.changed.notify_one();
    }

    pub(super) fn attempts(&self) -> Vec<(Instant, Request)> {
        self.attempts.lock().unwrap().clone()
    }

    /// Until so many attempts have begun.
    pub(super) async fn attempted(&self, count: usize) {
        in_time(self.begun.subscribe().wait_for(|begun| *begun >= count)).await.unwrap();
    }

    /// The samples of each attempt.
    pub(super) fn seqs(&self) -> Vec<Vec<u64>> {
        self.attempts().iter().map(|(_, sent)| seqs(sent)).collect()
    }

    /// The range of sequence numbers of each attempt.
    pub(super) fn ranges(&self) -> Vec<(u64, u64)> {
        self.attempts().iter().map(|(_, sent)| (sent.first_seq, sent.last_seq)).collect()
    }
}

impl Transport for Scripted {
    async fn send(&mut self, request: &Request) -> Delivery {
        self.attempts.lock().unwrap().push((Instant::now(), request.clone()));
        self.begun.send_modify(|begun| *begun += 1);
        let step = self.script.lock().unwrap().pop_front();
        match step {
            None => match &self.judge {
                None => Delivery::Accepted,
                Some(judge) => {
                    let number = self.attempts.lock().unwrap().len() - 1;
                    judge.lock().unwrap()(number, &seqs(request))
                }
            },
            Some(Step::Answer(delivery)) => delivery,
            Some(Step::Wait(answer)) => answer.await.unwrap(),
            Some(Step::Never) => pending().await,
        }
    }

    async fn changed(&mut self) {
        self.changed.notified().await;
    }
}

/// The numbers of a request's samples.
pub(super) fn seqs(request: &Request) -> Vec<u64> {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let samples = body["samples"].as_array().unwrap();
    samples.iter().map(|sample| sample["seq"].as_u64().unwrap()).collect()
}

pub(super) fn reason(status: Option<u16>, text: &str) -> Reason {
    Reason { status, text: text.into() }
}

pub(super) fn retry() -> Delivery {
    Delivery::Retry { after: None, reason: reason(Some(503), "not now"), late: Late::No }
}

pub(super) fn retry_after(seconds: u64) -> Delivery {
    let after = Some(Duration::from_secs(seconds));
    Delivery::Retry { after, reason: reason(Some(503), "not now"), late: Late::No }
}

pub(super) fn timed_out(late: Late) -> Delivery {
    Delivery::Retry { after: None, reason: reason(None, "timed out"), late }
}

pub(super) fn hold() -> Delivery {
    Delivery::Hold { reason: reason(Some(401), "bad key") }
}

pub(super) fn too_large() -> Delivery {
    Delivery::TooLarge { reason: reason(Some(413), "413"), answer: "too large".into() }
}

pub(super) fn rejected() -> Delivery {
    Delivery::Rejected { reason: reason(Some(422), "422"), answer: "bad sample".into() }
}

/// Refuses requests that hold one of these samples, counted from 1.
pub(super) fn refusing(bad: &[u64]) -> Scripted {
    let bad = bad.to_vec();
    Scripted::judging(move |_, seqs| {
        if seqs.iter().any(|seq| bad.contains(seq)) { rejected() } else { Delivery::Accepted }
    })
}

pub(super) fn options() -> Options {
    Options {
        limits: Limits { max_samples: 500, max_bytes: 1_000_000 },
        linger: Duration::ZERO,
        compression: Compression::None,
        retry: Policy::try_new(SECOND, 30 * SECOND, 2.0).unwrap(),
        replay_rate: None,
    }
}

/// A running forwarder and what belongs to it.
pub(super) struct Rig<T = Scripted> {
    pub(super) producer: Producer,
    pub(super) stats: watch::Receiver<Stats>,
    pub(super) handle: Handle,
    pub(super) stop: watch::Sender<bool>,
    /// Gives the forwarder back only if it is to go on.
    pub(super) running: JoinHandle<Option<Forwarder<T>>>,
    goes_on: Arc<AtomicBool>,
    pub(super) owner: Owner,
    pub(super) directory: TempDir,
}

impl<T: Transport + 'static> Rig<T> {
    /// Starts a forwarder on a queue that holds `queued` samples.
    pub(super) async fn start(options: Options, transport: T, queued: u64) -> Self {
        Self::resume(options, transport, queued, tempfile::tempdir().unwrap()).await
    }

    /// Starts a forwarder on the queue in `directory`, after `more` samples were added.
    pub(super) async fn resume(
        options: Options,
        transport: T,
        more: u64,
        directory: TempDir,
    ) -> Self {
        let queue = open(directory.path());
        put(&queue.producer, queue.stats.clone(), more).await;
        let encoder = Box::new(Json::new(Compression::None));
        let (forwarder, handle) = Forwarder::new(options, queue.consumer, encoder, transport);
        let forwarder = forwarder.with_clock(Arc::new(Virtual::default()));
        let (stop, stopped) = watch::channel(false);
        let goes_on = Arc::default();
        Self {
            producer: queue.producer,
            stats: queue.stats,
            handle,
            stop,
            running: tokio::spawn(run(forwarder, stopped, Arc::clone(&goes_on))),
            goes_on,
            owner: queue.owner,
            directory,
        }
    }

    /// Ends the forwarder wherever it is, as a killed process would, and gives its queue back.
    pub(super) async fn kill(self) -> TempDir {
        self.running.abort();
        assert!(self.running.await.is_err());
        self.owner.close();
        self.directory
    }

    /// What became of all samples: acknowledged, dead letters, still queued.
    pub(super) fn fate(&self) -> (u64, u64, u64) {
        let Stats { queue, ledger, .. } = &*self.stats.borrow();
        (ledger.acknowledged, ledger.dead_lettered, queue.samples)
    }

    /// Until the queue is empty and the forwarder is done with it.
    pub(super) async fn idle(&mut self) {
        self.empty().await;
        self.status(|status| status.state == State::Idle).await;
    }

    pub(super) async fn put(&self, count: u64) {
        put(&self.producer, self.stats.clone(), count).await;
    }

    pub(super) async fn status(&mut self, wanted: impl FnMut(&Status) -> bool) -> Status {
        in_time(self.handle.status.wait_for(wanted)).await.unwrap().clone()
    }

    pub(super) async fn empty(&mut self) {
        in_time(self.stats.wait_for(|stats| stats.queue.samples == 0)).await.unwrap();
    }

    /// Until so many samples were acknowledged in all.
    pub(super) async fn acknowledged(&mut self, count: u64) {
        in_time(self.stats.wait_for(|stats| stats.ledger.acknowledged == count)).await.unwrap();
    }

    pub(super) fn queued(&self) -> u64 {
        self.stats.borrow().queue.samples
    }

    pub(super) async fn drain(&self, timeout: Duration) -> (Outcome, Vec<Progress>) {
        let mut told = Vec::new();
        let Handle { status, nudge } = self.handle.clone();
        let outcome =
            drain(self.stats.clone(), status, nudge, timeout, |progress| told.push(progress)).await;
        (outcome, told)
    }

    /// Stops the forwarder and has it go on with others of what it may be given anew.
    pub(super) async fn renew(mut self, options: Options, transport: T) -> Self {
        self.goes_on.store(true, Relaxed);
        self.stop.send_replace(true);
        let encoder = Box::new(Json::new(options.compression));
        let forwarder = self.running.await.unwrap().unwrap();
        let forwarder = forwarder.renewed(options, encoder, transport);
        let (stop, stopped) = watch::channel(false);
        self.goes_on.store(false, Relaxed);
        self.running = tokio::spawn(run(forwarder, stopped, Arc::clone(&self.goes_on)));
        self.stop = stop;
        self
    }

    pub(super) async fn stop(self) -> Status {
        self.stop.send_replace(true);
        self.running.await.unwrap();
        let last = self.handle.status.borrow();
        last.clone()
    }
}

/// The forwarder is gone at its end, as that of a stopped agent, unless it goes on.
async fn run<T: Transport>(
    forwarder: Forwarder<T>,
    stopped: watch::Receiver<bool>,
    goes_on: Arc<AtomicBool>,
) -> Option<Forwarder<T>> {
    let forwarder = forwarder.run(stopped).await;
    goes_on.load(Relaxed).then_some(forwarder)
}

/// Waits, but not for ever. The deadline is a thread's: a timer of the runtime would make paused time
/// leap while the queue works.
async fn in_time<T>(wanted: impl Future<Output = T>) -> T {
    let (waiting, done) = mpsc::channel::<()>();
    let (tell, too_late) = oneshot::channel();
    thread::spawn(move || {
        if done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tell.send(()).ok();
        }
    });
    let found = tokio::select! {
        found = wanted => found,
        Ok(()) = too_late => panic!("it didn't come true within {PATIENCE:?}"),
    };
    drop(waiting);
    found
}

/// A wall clock that follows the runtime's time, paused or not.
struct Virtual(Instant);

impl Default for Virtual {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        let start: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        start.saturating_add(self.0.elapsed()).unwrap()
    }
}

pub(super) fn queue_options(directory: &Path) -> queue::Options {
    queue::Options {
        directory: directory.join("queue"),
        max_bytes: 100_000_000,
        min_free_bytes: 0,
        overflow: Overflow::DropOldest,
        max_age: None,
        sync: Sync::Every(60 * SECOND),
    }
}

/// The queue of a rig in `directory`.
pub(super) fn open(directory: &Path) -> Queue {
    queue::open(queue_options(directory), None, Arc::new(SystemClock), SECOND).unwrap()
}

/// Enqueues, and waits until the figures tell of it.
pub(super) async fn put(producer: &Producer, mut stats: watch::Receiver<Stats>, count: u64) {
    let origin = Arc::new(Origin { host: "h".into(), tags: BTreeMap::new(), boot_id: [0; 16] });
    let sample = |_| Sample {
        timestamp: "2026-11-22T19:11:32Z".parse().unwrap(),
        since_boot: None,
        origin: Arc::clone(&origin),
        interval: 5 * SECOND,
        metrics: Metrics::Memory(Memory::default()),
    };
    if count > 0 {
        let before = stats.borrow().ledger.enqueued;
        let _counted = producer.enqueue((0..count).map(sample).collect()).await.unwrap();
        stats.wait_for(|stats| stats.ledger.enqueued >= before + count).await.unwrap();
    }
}
