//! Does a queue survive an upgrade with a backlog: records of an earlier format, then of this one,
//! in one generation, read in order and over a restart?

use std::{fs, path::Path, sync::Arc, time::Duration};

use collector::{
    clock::SystemClock,
    queue::{self, Entry, Queue, record},
    sample::Metrics,
};

use crate::{
    queue::{assert_balanced, numbers, options, put},
    support::copy_tree,
};

/// The queue of the first version, with new samples behind its 96.
async fn upgraded(directory: &Path) -> Queue {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/queue-v1/buffer");
    copy_tree(&fixture, directory);
    let queue = open_anywhere(directory);
    put(&queue, 0..20, 50).await;
    queue
}

/// As on the machine that made it, whichever that was.
fn open_anywhere(directory: &Path) -> Queue {
    let clock = Arc::new(SystemClock);
    queue::open(options(directory), None, clock, Duration::from_secs(5)).unwrap()
}

fn assert_whole(entries: &[Entry]) {
    assert_eq!(entries.len(), 96 + 20);
    assert!(entries.is_sorted_by(|before, next| before.seq + 1 == next.seq));
    assert!(entries[..96].iter().all(|entry| entry.sample.origin.host == "fixture"));
    assert_eq!(numbers(&entries[96..]), (0..20).collect::<Vec<_>>());
    let Metrics::Cpu(first) = &entries[0].sample.metrics else { panic!("the first is of cpu") };
    assert_eq!(first.logical_count, 2);
    assert_eq!((first.context_switches, first.time.guest), (None, None));
}

/// The versions of all frames in the files below `directory`.
fn versions(directory: &Path, found: &mut Vec<u8>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            versions(&entry.path(), found);
            continue;
        }
        let bytes = fs::read(entry.path()).unwrap();
        let frames = bytes.windows(record::MAGIC.len()).enumerate();
        let frames = frames.filter(|(_, start)| *start == record::MAGIC);
        found.extend(
            frames.filter_map(|(at, _)| Some(record::parse_frame(&bytes[at..]).ok()?.version)),
        );
    }
}

#[tokio::test]
async fn backlog_of_the_first_format_goes_before_new_samples() {
    let home = tempfile::tempdir().unwrap();
    let mut queue = upgraded(home.path()).await;
    let entries = queue.consumer.peek(1000, 1 << 20).await.unwrap();
    assert_whole(&entries);
    // Part of a value that holds both kinds may leave first.
    queue.consumer.acknowledge(&entries[..97]).await.unwrap();
    let rest = queue.consumer.peek(1000, 1 << 20).await.unwrap();
    assert_eq!(numbers(&rest), (1..20).collect::<Vec<_>>());
    queue.consumer.acknowledge(&rest).await.unwrap();
    assert_balanced(&queue);
}

#[tokio::test]
async fn both_formats_lie_side_by_side_and_survive_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let queue = upgraded(home.path()).await;
    drop(queue);
    let mut queue = open_anywhere(home.path());
    let mut found = Vec::new();
    versions(home.path(), &mut found);
    assert!(found.contains(&1) && found.contains(&record::VERSION), "{found:?}");
    assert_whole(&queue.consumer.peek(1000, 1 << 20).await.unwrap());
    assert_balanced(&queue);
}
