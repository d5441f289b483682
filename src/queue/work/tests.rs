//! The owner's work with a disk that fails at a certain moment.

use std::{fs, path::Path, sync::Arc, time::Duration};

use super::*;
use crate::{
    clock::SystemClock,
    queue::{Options, files},
    sample::{Cpu, Metrics, Origin, Sample},
};

fn work(directory: &Path) -> Work {
    let options = Options::for_test(directory);
    let lock = Lock::take(directory, Duration::ZERO).unwrap();
    let ring = Arc::new(Ring::new(options.overflow));
    let home = Home { options, machine: None, clock: Arc::new(SystemClock) };
    Work::begin(home, ring, lock, None).unwrap().0
}

fn samples(count: usize) -> Vec<Sample> {
    let sample = Sample {
        timestamp: jiff::Timestamp::UNIX_EPOCH,
        since_boot: None,
        origin: Arc::new(Origin::default()),
        interval: Duration::from_secs(5),
        metrics: Metrics::Cpu(Cpu::default()),
    };
    let mut samples = vec![sample; count];
    for (number, sample) in samples.iter_mut().enumerate() {
        // As many bytes as some processors have.
        let host = format!("{number}{}", "x".repeat(900));
        sample.origin = Arc::new(Origin { host, ..Origin::default() });
    }
    samples
}

/// Enqueues so many samples in ticks of ten; the first has the number 1.
fn fill(work: &mut Work, count: usize) {
    for _ in 0..count / 10 {
        drop(work.ring.push(samples(10)));
        work.write_waiting();
    }
    assert!(work.batch.is_empty());
}

fn disk_bytes(work: &Work) -> u64 {
    work.store.as_ref().unwrap().stats().queue.disk_bytes
}

fn full() -> StorageError {
    StorageError::Io(io::ErrorKind::StorageFull.into())
}

/// The newest generation's file is another one now: the next sync can't confirm what was written.
fn replace_file(directory: &Path) {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let newest = entries.filter(|path| path.join("db").is_file()).max().unwrap();
    fs::copy(newest.join("db"), directory.join("copy")).unwrap();
    fs::rename(directory.join("copy"), newest.join("db")).unwrap();
}

#[test]
fn ballast_that_is_taken_again_counts_below_the_cap() {
    let home = tempfile::tempdir().unwrap();
    let mut work = work(home.path());
    work.fail(&full(), Doing::Appending);
    // The forwarder goes on, so that the store is open before the ballast is back.
    work.with(Doing::Other, |store| store.peek(1, 1)).unwrap();
    assert!(work.has_room_again());
    assert_eq!(disk_bytes(&work), files::tree_on_disk(home.path()));
}

#[test]
fn dropped_samples_are_counted_once_though_the_disk_did_not_confirm_it() {
    let home = tempfile::tempdir().unwrap();
    let mut work = work(home.path());
    for _ in 0..2 {
        work.batch.dropped = 5;
        replace_file(home.path());
        work.write_batch().unwrap_err();
        work.trouble.hurry();
        work.write_waiting();
        assert!(work.batch.is_empty());
    }
    let stats = work.store.as_ref().unwrap().stats();
    assert_eq!((stats.ledger.enqueued, stats.ledger.dropped.overflow), (10, 10), "{stats:?}");
}

#[test]
fn what_is_due_does_not_wait_for_a_pause_in_what_comes_in() {
    let home = tempfile::tempdir().unwrap();
    let mut work = work(home.path());
    // Some 90 values, of which a step takes four.
    (0..82).for_each(|_| drop(work.ring.push(samples(4))));
    work.write_waiting();
    assert!(work.batch.is_empty());
    assert!(!work.store.as_mut().unwrap().wants_to_press());
}

#[test]
fn queue_that_closes_tries_once_more_to_write_what_waits() {
    let home = tempfile::tempdir().unwrap();
    let mut work = work(home.path());
    let mut told = work.ring.push(samples(3));
    work.store = None;
    work.trouble.open_at = Instant::now() + Duration::from_hours(1);
    work.close();
    assert_eq!(told.try_recv().unwrap().unwrap(), Enqueued::default());
}

#[test]
fn what_was_peeked_is_settled_by_a_store_that_was_opened_since_wherever_it_stands() {
    let home = tempfile::tempdir().unwrap();
    let mut work = work(home.path());
    fill(&mut work, 20);
    work.with(Doing::Other, |store| store.peek(20, u64::MAX)).unwrap();
    work.fail(&full(), Doing::Other);
    let settled = work.with(Doing::Other, |store| store.settle(&[8, 9, 12], 0));
    assert_eq!(settled.unwrap(), 3);
    let left = work.with(Doing::Other, |store| store.peek(20, u64::MAX)).unwrap();
    let expected: Vec<u64> = (1..=20).filter(|seq| ![8, 9, 12].contains(seq)).collect();
    assert_eq!(left.iter().map(|entry| entry.seq).collect::<Vec<_>>(), expected);
}
