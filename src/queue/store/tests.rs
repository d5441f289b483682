//! A store of several generations of which one turns out to be damaged while it is open.

use std::{fs, path::Path, sync::Arc, time::Duration};

use super::{capacity::DISK_PERCENT, *};
use crate::{
    clock::SystemClock,
    sample::{Cpu, Metrics, Origin},
};

const SAMPLES: u64 = 3000;

/// A store of several generations.
pub(in crate::queue) fn filled(directory: &Path) -> Store {
    let mut store = open(directory);
    for tick in 0..SAMPLES / 10 {
        let samples: Vec<_> = (0..10).map(|number| sample(tick * 10 + number)).collect();
        let _counted = store.append(samples.iter()).unwrap();
    }
    assert!(store.oldest.is_some() && store.middle.len() > 1);
    store
}

fn open(directory: &Path) -> Store {
    let options = Options::for_test(directory);
    let parts = recovery::open(&options, None, None).unwrap();
    Store::new(parts, options, Arc::new(SystemClock)).unwrap()
}

fn sample(number: u64) -> Sample {
    let host = format!("{number}{}", "x".repeat(900));
    Sample {
        timestamp: Timestamp::UNIX_EPOCH,
        since_boot: None,
        origin: Arc::new(Origin { host, ..Origin::default() }),
        interval: Duration::from_secs(5),
        metrics: Metrics::Cpu(Cpu::default()),
    }
}

/// Zeros in the middle of a database.
fn damage(generation: &Path) {
    let path = generation.join("db");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    let end = bytes.len().min(middle + 100_000);
    bytes[middle..end].fill(0);
    fs::write(path, bytes).unwrap();
}

pub(in crate::queue) fn peek(store: &mut Store, count: usize) -> Vec<u64> {
    store.peek(count, u64::MAX).unwrap().iter().map(|entry| entry.seq).collect()
}

#[test]
fn part_that_is_mended_while_its_entries_are_lent_settles_exactly_those() {
    let home = tempfile::tempdir().unwrap();
    let mut store = filled(home.path());
    let lent = peek(&mut store, 100);
    let oldest = store.oldest.as_mut().unwrap();
    // For a moment it shows no entry; then it is damaged.
    oldest.nothing_below(oldest.meta.next_seq);
    damage(oldest.directory());
    store.find_front().unwrap();
    assert!(home.path().join(recovery::QUARANTINE).exists());
    assert_eq!(store.disk_bytes(), files::tree_on_disk(home.path()));
    // In the new file they share other values.
    let some = &lent[33..36];
    assert_eq!(store.settle(some, 0).unwrap(), 3);
    let mut acknowledged = 3;
    loop {
        let next = peek(&mut store, 200);
        assert!(next.iter().all(|seq| !some.contains(seq)), "delivered twice");
        if next.is_empty() {
            break;
        }
        acknowledged += store.settle(&next, 0).unwrap();
    }
    let ledger = store.stats().ledger;
    assert_eq!((ledger.enqueued, ledger.acknowledged), (SAMPLES, acknowledged));
    assert_eq!(ledger.dropped.corrupt, SAMPLES - acknowledged);
}

#[test]
fn part_that_turns_out_to_be_damaged_when_its_turn_comes_is_counted_once_below_the_cap() {
    let home = tempfile::tempdir().unwrap();
    let mut store = filled(home.path());
    let first_seq = store.middle[0].closed.first_seq;
    damage(&recovery::generation_path(home.path(), first_seq));
    store.drop_oldest(crate::queue::losses::Reason::Purged).unwrap();
    assert!(home.path().join(recovery::QUARANTINE).exists());
    assert_eq!(store.disk_bytes(), files::tree_on_disk(home.path()));
}

#[test]
fn part_that_opens_and_can_not_be_read_to_its_end_is_mended_wherever_it_is() {
    let home = tempfile::tempdir().unwrap();
    drop(filled(home.path()));
    // The database writes a snapshot when it opens, and by that opens a file that is damaged since.
    for first_seq in recovery::list(home.path()).unwrap() {
        let path = recovery::generation_path(home.path(), first_seq);
        drop(Live::open(&path, first_seq).unwrap());
        damage(&path);
    }
    let mut store = open(home.path());
    let (mut last, mut delivered) = (0, 0);
    loop {
        let next = peek(&mut store, 200);
        let Some(end) = next.last() else { break };
        assert!(next[0] > last);
        (last, delivered) = (*end, delivered + store.settle(&next, 0).unwrap());
    }
    let ledger = store.stats().ledger;
    assert_eq!((ledger.enqueued, ledger.acknowledged), (SAMPLES, delivered));
    assert_eq!(ledger.dropped.corrupt, SAMPLES - delivered);
    assert!(delivered > SAMPLES * 9 / 10, "{delivered}");
}

#[test]
fn capacity_follows_what_full_parts_take() {
    let home = tempfile::tempdir().unwrap();
    let mut store = filled(home.path());
    store.rate = Rate::new(10.0);
    let worst = capacity::seconds(store.options.max_bytes, 10.0, DISK_PERCENT);
    let framed = |counts: Counts| counts.bytes + counts.samples * HEADER as u64;
    for percent in [55, DISK_PERCENT, 10 * DISK_PERCENT] {
        for middle in &mut store.middle {
            middle.on_disk = framed(middle.closed.counts) * percent / 100;
        }
        let held = store.stats().queue.capacity_seconds;
        let expected = worst * DISK_PERCENT / percent.min(DISK_PERCENT);
        assert!(held.abs_diff(expected) <= expected / 20, "{percent} %: {held} s, not {expected}");
    }
    store.middle.clear();
    assert_eq!(store.stats().queue.capacity_seconds, worst, "without a full part the worst");
}

/// A sample that the server refuses stays at the front while what is behind it leaves: the values that
/// have left must not let the newest ones be put into a block, across the end that was noted last.
#[test]
fn what_left_behind_a_sample_that_stays_does_not_come_back() {
    for is_closed in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let mut store = open(home.path());
        let agent_id = store.newest.meta.agent_id;
        let tick = |store: &mut Store| {
            let samples: Vec<_> = (0..4).map(sample).collect();
            let _counted = store.append(samples.iter()).unwrap();
            if store.wants_to_press() {
                store.press().unwrap();
            }
        };
        (0..85).for_each(|_| tick(&mut store));
        let lent = peek(&mut store, 300);
        assert_eq!(store.settle(&lent[1..], 0).unwrap(), 299);
        (0..4).for_each(|_| tick(&mut store));
        if is_closed {
            store.rotate().unwrap();
            (0..10).for_each(|_| tick(&mut store));
            store.sync().unwrap();
        }
        let (samples, ledger) = (store.stats().queue.samples, store.stats().ledger);
        drop(store);
        let mut store = open(home.path());
        assert_eq!((store.stats().queue.samples, store.stats().ledger), (samples, ledger));
        assert_eq!(store.newest.meta.agent_id, agent_id);
        let waiting = peek(&mut store, 10_000);
        assert!(!waiting.iter().any(|seq| lent[1..].contains(seq)));
        // The part that was closed, which is the oldest, or all.
        assert_eq!(waiting.len(), 57);
    }
}
