//! What a queue does when its files aren't what it left: parts removed, the end cut off, the whole
//! directory gone. Whatever is missing is counted, and no number is used twice.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use collector::queue::{Lost, Options, Queue, Reason, Selection};
use uuid::Uuid;

use crate::queue::{assert_balanced, numbers, open, options, put};

/// Samples in a queue of several generations.
const SAMPLES: u32 = 3000;

fn at(directory: &Path) -> Options {
    Options { max_bytes: 20_000_000, ..options(directory) }
}

/// A queue of several generations that was closed.
async fn filled(directory: &Path) {
    let queue = open(at(directory));
    for tick in (0..SAMPLES).step_by(10) {
        put(&queue, tick..tick + 10, 900).await;
    }
}

fn generations(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("gen-");
    let mut found: Vec<_> = entries.filter(named).collect();
    found.sort();
    assert!(found.len() >= 4, "{found:?}");
    found
}

/// The first sequence number of a generation.
fn begins(generation: &Path) -> u64 {
    generation.file_name().unwrap().to_str().unwrap().strip_prefix("gen-").unwrap().parse().unwrap()
}

/// What was lost waits to be told under the agent id of what was lost, and once.
async fn assert_told(queue: &mut Queue, agent_id: Uuid, reason: Reason) -> Vec<Lost> {
    let dropped = queue.stats.borrow().ledger.dropped.total();
    let losses = queue.consumer.losses(usize::MAX).await.unwrap();
    let lost: Vec<_> = losses.iter().map(|loss| loss.lost).collect();
    assert_eq!(lost.iter().map(|lost| lost.count).sum::<u64>(), dropped, "{lost:?}");
    for lost in &lost {
        assert!(lost.count <= lost.last_seq - lost.first_seq + 1, "{lost:?}");
        assert_eq!((lost.reason, lost.agent_id), (reason, agent_id), "{lost:?}");
    }
    lost
}

/// What is left comes out in order, then what is put in; nothing has a number that was used before.
async fn assert_goes_on(queue: &mut Queue) -> u64 {
    assert_balanced(queue);
    let (mut left, mut last) = (0, 0);
    loop {
        let entries = queue.consumer.peek(200, 1 << 20).await.unwrap();
        let Some(end) = entries.last() else { break };
        for (entry, number) in entries.iter().zip(numbers(&entries)) {
            assert_eq!(entry.seq, u64::from(number) + 1, "another sample under this number");
        }
        assert!(entries[0].seq > last);
        (left, last) = (left + entries.len() as u64, end.seq);
        queue.consumer.acknowledge(&entries).await.unwrap();
    }
    put(queue, 0..1, 100).await;
    let new = queue.consumer.peek(1, 1 << 20).await.unwrap();
    assert!(new[0].seq > u64::from(SAMPLES), "{} was used before", new[0].seq);
    assert_balanced(queue);
    left
}

#[tokio::test]
async fn generation_that_was_removed_is_counted_wherever_it_was() {
    for which in ["oldest", "second", "middle", "newest"] {
        let home = tempfile::tempdir().unwrap();
        filled(home.path()).await;
        let found = generations(home.path());
        let gone = match which {
            "oldest" => 0,
            "second" => 1,
            "middle" => found.len() / 2,
            _ => found.len() - 1,
        };
        let agent_id = open(at(home.path())).stats.borrow().agent_id;
        let end = found.get(gone + 1).map_or(u64::from(SAMPLES) + 1, |next| begins(next));
        let lost = end - begins(&found[gone]);
        fs::remove_dir_all(&found[gone]).unwrap();
        let gone = begins(&found[gone]);
        let mut queue = open(at(home.path()));
        let stats = queue.stats.borrow().clone();
        assert_eq!(stats.ledger.dropped.corrupt, lost, "{which}");
        assert_eq!(stats.ledger.enqueued, u64::from(SAMPLES), "{which}");
        let told = assert_told(&mut queue, agent_id, Reason::Corrupt).await;
        let gone = |lost: &Lost| lost.first_seq <= gone && gone < lost.last_seq;
        assert!(told.iter().any(gone), "{which}: {told:?}");
        assert_eq!(assert_goes_on(&mut queue).await, u64::from(SAMPLES) - lost, "{which}");
        drop(queue);
        let queue = open(at(home.path()));
        assert_eq!(queue.stats.borrow().ledger.dropped.corrupt, lost, "{which}: counted once");
    }
}

#[tokio::test]
async fn newest_generation_that_was_cut_short_uses_no_number_twice() {
    for share in 0..4 {
        let home = tempfile::tempdir().unwrap();
        filled(home.path()).await;
        let before = open(at(home.path())).stats.borrow().agent_id;
        let newest = generations(home.path()).pop().unwrap();
        let file = fs::File::options().write(true).open(newest.join("db")).unwrap();
        let bytes = fs::read(newest.join("db")).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64;
        let keep = used * share / 5;
        file.set_len(keep).unwrap();
        let mut queue = open(at(home.path()));
        let stats = queue.stats.borrow().clone();
        assert!(stats.ledger.dropped.corrupt > 0, "{keep}: {stats:?}");
        assert_ne!(stats.agent_id, before, "how far it reached isn't certain");
        assert_told(&mut queue, before, Reason::Corrupt).await;
        assert_goes_on(&mut queue).await;
    }
}

#[tokio::test]
async fn directory_that_vanishes_is_noticed_and_what_was_in_it_counted() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("queue");
    let mut queue = open(options(&directory));
    put(&queue, 0..10, 100).await;
    let agent_id = queue.stats.borrow().agent_id;
    // The server was told of nothing yet.
    let purged = queue.inspector.purge(Selection::All, |_| ()).await.unwrap();
    assert_eq!(purged.samples, 10);
    put(&queue, 0..10, 100).await;
    fs::rename(&directory, home.path().join("elsewhere")).unwrap();
    // Without an answer it would be one that isn't durable.
    put(&queue, 10..12, 100).await;
    let stats = queue.stats.borrow().clone();
    assert_eq!((stats.ledger.enqueued, stats.ledger.dropped.corrupt), (22, 10), "{stats:?}");
    let losses = queue.consumer.losses(9).await.unwrap();
    let told = losses.iter().map(|loss| (loss.lost.reason, loss.lost.first_seq, loss.lost.count));
    assert_eq!(told.collect::<Vec<_>>(), [(Reason::Purged, 1, 10), (Reason::Corrupt, 11, 10)]);
    assert_eq!(stats.agent_id, agent_id, "this process knows how far it reached");
    assert_balanced(&queue);
    let entries = queue.consumer.peek(100, 1 << 20).await.unwrap();
    assert_eq!(numbers(&entries), [10, 11]);
    assert_eq!(entries[0].seq, 21);
    drop(queue);
    let queue = open(options(&directory));
    assert_eq!(queue.stats.borrow().queue.samples, 2);
    assert_balanced(&queue);
}

#[tokio::test]
async fn queue_of_a_later_format_is_refused_and_left_alone() {
    let home = tempfile::tempdir().unwrap();
    put(&open(options(home.path())), 0..3, 100).await;
    let mark = home.path().join("format");
    let ours = fs::read_to_string(&mark).unwrap();
    fs::write(&mark, "collector queue 9\n").unwrap();
    let clock = std::sync::Arc::new(collector::clock::SystemClock);
    let refused = collector::queue::open(options(home.path()), None, clock, Duration::ZERO);
    let refused = with_causes(&refused.unwrap_err());
    assert!(refused.contains("later version") && refused.contains('9'), "{refused}");
    let verdict = collector::queue::verify_closed(home.path(), 100_000_000, |_| ()).unwrap();
    assert!(verdict.problems[0].contains("later version"), "{verdict:?}");
    fs::write(&mark, ours).unwrap();
    assert_eq!(open(options(home.path())).stats.borrow().queue.samples, 3);
}

/// An error with all its causes.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
