//! How long does a queue take to open, with 10 MB, 100 MB and 1 GB of it on the disk? The first time and the
//! median of seven, by the clock: on a busy machine it is more. `cargo bench --bench opening`;
//! numbers as arguments are other sizes, in MB. It needs as much room on the disk.

#![allow(missing_docs, reason = "a program that prints a table")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that fails here has failed")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use collector::queue::{Options, Queue, Sync};

#[expect(dead_code, reason = "nothing is compared here")]
#[path = "../tests/crash/content.rs"]
mod content;

/// Openings of one queue.
const ROUNDS: usize = 7;

fn main() {
    let asked: Vec<u64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let sizes = if asked.is_empty() { vec![10, 100, 1000] } else { asked };
    println!("on disk, MB | samples | first open, ms | median of seven, ms");
    for megabytes in sizes {
        measure(megabytes * 1_000_000);
    }
}

fn measure(bytes: u64) {
    let home = tempfile::tempdir_in(".").unwrap();
    fill(home.path(), bytes);
    let mut times = Vec::new();
    let mut samples = 0;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let queue = open(home.path(), bytes, Sync::Always);
        times.push(begun.elapsed());
        samples = queue.stats.borrow().queue.samples;
    }
    let first = times[0];
    times.sort_unstable();
    let on_disk = on_disk(home.path()) / 1_000_000;
    println!(
        "{on_disk:11} | {samples:7} | {:8} | {}",
        first.as_millis(),
        times[ROUNDS / 2].as_millis()
    );
}

/// Fills the queue up to its cap, with samples of the usual size.
#[tokio::main(flavor = "current_thread")]
async fn fill(directory: &Path, bytes: u64) {
    // What is measured is the opening: it needn't be durable before.
    let queue = open(directory, bytes, Sync::Every(Duration::from_hours(1)));
    let room = bytes - bytes / 4;
    let mut numbers = 0..;
    while queue.stats.borrow().queue.disk_bytes < room {
        let samples = numbers.by_ref().take(40).map(|number| content::sample(number, 140));
        let done = queue.producer.enqueue(samples.collect()).await.unwrap();
        assert_eq!(done.evicted, 0, "it isn't full yet");
    }
}

fn open(directory: &Path, max_bytes: u64, sync: Sync) -> Queue {
    content::open(Options { sync, ..content::options(directory, max_bytes) }).unwrap()
}

fn on_disk(path: &Path) -> u64 {
    let metadata = path.symlink_metadata().unwrap();
    let below = std::fs::read_dir(path).into_iter().flatten().flatten();
    metadata.len() + below.map(|entry| on_disk(&entry.path())).sum::<u64>()
}
