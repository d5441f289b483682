//! What the queue's directory takes at every instant, not only between two steps: a thread measures it
//! all the while.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use collector::queue::{Options, Queue, Refusal};

use crate::queue::{assert_balanced, open, options, put};

/// Measures a directory again and again.
struct Watch {
    stop: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Watch {
    fn over(directory: &Path) -> Self {
        let (stop, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (directory, stopped, seen) =
            (directory.to_owned(), Arc::clone(&stop), Arc::clone(&most));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                seen.fetch_max(bytes_below(&directory), Ordering::Relaxed);
            }
        });
        Self { stop, most, thread }
    }

    /// The most that was ever there.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.most.load(Ordering::Relaxed)
    }
}

/// Of what is removed meanwhile nothing counts.
fn bytes_below(directory: &Path) -> u64 {
    let paths = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let bytes = |path: PathBuf| match std::fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_dir() => bytes_below(&path),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    paths.map(|entry| bytes(entry.path())).sum()
}

fn dropped(queue: &Queue) -> u64 {
    queue.stats.borrow().ledger.dropped.overflow
}

async fn set_oldest_aside(queue: &mut Queue) {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let refusal = Refusal { at, status: 400, answer: "x".repeat(1024) };
    let oldest = queue.consumer.peek(1, 1).await.unwrap();
    assert_eq!(queue.consumer.dead_letter(&oldest, refusal).await.unwrap(), 1);
}

#[tokio::test]
async fn log_of_dead_letters_that_is_written_anew_fits_below_the_cap_of_a_full_queue() {
    const CAP: u64 = 100_000_000;
    let home = tempfile::tempdir().unwrap();
    let mut queue = open(Options { max_bytes: CAP, ..options(home.path()) });
    for number in 0..94 {
        put(&queue, number..number + 1, 50_000).await;
        set_oldest_aside(&mut queue).await;
    }
    // To the moment before the oldest give way, as an outage does.
    let (mut full, mut number, before) = (0, 94, dropped(&queue));
    while dropped(&queue) == before {
        full = queue.stats.borrow().queue.disk_bytes;
        put(&queue, number..number + 10, 50_000).await;
        number += 10;
    }
    while queue.stats.borrow().queue.disk_bytes + 100_000 < full {
        put(&queue, number..number + 1, 50_000).await;
        number += 1;
    }
    let watch = Watch::over(home.path());
    let log = || std::fs::metadata(home.path().join("dead-letters")).unwrap().len();
    let mut before = 0;
    while log() > before {
        before = log();
        set_oldest_aside(&mut queue).await;
    }
    let most = watch.end();
    assert!(most <= CAP, "{} bytes too many", most - CAP);
    assert_balanced(&queue);
}
