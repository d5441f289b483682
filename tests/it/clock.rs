//! What happens to samples when the wall clock is set: a host that begins in 1970 and learns the time an
//! hour later, one whose clock is set back, one that was started again in between.

use std::{sync::Arc, time::Duration};

use collector::{
    clock::{Clock as _, ManualClock},
    encode::{Compression, Encoder as _, Limits, json::Json},
    queue::{self, Attached, Entry, Options, Queue, Reason, Selection},
    sample::{Cpu, Metrics, Origin, Sample},
};
use jiff::Timestamp;
use serde_json::Value;

use crate::queue::options;

const HOUR: i64 = 3_600;
/// From 1970 to the end of 2026.
const LATE: i64 = 1_795_500_000;

struct Host {
    clock: ManualClock,
    queue: Queue,
    options: Options,
}

impl Host {
    fn start(directory: &std::path::Path, clock: ManualClock) -> Self {
        let max_age = Some(Duration::from_hours(24));
        let options = Options { max_age, ..options(directory) };
        Self { queue: open(&options, &clock), options, clock }
    }

    /// Another process, perhaps in another boot.
    fn restart(self) -> Self {
        let Self { clock, queue, options } = self;
        drop(queue);
        Self { queue: open(&options, &clock), options, clock }
    }

    async fn sample(&self) {
        let now = self.clock.moment();
        let origin = Origin { boot_id: now.boot_id, ..Origin::default() };
        let sample = Sample {
            timestamp: now.wall,
            since_boot: now.since_boot,
            origin: Arc::new(origin),
            interval: Duration::from_secs(5),
            metrics: Metrics::Cpu(Cpu::default()),
        };
        let _counted = self.queue.producer.enqueue(vec![sample]).await.unwrap();
    }

    async fn entries(&mut self) -> Vec<Entry> {
        self.queue.consumer.peek(100, 1 << 20).await.unwrap()
    }

    fn expired(&self) -> u64 {
        self.queue.stats.borrow().ledger.dropped.expired
    }

    /// Times as they are sent, and as they were recorded where that differs.
    async fn sent(&mut self) -> Vec<(String, Option<String>)> {
        let attached = Attached { losses: Vec::new(), clocks: self.clock.moment() };
        let limits = Limits { max_samples: 100, max_bytes: 1_000_000 };
        let entries = self.entries().await;
        let body = Json::new(Compression::None).encode(&entries, limits, &attached).body;
        let body: Value = serde_json::from_slice(&body).unwrap();
        let samples = body["samples"].as_array().unwrap();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let times = |it: &Value| (text(&it["timestamp"]).unwrap(), text(&it["recorded_timestamp"]));
        samples.iter().map(times).collect()
    }
}

fn open(options: &Options, clock: &ManualClock) -> Queue {
    let clock = Arc::new(clock.clone());
    queue::open(options.clone(), None, clock, Duration::from_secs(5)).unwrap()
}

#[tokio::test]
async fn nothing_of_this_boot_expires_because_the_clock_was_set() {
    let home = tempfile::tempdir().unwrap();
    let mut host = Host::start(home.path(), ManualClock::new(Timestamp::UNIX_EPOCH));
    host.sample().await;
    host.clock.advance(HOUR);
    host.sample().await;
    host.clock.step(LATE);
    assert_eq!(host.entries().await.len(), 2, "an hour old, whatever the clock says");
    // Over a restart of the agent in the same boot, too.
    host = host.restart();
    assert_eq!((host.entries().await.len(), host.expired()), (2, 0));
    // A day after it was taken the first one is old, and an hour later the second.
    host.clock.advance(23 * HOUR + 60);
    assert_eq!((host.entries().await.len(), host.expired()), (1, 1));
    // A clock that is set back keeps nothing for ever.
    host.clock.step(-40 * HOUR);
    host.clock.advance(HOUR);
    assert_eq!((host.entries().await.len(), host.expired()), (0, 2));
    let losses = host.queue.consumer.losses(9).await.unwrap();
    assert!(losses.iter().all(|loss| loss.lost.reason == Reason::Expired), "{losses:?}");
}

#[tokio::test]
async fn samples_of_a_boot_that_never_knew_the_time_are_kept_for_an_age_from_now() {
    let home = tempfile::tempdir().unwrap();
    let mut host = Host::start(home.path(), ManualClock::new(Timestamp::UNIX_EPOCH));
    host.sample().await;
    host.clock.reboot();
    host.clock.step(LATE);
    host = host.restart();
    assert_eq!(host.entries().await.len(), 1, "nobody knows how old it is");
    host.clock.advance(23 * HOUR);
    assert_eq!(host.entries().await.len(), 1);
    host.clock.advance(2 * HOUR);
    assert_eq!((host.entries().await.len(), host.expired()), (0, 1));
}

#[tokio::test]
async fn boot_that_does_not_know_the_time_expires_nothing_of_the_one_before() {
    let home = tempfile::tempdir().unwrap();
    let known = Timestamp::from_second(LATE).unwrap();
    let mut host = Host::start(home.path(), ManualClock::new(known));
    host.sample().await;
    host.clock.reboot();
    host.clock.step(-LATE);
    host = host.restart();
    assert_eq!(host.entries().await.len(), 1);
    // When it learns the time, what is old is old.
    host.clock.step(LATE + 25 * HOUR);
    assert_eq!((host.entries().await.len(), host.expired()), (0, 1));
}

#[tokio::test]
async fn time_that_was_recorded_wrongly_is_sent_as_it_was_and_the_record_stays() {
    let home = tempfile::tempdir().unwrap();
    let mut host = Host::start(home.path(), ManualClock::new(Timestamp::UNIX_EPOCH));
    host.sample().await;
    host.clock.advance(60);
    host.clock.step(LATE);
    host.sample().await;
    let recorded = Some("1970-01-01T00:00:00.000000Z".to_owned());
    let right = Timestamp::from_second(LATE).unwrap();
    let later = Timestamp::from_second(LATE + 60).unwrap();
    let expected = [(format!("{right:.6}"), recorded), (format!("{later:.6}"), None)];
    assert_eq!(host.sent().await, expected);
    assert_eq!(host.sent().await, expected, "as often as it is asked");
    let entries = host.entries().await;
    assert_eq!(entries[0].sample.timestamp, Timestamp::UNIX_EPOCH);
    // Another boot knows nothing of this one's clock.
    host.clock.reboot();
    host.clock.advance(HOUR);
    assert!(host.sent().await.iter().all(|(_, recorded)| recorded.is_none()));
}

#[tokio::test]
async fn purge_of_what_is_old_takes_nothing_that_only_looks_old() {
    let home = tempfile::tempdir().unwrap();
    let mut host = Host::start(home.path(), ManualClock::new(Timestamp::UNIX_EPOCH));
    host.sample().await;
    host.clock.advance(HOUR);
    host.clock.step(LATE);
    host.sample().await;
    let ago = |hours: i64| {
        let limit = host.clock.now().checked_sub(jiff::SignedDuration::from_hours(hours));
        Selection::OlderThan(limit.unwrap())
    };
    let inspector = host.queue.inspector.clone();
    assert_eq!(inspector.measure(ago(2)).await.unwrap().samples, 0);
    assert_eq!(inspector.purge(ago(2), |_| ()).await.unwrap().samples, 0);
    let old = ago(0);
    host.clock.advance(1);
    assert_eq!(inspector.measure(old).await.unwrap().samples, 1);
    assert_eq!(inspector.purge(old, |_| ()).await.unwrap().samples, 1);
    assert_eq!(host.entries().await.len(), 1);
}
