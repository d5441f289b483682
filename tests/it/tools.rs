//! The operator's tools, on the queue itself: does reading change nothing, does a purge take exactly
//! what it says?

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use collector::queue::{Amount, Entry, Options, Queue, Selection};
use jiff::Timestamp;

use crate::queue::{assert_balanced, numbers, open, options, put};

mod damage;

/// Samples in a queue of several parts.
const SAMPLES: u32 = 1000;

fn small(directory: &Path) -> Options {
    Options { max_bytes: 8_000_000, ..options(directory) }
}

/// A queue of several parts, the oldest of which has lost some of its samples.
async fn filled(directory: &Path) -> Queue {
    let mut queue = open(small(directory));
    for tick in (0..SAMPLES).step_by(10) {
        put(&queue, tick..tick + 10, 900).await;
    }
    let first = queue.consumer.peek(40, 1 << 20).await.unwrap();
    queue.consumer.acknowledge(&first[..25]).await.unwrap();
    queue
}

/// All entries, read page by page.
async fn read_all(queue: &Queue, page: usize) -> Vec<Entry> {
    let (mut all, mut next) = (Vec::new(), Some(0));
    while let Some(from) = next {
        let page = queue.inspector.page(from, page).await.unwrap();
        assert_eq!(page.damaged, 0);
        assert!(page.next.is_none_or(|next| next > from));
        all.extend(page.entries);
        next = page.next;
    }
    all
}

fn parts(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut parts: Vec<_> = entries.filter(|path| path.join("conf").is_file()).collect();
    parts.sort();
    parts
}

/// Every file below `directory` with its contents.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.insert(entry.path(), Vec::new());
            found.extend(contents(&entry.path()));
        } else {
            found.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    found
}

#[tokio::test]
async fn pages_show_exactly_what_is_queued_over_all_parts() {
    let home = tempfile::tempdir().unwrap();
    let mut queue = filled(home.path()).await;
    assert!(parts(home.path()).len() >= 4, "{:?}", parts(home.path()));
    let before = (contents(home.path()), queue.stats.borrow().clone());
    for page in [1000, 7, usize::MAX] {
        let all = read_all(&queue, page).await;
        assert_eq!(numbers(&all), (25..SAMPLES).collect::<Vec<_>>());
        let seqs: Vec<_> = all.iter().map(|entry| entry.seq).collect();
        assert_eq!(seqs, (26..=u64::from(SAMPLES)).collect::<Vec<_>>());
    }
    assert!(before == (contents(home.path()), queue.stats.borrow().clone()), "reading changed it");
    let mut left = Vec::new();
    loop {
        let entries = queue.consumer.peek(500, 1 << 20).await.unwrap();
        if entries.is_empty() {
            break;
        }
        queue.consumer.acknowledge(&entries).await.unwrap();
        left.extend(entries);
    }
    assert_eq!(numbers(&left), (25..SAMPLES).collect::<Vec<_>>());
    assert_balanced(&queue);
}

#[tokio::test]
async fn page_begins_anywhere_though_samples_share_values() {
    let home = tempfile::tempdir().unwrap();
    let queue = open(small(home.path()));
    for tick in 0..30 {
        put(&queue, tick * 7..tick * 7 + 7, 100).await;
    }
    // Of several parts, behind and before others in the same values.
    put(&queue, 210..211, 9000).await;
    put(&queue, 211..220, 50).await;
    for from in 0..=221 {
        let page = queue.inspector.page(from, 3).await.unwrap();
        let from = u32::try_from(from).unwrap().max(1) - 1;
        assert_eq!(numbers(&page.entries), (from..(from + 3).min(220)).collect::<Vec<_>>());
        assert_eq!(page.damaged, 0);
    }
}

#[tokio::test]
async fn reading_and_purging_leave_a_lent_batch_settleable() {
    let home = tempfile::tempdir().unwrap();
    let mut queue = filled(home.path()).await;
    let lent = queue.consumer.peek(100, 1 << 20).await.unwrap();
    assert_eq!(read_all(&queue, 500).await.len(), SAMPLES as usize - 25);
    let verdict = queue.inspector.verify(|_| ()).await.unwrap();
    assert!(verdict.clean, "{verdict:#?}");
    // The clock of the samples is their number: 40 of the hundred go.
    let older = Selection::OlderThan(Timestamp::new(65, 0).unwrap());
    let gone = queue.inspector.purge(older, |_| ()).await.unwrap();
    assert_eq!(gone.samples, 40);
    assert_eq!(queue.consumer.acknowledge(&lent).await.unwrap(), 60, "what is left of the batch");
    let ledger = queue.stats.borrow().ledger;
    assert_eq!((ledger.acknowledged, ledger.dropped.purged), (85, 40));
    assert_balanced(&queue);
    let next = queue.consumer.peek(1, 1 << 20).await.unwrap();
    assert_eq!(numbers(&next), [125]);
    drop(queue);
    let queue = open(small(home.path()));
    assert_eq!(numbers(&read_all(&queue, 500).await), (125..SAMPLES).collect::<Vec<_>>());
    assert_balanced(&queue);
}

#[tokio::test]
async fn purge_takes_what_was_measured_and_survives_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let queue = filled(home.path()).await;
    let bytes = queue.stats.borrow().queue.bytes;
    for (limit, left) in [(10, 25), (500, 500), (500, 500), (701, 701)] {
        let older = Selection::OlderThan(Timestamp::new(limit, 0).unwrap());
        let would = queue.inspector.measure(older).await.unwrap();
        let before = queue.stats.borrow().queue.samples;
        let gone = queue.inspector.purge(older, |_| ()).await.unwrap();
        assert_eq!(gone, would);
        assert_eq!(queue.stats.borrow().queue.samples, before - gone.samples);
        assert_eq!(numbers(&read_all(&queue, 999).await), (left..SAMPLES).collect::<Vec<_>>());
        assert_balanced(&queue);
    }
    assert!(parts(home.path()).len() < 4, "whole parts go from the disk");
    let rest = queue.inspector.measure(Selection::All).await.unwrap();
    assert_eq!(queue.inspector.purge(Selection::All, |_| ()).await.unwrap(), rest);
    assert_eq!(rest.samples, u64::from(SAMPLES) - 701);
    assert!(rest.bytes < bytes);
    assert_eq!(queue.inspector.purge(Selection::All, |_| ()).await.unwrap(), Amount::default());
    drop(queue);
    let queue = open(small(home.path()));
    let stats = queue.stats.borrow().clone();
    assert_eq!((stats.queue.samples, stats.queue.bytes), (0, 0));
    assert_eq!(stats.ledger.dropped.purged, u64::from(SAMPLES) - 25);
    assert_balanced(&queue);
    put(&queue, 0..1, 10).await;
    let next = read_all(&queue, 1).await;
    assert_eq!(next[0].seq, u64::from(SAMPLES) + 1, "no number comes twice");
    assert!(queue.inspector.verify(|_| ()).await.unwrap().clean);
}

#[tokio::test]
async fn purge_by_age_stops_at_the_first_that_is_younger() {
    let home = tempfile::tempdir().unwrap();
    let queue = open(small(home.path()));
    // The clock was set back behind the third.
    for number in [5, 6, 100, 7, 8] {
        put(&queue, number..number + 1, 10).await;
    }
    let older = Selection::OlderThan(Timestamp::new(50, 0).unwrap());
    assert_eq!(queue.inspector.measure(older).await.unwrap().samples, 2);
    assert_eq!(queue.inspector.purge(older, |_| ()).await.unwrap().samples, 2);
    assert_eq!(numbers(&read_all(&queue, 9).await), [100, 7, 8]);
    assert_balanced(&queue);
}

#[tokio::test]
async fn purge_of_everything_spares_what_comes_in_meanwhile() {
    let home = tempfile::tempdir().unwrap();
    let queue = filled(home.path()).await;
    let producer = queue.producer.clone();
    let inspector = queue.inspector.clone();
    let feed = async {
        for number in SAMPLES..SAMPLES + 20 {
            put(&queue, number..number + 1, 10).await;
        }
    };
    let (gone, ()) = tokio::join!(inspector.purge(Selection::All, |_| ()), feed);
    drop(producer);
    let gone = gone.unwrap().samples;
    let left = read_all(&queue, 100).await;
    assert!(gone >= u64::from(SAMPLES) - 25, "{gone}");
    assert_eq!(gone + left.len() as u64, u64::from(SAMPLES) - 25 + 20);
    assert_eq!(queue.stats.borrow().ledger.dropped.purged, gone);
    assert_balanced(&queue);
}

#[tokio::test]
async fn large_samples_are_paged_one_by_one() {
    let home = tempfile::tempdir().unwrap();
    let queue = open(small(home.path()));
    for number in 0..4 {
        put(&queue, number..number + 1, 300_000).await;
    }
    let page = queue.inspector.page(0, usize::MAX).await.unwrap();
    assert_eq!((numbers(&page.entries), page.next), (vec![0], Some(2)));
    assert_eq!(numbers(&read_all(&queue, 10).await), [0, 1, 2, 3]);
    let none = queue.inspector.page(u64::MAX, 10).await.unwrap();
    assert_eq!((none.entries.len(), none.next), (0, None));
}
