//! The queue alone, on a real directory: order, identity, limits, what a restart keeps.

use std::{path::Path, sync::Arc, time::Duration};

use collector::{
    clock::SystemClock,
    queue::{self, Entry, Options, Overflow, Queue, Sync},
    sample::{Cpu, Metrics, Origin, Sample},
};
use jiff::Timestamp;

pub(crate) fn options(directory: &Path) -> Options {
    Options {
        directory: directory.to_owned(),
        max_bytes: 100_000_000,
        min_free_bytes: 0,
        overflow: Overflow::DropOldest,
        max_age: None,
        sync: Sync::Always,
    }
}

pub(crate) fn open(options: Options) -> Queue {
    queue::open(options, Some("a machine"), Arc::new(SystemClock), Duration::from_secs(5)).unwrap()
}

/// A sample that is recognised by `number` and takes about `size` bytes.
fn sample(number: u32, size: usize) -> Sample {
    let host = format!("{number}:{}", "x".repeat(size));
    let origin = Origin { host, ..Origin::default() };
    Sample {
        timestamp: Timestamp::new(i64::from(number), 0).unwrap(),
        since_boot: None,
        origin: Arc::new(origin),
        interval: Duration::from_secs(5),
        metrics: Metrics::Cpu(Cpu::default()),
    }
}

pub(crate) fn numbers(entries: &[Entry]) -> Vec<u32> {
    entries
        .iter()
        .map(|entry| entry.sample.origin.host.split(':').next().unwrap().parse().unwrap())
        .collect()
}

pub(crate) async fn put(queue: &Queue, numbers: std::ops::Range<u32>, size: usize) {
    let samples = numbers.map(|number| sample(number, size)).collect();
    let _counted = queue.producer.enqueue(samples).await.unwrap();
}

async fn drain(queue: &mut Queue) -> Vec<u32> {
    let mut got = Vec::new();
    loop {
        let entries = queue.consumer.peek(100, 1 << 20).await.unwrap();
        if entries.is_empty() {
            return got;
        }
        got.extend(numbers(&entries));
        queue.consumer.acknowledge(&entries).await.unwrap();
    }
}

pub(crate) fn assert_balanced(queue: &Queue) {
    let stats = queue.stats.borrow();
    let ledger = stats.ledger;
    let sum =
        ledger.acknowledged + ledger.dead_lettered + ledger.dropped.total() + stats.queue.samples;
    assert_eq!(ledger.enqueued, sum, "{stats:?}");
}

#[tokio::test]
async fn entries_leave_in_order_and_only_when_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let mut queue = open(options(home.path()));
    put(&queue, 0..10, 100).await;
    let first = queue.consumer.peek(4, 1 << 20).await.unwrap();
    assert_eq!(numbers(&first), [0, 1, 2, 3]);
    assert_eq!(numbers(&queue.consumer.peek(4, 1 << 20).await.unwrap()), [0, 1, 2, 3]);
    assert_eq!(queue.consumer.acknowledge(&first).await.unwrap(), 4);
    assert_eq!(drain(&mut queue).await, [4, 5, 6, 7, 8, 9]);
    assert_balanced(&queue);
    assert_eq!(queue.stats.borrow().queue.samples, 0);
    assert_eq!(queue.stats.borrow().queue.bytes, 0);
}

#[tokio::test]
async fn sequence_goes_on_after_a_drain_and_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let mut queue = open(options(home.path()));
    let agent_id = queue.stats.borrow().agent_id;
    put(&queue, 0..3, 10).await;
    drain(&mut queue).await;
    drop(queue);
    let mut queue = open(options(home.path()));
    put(&queue, 3..5, 10).await;
    let entries = queue.consumer.peek(10, 1 << 20).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [4, 5]);
    assert!(entries.iter().all(|entry| entry.agent_id == agent_id));
    assert_eq!(queue.stats.borrow().ledger.enqueued, 5);
    assert_balanced(&queue);
}

#[tokio::test]
async fn sequence_goes_on_when_no_value_is_left_to_tell() {
    let home = tempfile::tempdir().unwrap();
    let mut queue = open(options(home.path()));
    for number in 0..40 {
        // More than a value holds, and more values than are left for later when they are taken.
        put(&queue, number..number + 1, 4000).await;
    }
    drain(&mut queue).await;
    let agent_id = queue.stats.borrow().agent_id;
    drop(queue);
    // Whoever looks at the entries alone finds none.
    std::fs::remove_file(home.path().join("tail")).unwrap();
    let mut queue = open(options(home.path()));
    put(&queue, 40..41, 10).await;
    let entries = queue.consumer.peek(10, 1 << 20).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [41]);
    assert_eq!(entries[0].agent_id, agent_id);
    assert_balanced(&queue);
}

#[tokio::test]
async fn another_machine_gets_another_agent_id_and_keeps_what_is_queued() {
    let home = tempfile::tempdir().unwrap();
    let queue = open(options(home.path()));
    let first = queue.stats.borrow().agent_id;
    put(&queue, 0..1, 10).await;
    drop(queue);
    let clone =
        queue::open(options(home.path()), Some("its clone"), Arc::new(SystemClock), Duration::ZERO);
    let mut queue = clone.unwrap();
    put(&queue, 1..2, 10).await;
    let old = queue.consumer.peek(10, 1 << 20).await.unwrap();
    assert_eq!(old.iter().map(|entry| entry.agent_id).collect::<Vec<_>>(), [first]);
    queue.consumer.acknowledge(&old).await.unwrap();
    let new = queue.consumer.peek(10, 1 << 20).await.unwrap();
    assert_eq!((numbers(&new), new[0].seq), (vec![1], 2));
    assert_ne!(new[0].agent_id, first);
}

#[tokio::test]
async fn a_record_of_any_size_fits() {
    let home = tempfile::tempdir().unwrap();
    let mut queue = open(options(home.path()));
    put(&queue, 0..1, 10).await;
    put(&queue, 1..2, 3_000_000).await;
    put(&queue, 2..5, 50_000).await;
    drop(queue);
    queue = open(options(home.path()));
    assert_eq!(drain(&mut queue).await, [0, 1, 2, 3, 4]);
    assert_balanced(&queue);
}

#[tokio::test]
async fn the_cap_holds_and_the_oldest_give_way() {
    let home = tempfile::tempdir().unwrap();
    let mut queue = open(Options { max_bytes: 8_000_000, ..options(home.path()) });
    for tick in 0..2000 {
        put(&queue, tick * 10..tick * 10 + 10, 1000).await;
        if tick % 50 == 0 {
            assert!(bytes_below(home.path()) <= 8_000_000, "{}", bytes_below(home.path()));
            assert_balanced(&queue);
        }
    }
    let stats = queue.stats.borrow().clone();
    eprintln!("{stats:?}");
    assert!(stats.ledger.dropped.overflow > 0);
    // A little more than a seventh of so small a cap is the ballast.
    assert!(stats.queue.samples > 1200, "{stats:?}");
    let left = drain(&mut queue).await;
    let expected: Vec<_> = (20_000 - u32::try_from(left.len()).unwrap()..20_000).collect();
    assert_eq!(left, expected);
    assert_balanced(&queue);
    assert!(bytes_below(home.path()) <= 2_000_000, "{}", bytes_below(home.path()));
}

#[tokio::test]
async fn the_newest_give_way_when_told_so() {
    let home = tempfile::tempdir().unwrap();
    let overflow = Overflow::DropNewest;
    let mut queue = open(Options { max_bytes: 8_000_000, overflow, ..options(home.path()) });
    for tick in 0..1500 {
        put(&queue, tick * 10..tick * 10 + 10, 1000).await;
    }
    assert!(bytes_below(home.path()) <= 8_000_000);
    let refused = queue.stats.borrow().ledger.dropped.overflow;
    assert!(refused > 0);
    assert_balanced(&queue);
    let left = drain(&mut queue).await;
    assert_eq!(left, (0..15_000 - u32::try_from(refused).unwrap()).collect::<Vec<_>>());
    assert_balanced(&queue);
}

fn bytes_below(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() { bytes_below(&entry.path()) } else { metadata.len() }
        })
        .sum()
}

#[tokio::test]
async fn below_the_floor_of_free_space_the_oldest_give_way_and_the_newest_stays() {
    let home = tempfile::tempdir().unwrap();
    // No disk has so much free space: the floor is always missed.
    let mut queue = open(Options { min_free_bytes: u64::MAX, ..options(home.path()) });
    for tick in 0..300 {
        put(&queue, tick * 10..tick * 10 + 10, 1000).await;
        assert_balanced(&queue);
    }
    assert!(queue.stats.borrow().ledger.dropped.overflow > 0);
    assert!(bytes_below(home.path()) < 4_000_000, "{}", bytes_below(home.path()));
    let left = drain(&mut queue).await;
    let expected: Vec<_> = (3000 - u32::try_from(left.len()).unwrap()..3000).collect();
    assert!(!left.is_empty());
    assert_eq!(left, expected);
    assert_balanced(&queue);
}

#[tokio::test]
async fn entry_behind_the_end_of_a_part_is_found_and_not_settled_unpeeked() {
    let home = tempfile::tempdir().unwrap();
    let mut queue = open(Options { max_bytes: 20_000_000, ..options(home.path()) });
    for tick in (0..1500).step_by(10) {
        put(&queue, tick..tick + 10, 900).await;
    }
    let mut last = 0;
    // The parts end somewhere; each of their last entries has a next one.
    for _ in 0..1499 {
        let behind = queue.consumer.behind(last).await.unwrap().unwrap();
        assert_eq!(behind.seq, last + 1);
        last = behind.seq;
    }
    assert_eq!(queue.consumer.behind(1500).await.unwrap(), None);
    queue.consumer.peek(1, 1 << 20).await.unwrap();
    let other = queue.consumer.behind(1400).await.unwrap().unwrap();
    assert_eq!(queue.consumer.acknowledge(&[other]).await.unwrap(), 0);
    assert_eq!(queue.stats.borrow().queue.samples, 1500);
}

#[tokio::test]
async fn many_ticks_in_a_row_leave_room_for_the_consumer() {
    let home = tempfile::tempdir().unwrap();
    let mut queue = open(options(home.path()));
    for number in 0..300 {
        queue.producer.offer(vec![sample(number, 10)]);
        // The consumer is never told that the queue is busy with what samplers hand over.
        queue.consumer.peek(1, 1 << 20).await.unwrap();
    }
    let all: Vec<_> =
        (300..600).map(|number| queue.producer.enqueue(vec![sample(number, 10)])).collect();
    queue.consumer.peek(1, 1 << 20).await.unwrap();
    for done in all {
        let _counted = done.await.unwrap();
    }
    assert_eq!(queue.stats.borrow().queue.samples, 600);
}

#[tokio::test]
async fn samples_that_wait_so_long_that_they_share_blocks_come_back_in_order() {
    let home = tempfile::tempdir().unwrap();
    let mut queue = open(options(home.path()));
    let ticks = |range: std::ops::Range<u32>| range.step_by(4).map(|first| first..first + 4);
    for tick in ticks(0..600) {
        put(&queue, tick, 400).await;
    }
    // What is lent stays as it is, whatever happens to what is behind it.
    let lent = queue.consumer.peek(7, 1 << 20).await.unwrap();
    for tick in ticks(600..4000) {
        put(&queue, tick, 400).await;
    }
    assert_eq!(queue.consumer.acknowledge(&lent).await.unwrap(), 7);
    drop(queue);
    let mut queue = open(options(home.path()));
    // From the midst of a block.
    let some = queue.consumer.peek(50, 1 << 20).await.unwrap();
    assert_eq!(numbers(&some), (7..57).collect::<Vec<_>>());
    let odd: Vec<_> = some.iter().filter(|entry| entry.seq % 2 == 1).cloned().collect();
    assert_eq!(queue.consumer.acknowledge(&odd).await.unwrap(), 25);
    let rest = drain(&mut queue).await;
    let expected: Vec<u32> = (7..4000).filter(|number| *number >= 57 || number % 2 == 1).collect();
    assert_eq!(rest, expected);
    assert_balanced(&queue);
}
