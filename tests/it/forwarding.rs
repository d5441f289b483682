//! How the forwarder paces itself and what it keeps, on a real queue with a scripted transport.
//! Time is paused: it jumps to the next timer whenever nothing else is left to do.

use std::{
    collections::{BTreeMap, VecDeque},
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use collector::{
    clock::SystemClock,
    encode::{Compression, Limits, Request, json::Json},
    forward::{
        Forwarder, Handle, Options, State, Status,
        flush::{Outcome, Progress, drain},
    },
    queue::{self, Overflow, Owner, Producer, Stats, Sync},
    receiver,
    retry::Policy,
    sample::{Memory, Metrics, Origin, Sample},
    transport::{Delivery, Reason, Transport, http::HttpTransport},
};
use tempfile::TempDir;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::Instant,
};

const SECOND: Duration = Duration::from_secs(1);

/// Answers by script, then accepts everything.
#[derive(Clone, Default)]
struct Scripted {
    script: Arc<Mutex<VecDeque<Step>>>,
    attempts: Arc<Mutex<Vec<(Instant, Request)>>>,
}

enum Step {
    Answer(Delivery),
    /// Answers when told to.
    Wait(oneshot::Receiver<Delivery>),
    Never,
}

impl Scripted {
    fn new(script: impl IntoIterator<Item = Delivery>) -> Self {
        Self::steps(script.into_iter().map(Step::Answer))
    }

    fn steps(steps: impl IntoIterator<Item = Step>) -> Self {
        let script = Arc::new(Mutex::new(steps.into_iter().collect()));
        Self { script, attempts: Arc::default() }
    }

    fn attempts(&self) -> Vec<(Instant, Request)> {
        self.attempts.lock().unwrap().clone()
    }

    /// The range of sequence numbers of each attempt.
    fn ranges(&self) -> Vec<(u64, u64)> {
        self.attempts().iter().map(|(_, sent)| (sent.first_seq, sent.last_seq)).collect()
    }
}

impl Transport for Scripted {
    async fn send(&mut self, request: &Request) -> Delivery {
        self.attempts.lock().unwrap().push((Instant::now(), request.clone()));
        let step = self.script.lock().unwrap().pop_front();
        match step {
            None => Delivery::Accepted,
            Some(Step::Answer(delivery)) => delivery,
            Some(Step::Wait(answer)) => answer.await.unwrap(),
            Some(Step::Never) => pending().await,
        }
    }
}

fn reason(text: &str) -> Reason {
    Reason { status: Some(500), text: text.into() }
}

fn retry() -> Delivery {
    Delivery::Retry { after: None, reason: reason("not now") }
}

fn retry_after(seconds: u64) -> Delivery {
    Delivery::Retry { after: Some(Duration::from_secs(seconds)), reason: reason("not now") }
}

fn hold() -> Delivery {
    Delivery::Hold { reason: reason("bad key") }
}

fn options() -> Options {
    Options {
        limits: Limits { max_samples: 500, max_bytes: 1_000_000 },
        linger: Duration::ZERO,
        compression: Compression::None,
        retry: Policy::try_new(SECOND, 30 * SECOND, 2.0).unwrap(),
    }
}

/// A running forwarder and what belongs to it.
struct Rig {
    producer: Producer,
    stats: watch::Receiver<Stats>,
    handle: Handle,
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
    owner: Owner,
    _directory: TempDir,
}

impl Rig {
    /// Starts a forwarder on a queue that holds `queued` samples.
    async fn start(options: Options, transport: impl Transport + 'static, queued: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let queue_options = queue::Options {
            directory: directory.path().join("queue"),
            max_bytes: 100_000_000,
            min_free_bytes: 0,
            overflow: Overflow::DropOldest,
            max_age: None,
            sync: Sync::Every(60 * SECOND),
        };
        let queue = queue::open(queue_options, None, Arc::new(SystemClock), SECOND).unwrap();
        put(&queue.producer, queue.stats.clone(), queued).await;
        let encoder = Box::new(Json::new(Compression::None));
        let (forwarder, handle) = Forwarder::new(options, queue.consumer, encoder, transport);
        let (stop, stopped) = watch::channel(false);
        Self {
            producer: queue.producer,
            stats: queue.stats,
            handle,
            stop,
            running: tokio::spawn(async { drop(forwarder.run(stopped).await) }),
            owner: queue.owner,
            _directory: directory,
        }
    }

    async fn put(&self, count: u64) {
        put(&self.producer, self.stats.clone(), count).await;
    }

    async fn status(&mut self, wanted: impl FnMut(&Status) -> bool) -> Status {
        self.handle.status.wait_for(wanted).await.unwrap().clone()
    }

    async fn empty(&mut self) {
        self.stats.wait_for(|stats| stats.queue.samples == 0).await.unwrap();
    }

    /// Until so many samples were acknowledged in all.
    async fn acknowledged(&mut self, count: u64) {
        self.stats.wait_for(|stats| stats.ledger.acknowledged == count).await.unwrap();
    }

    fn queued(&self) -> u64 {
        self.stats.borrow().queue.samples
    }

    async fn drain(&self, timeout: Duration) -> (Outcome, Vec<Progress>) {
        let mut told = Vec::new();
        let Handle { status, nudge } = self.handle.clone();
        let outcome =
            drain(self.stats.clone(), status, nudge, timeout, |progress| told.push(progress)).await;
        (outcome, told)
    }

    async fn stop(self) -> Status {
        self.stop.send_replace(true);
        self.running.await.unwrap();
        let last = self.handle.status.borrow();
        last.clone()
    }
}

/// Enqueues, and waits until the figures tell of it.
async fn put(producer: &Producer, mut stats: watch::Receiver<Stats>, count: u64) {
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

#[tokio::test(start_paused = true)]
async fn failed_batch_is_repeated_to_the_letter_until_it_is_accepted() {
    let transport = Scripted::new([retry(), hold(), retry()]);
    let mut rig = Rig::start(options(), transport.clone(), 3).await;
    rig.status(|status| status.consecutive_failures == 1).await;
    rig.put(2).await;
    rig.empty().await;
    let attempts = transport.attempts();
    assert_eq!(attempts.len(), 5);
    assert!(attempts[..4].windows(2).all(|pair| pair[0].1 == pair[1].1));
    assert_eq!(attempts[3].1.last_seq + 1, attempts[4].1.first_seq);
    assert_eq!((attempts[3].1.samples, attempts[4].1.samples), (3, 2));
    let ledger = rig.stats.borrow().ledger;
    assert_eq!((ledger.enqueued, ledger.acknowledged), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn backlog_leaves_in_order_in_full_batches() {
    let transport = Scripted::default();
    let mut rig = Rig::start(options(), transport.clone(), 1_200).await;
    rig.empty().await;
    let ranges = transport.ranges();
    let first = ranges[0].0;
    let expected =
        [(0, 499), (500, 999), (1_000, 1_199)].map(|(from, to)| (first + from, first + to));
    assert_eq!(ranges, expected);
}

#[tokio::test(start_paused = true)]
async fn only_what_a_request_carries_is_settled() {
    let mut options = options();
    options.limits.max_bytes = 2_000;
    let transport = Scripted::default();
    let mut rig = Rig::start(options, transport.clone(), 40).await;
    rig.acknowledged(40).await;
    let attempts = transport.attempts();
    assert!(attempts.len() > 5, "{}", attempts.len());
    assert!(attempts.iter().all(|(_, sent)| sent.body.len() <= 2_000));
    assert_eq!(attempts.iter().map(|(_, sent)| sent.samples).sum::<usize>(), 40);
    assert!(transport.ranges().windows(2).all(|pair| pair[0].1 + 1 == pair[1].0));
}

#[tokio::test(start_paused = true)]
async fn success_starts_the_backoff_over() {
    let mut script: Vec<Delivery> = std::iter::repeat_with(retry).take(8).collect();
    script.extend([Delivery::Accepted, retry()]);
    for _ in 0..5 {
        let transport = Scripted::new(script.clone());
        let mut rig = Rig::start(options(), transport.clone(), 1).await;
        rig.acknowledged(1).await;
        rig.put(1).await;
        rig.acknowledged(2).await;
        let attempts = transport.attempts();
        assert!(attempts[10].0 - attempts[9].0 <= SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn sample_after_a_long_idle_time_leaves_at_once() {
    let transport = Scripted::default();
    let mut rig = Rig::start(options(), transport.clone(), 1).await;
    rig.empty().await;
    for attempts in 2..5 {
        rig.status(|status| status.state == State::Idle).await;
        tokio::time::advance(Duration::from_hours(10)).await;
        let enqueued = Instant::now();
        rig.put(1).await;
        rig.acknowledged(attempts).await;
        assert_eq!(transport.attempts().len() as u64, attempts);
        assert_eq!(transport.attempts().last().unwrap().0, enqueued);
    }
}

#[tokio::test(start_paused = true)]
async fn first_attempt_is_immediate_and_wish_of_the_server_is_honoured() {
    let transport = Scripted::new([retry_after(120), retry_after(0), retry()]);
    let begun = Instant::now();
    let mut rig = Rig::start(options(), transport.clone(), 1).await;
    rig.empty().await;
    let at: Vec<Instant> = transport.attempts().iter().map(|(at, _)| *at).collect();
    assert_eq!(at[0], begun);
    let (wished, unwished) = (at[1] - at[0], at[2] - at[1]);
    assert!((120 * SECOND..121 * SECOND).contains(&wished), "{wished:?}");
    assert!((Duration::from_millis(100)..=3 * SECOND).contains(&unwished), "{unwished:?}");
}

#[tokio::test(start_paused = true)]
async fn dead_server_is_tried_for_ever_and_without_haste() {
    fastrand::seed(7);
    let transport = Scripted::new(std::iter::repeat_with(retry).take(400));
    let begun = Instant::now();
    let mut rig = Rig::start(options(), transport.clone(), 1).await;
    rig.empty().await;
    let attempts = transport.attempts();
    assert_eq!(attempts.len(), 401);
    assert!(begun.elapsed() > Duration::from_hours(1));
    let early = attempts.iter().filter(|(at, _)| *at - begun < 600 * SECOND).count();
    assert!((30..=60).contains(&early), "{early} attempts in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn hold_probes_at_the_slowest_pace_and_loses_nothing() {
    let refused = || Delivery::Rejected { reason: reason("422") };
    let large = Delivery::TooLarge { reason: reason("413") };
    let transport = Scripted::new([hold(), hold(), large, refused()]);
    let begun = Instant::now();
    let mut rig = Rig::start(options(), transport.clone(), 2).await;
    let held = rig.status(|status| status.consecutive_failures == 4).await;
    assert_eq!((held.state, held.last_error.as_deref()), (State::Held, Some("422")));
    assert!(held.next_attempt.is_some() && held.last_success.is_none());
    assert_eq!(rig.queued(), 2);
    rig.empty().await;
    let at: Vec<u64> = transport.attempts().iter().map(|(at, _)| (*at - begun).as_secs()).collect();
    assert_eq!(at, [0, 30, 60, 90, 120]);
    let status = rig.status(|status| status.state == State::Idle).await;
    assert_eq!((status.consecutive_failures, status.last_error), (0, None));
    assert!(status.last_success.is_some());
}

#[tokio::test(start_paused = true)]
async fn nudge_ends_a_wait_at_once() {
    let transport = Scripted::new([retry_after(3_600), hold()]);
    let begun = Instant::now();
    let mut rig = Rig::start(options(), transport.clone(), 1).await;
    rig.status(|status| status.state == State::BackingOff).await;
    rig.handle.nudge.nudge();
    rig.status(|status| status.state == State::Held).await;
    rig.handle.nudge.nudge();
    rig.empty().await;
    assert_eq!(transport.attempts().len(), 3);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn linger_collects_unless_a_request_is_full() {
    let mut options = options();
    options.linger = 60 * SECOND;
    options.limits.max_samples = 10;
    let transport = Scripted::default();
    let mut rig = Rig::start(options, transport.clone(), 3).await;
    let begun = Instant::now();
    rig.acknowledged(3).await;
    let full = Instant::now();
    rig.put(10).await;
    rig.acknowledged(13).await;
    let attempts = transport.attempts();
    assert_eq!((attempts[0].0 - begun, attempts[0].1.samples), (60 * SECOND, 3));
    assert_eq!((attempts[1].0 - full, attempts[1].1.samples), (Duration::ZERO, 10));
}

#[tokio::test(start_paused = true)]
async fn stop_abandons_a_request_in_flight_after_three_seconds() {
    let mut rig = Rig::start(options(), Scripted::steps([Step::Never]), 4).await;
    rig.status(|status| status.state == State::Sending).await;
    let stopped = Instant::now();
    rig.stop.send_replace(true);
    rig.status(|status| status.state == State::Stopped).await;
    assert_eq!(stopped.elapsed(), 3 * SECOND);
    assert_eq!(rig.queued(), 4);
}

#[tokio::test]
async fn stop_lets_a_request_in_flight_end() {
    let (answer, answered) = oneshot::channel();
    let mut rig = Rig::start(options(), Scripted::steps([Step::Wait(answered)]), 4).await;
    rig.status(|status| status.state == State::Sending).await;
    rig.stop.send_replace(true);
    tokio::task::yield_now().await;
    answer.send(Delivery::Accepted).unwrap();
    rig.status(|status| status.state == State::Stopped).await;
    rig.acknowledged(4).await;
}

#[tokio::test(start_paused = true)]
async fn stop_ends_every_wait_at_once() {
    for (script, queued) in [(vec![], 0), (vec![retry_after(3_600)], 1), (vec![hold()], 1)] {
        let failing = u64::from(!script.is_empty());
        let mut rig = Rig::start(options(), Scripted::new(script), queued).await;
        rig.status(|status| status.consecutive_failures == failing).await;
        let stopped = Instant::now();
        let status = rig.stop().await;
        assert_eq!((status.state, status.next_attempt), (State::Stopped, None));
        assert_eq!(stopped.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn closed_queue_ends_the_forwarder() {
    let mut rig = Rig::start(options(), Scripted::new([]), 0).await;
    rig.status(|status| status.state == State::Idle).await;
    let Rig { owner, running, .. } = rig;
    owner.close();
    running.await.unwrap();
}

#[tokio::test]
async fn flush_ends_a_backoff_and_tells_its_progress() {
    let mut options = options();
    options.limits.max_samples = 2;
    let transport = Scripted::new([retry_after(3_600)]);
    let mut rig = Rig::start(options, transport, 5).await;
    rig.status(|status| status.state == State::BackingOff).await;
    let begun = Instant::now();
    let (outcome, told) = rig.drain(60 * SECOND).await;
    assert_eq!(outcome, Outcome::Drained { delivered: 5, dead_lettered: 0, dropped: 0 });
    assert_eq!(told.first(), Some(&Progress { delivered: 0, remaining: 5 }));
    assert_eq!(told.last(), Some(&Progress { delivered: 5, remaining: 0 }));
    assert!(begun.elapsed() < 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn flush_of_an_empty_queue_is_done() {
    let rig = Rig::start(options(), Scripted::default(), 0).await;
    let (outcome, _) = rig.drain(SECOND).await;
    assert_eq!(outcome, Outcome::Drained { delivered: 0, dead_lettered: 0, dropped: 0 });
}

#[tokio::test]
async fn flush_makes_one_attempt_in_a_hold() {
    let transport = Scripted::new([hold(), hold(), hold()]);
    let mut rig = Rig::start(options(), transport.clone(), 2).await;
    rig.status(|status| status.state == State::Held).await;
    let (outcome, _) = rig.drain(60 * SECOND).await;
    let reason = "bad key".to_owned();
    assert_eq!(outcome, Outcome::Held { delivered: 0, remaining: 2, reason });
    assert_eq!(transport.attempts().len(), 2);
}

#[tokio::test]
async fn flush_does_not_take_an_attempt_in_flight_for_its_own() {
    let (answer, answered) = oneshot::channel();
    let steps = [Step::Wait(answered), Step::Answer(hold()), Step::Answer(hold())];
    let transport = Scripted::steps(steps);
    let mut rig = Rig::start(options(), transport.clone(), 2).await;
    rig.status(|status| status.state == State::Sending).await;
    let answering = async {
        tokio::task::yield_now().await;
        answer.send(hold()).unwrap();
    };
    let ((outcome, _), ()) = tokio::join!(rig.drain(60 * SECOND), answering);
    assert!(matches!(outcome, Outcome::Held { .. }), "{outcome:?}");
    assert_eq!(transport.attempts().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn flush_keeps_trying_until_its_time_is_over() {
    let transport = Scripted::new(std::iter::repeat_with(retry).take(50));
    let mut rig = Rig::start(options(), transport.clone(), 2).await;
    rig.status(|status| status.state == State::BackingOff).await;
    let begun = Instant::now();
    let (outcome, _) = rig.drain(60 * SECOND).await;
    let reason = Some("not now".to_owned());
    assert_eq!(outcome, Outcome::TimedOut { delivered: 0, remaining: 2, reason });
    assert_eq!(begun.elapsed(), 60 * SECOND);
    assert!(transport.attempts().len() > 3);
}

#[tokio::test]
async fn flush_does_not_wait_for_a_linger() {
    let mut options = options();
    options.linger = Duration::from_hours(1);
    let rig = Rig::start(options, Scripted::default(), 2).await;
    let (outcome, _) = rig.drain(10 * SECOND).await;
    assert_eq!(outcome, Outcome::Drained { delivered: 2, dead_lettered: 0, dropped: 0 });
}

#[tokio::test]
async fn flush_hears_of_the_end_of_the_forwarder() {
    let mut rig = Rig::start(options(), Scripted::new([hold()]), 2).await;
    rig.status(|status| status.state == State::Held).await;
    rig.stop.send_replace(true);
    rig.status(|status| status.state == State::Stopped).await;
    let (outcome, _) = rig.drain(10 * SECOND).await;
    assert_eq!(outcome, Outcome::Stopped { delivered: 0, remaining: 2 });
}

#[tokio::test]
async fn every_sample_of_an_outage_arrives_once() {
    let listen = "127.0.0.1:0".parse().unwrap();
    let options_of = |listen| receiver::Options { listen, api_key: None, output: None };
    let reserved = receiver::Receiver::bind(options_of(listen)).await.unwrap();
    let address = reserved.local_addr();
    drop(reserved);
    let url = format!("http://{address}/api/v1/metrics");
    let transport = HttpTransport::new(crate::delivery::options(&url)).unwrap();
    let mut options = options();
    let milliseconds = Duration::from_millis;
    options.retry = Policy::try_new(milliseconds(10), milliseconds(50), 2.0).unwrap();
    let mut rig = Rig::start(options, transport, 700).await;
    let status = rig.status(|status| status.consecutive_failures == 3).await;
    let refused = format!("connection refused ({address})");
    assert_eq!(status.last_error, Some(refused));
    rig.put(50).await;
    let receiver = receiver::Receiver::bind(options_of(address)).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(receiver.serve(async { drop::<Result<(), _>>(stopped.await) }));
    rig.empty().await;
    rig.stop().await;
    stop.send(()).unwrap();
    let totals = serving.await.unwrap();
    assert_eq!((totals.accepted, totals.duplicates, totals.gaps), (750, 0, 0));
}
