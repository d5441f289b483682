//! What does it cost to keep a sample? The queue beside a plain append + fdatasync in the same run:
//! CPU, bytes written (handed to the kernel) and bytes on disk a record; `.ci/fsync-count` counts the
//! syncs. Counts and ratios, no times of the clock,
//! so that it repeats on a shared machine. `cargo bench --bench queue`; a number as an argument is
//! the count of records.

#![allow(missing_docs, reason = "a program that prints a table")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that fails here has failed")]
#![expect(clippy::cast_precision_loss, reason = "ratios for people")]

use std::{fs::File, io::Write, path::Path, sync::Arc, time::Duration};

use collector::{
    clock::SystemClock,
    queue::{self, Options, Overflow, Queue, Sync},
    sample::{Cpu, Metrics, Origin, Sample},
};
use jiff::Timestamp;

fn main() {
    let count = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(4000);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    println!("group × payload | what | CPU µs/record | bytes written × payload | disk × payload");
    for (group, size) in [(4, 250), (1, 1000), (10, 1000)] {
        let payload = payload(size);
        append(group, payload, count);
        runtime.block_on(enqueue(group, size, payload, count));
    }
}

fn payload(size: usize) -> usize {
    let record = queue::record::Record { agent_id: uuid::Uuid::nil(), sample: sample(size) };
    queue::record::pack(&record).unwrap().len()
}

fn sample(size: usize) -> Sample {
    // About 60 bytes are the envelope.
    let origin = Origin { host: "x".repeat(size - 60), ..Origin::default() };
    let (timestamp, interval) = (Timestamp::now(), Duration::from_secs(5));
    let metrics = Metrics::Cpu(Cpu::default());
    Sample { timestamp, since_boot: None, origin: Arc::new(origin), interval, metrics }
}

fn append(group: usize, payload: usize, count: usize) {
    let home = tempfile::tempdir_in(".").unwrap();
    let mut file = File::create(home.path().join("log")).unwrap();
    let bytes = vec![7; (payload + 34) * group];
    let before = Usage::now();
    for _ in 0..count / group {
        file.write_all(&bytes).unwrap();
        file.sync_data().unwrap();
    }
    report(group, payload, "append + fdatasync", count, &before, home.path());
}

async fn enqueue(group: usize, size: usize, payload: usize, count: usize) {
    let home = tempfile::tempdir_in(".").unwrap();
    let mut queue = open(home.path());
    let before = Usage::now();
    for _ in 0..count / group {
        let samples = (0..group).map(|_| sample(size)).collect();
        let _none_dropped = queue.producer.enqueue(samples).await.unwrap();
    }
    report(group, payload, "enqueue", count, &before, home.path());
    let before = Usage::now();
    loop {
        let entries = queue.consumer.peek(500, 1 << 20).await.unwrap();
        if entries.is_empty() {
            break;
        }
        queue.consumer.acknowledge(&entries).await.unwrap();
    }
    report(group, payload, "drain", count, &before, home.path());
}

fn open(directory: &Path) -> Queue {
    let options = Options {
        directory: directory.to_owned(),
        max_bytes: 100_000_000,
        min_free_bytes: 0,
        overflow: Overflow::DropOldest,
        max_age: None,
        sync: Sync::Always,
    };
    queue::open(options, None, Arc::new(SystemClock), Duration::ZERO).unwrap()
}

/// CPU and bytes of this process so far (`getrusage`, `/proc/self/io`).
struct Usage {
    cpu_us: f64,
    written: f64,
}

impl Usage {
    fn now() -> Self {
        let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
        let field = |name: &str| {
            let line = io.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
        };
        Self { cpu_us: cpu_us(), written: field("wchar:") }
    }
}

fn cpu_us() -> f64 {
    let mut total = 0.0;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let ns = text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok());
        total += ns.unwrap_or(0.0) / 1000.0;
    }
    total
}

fn report(group: usize, payload: usize, what: &str, count: usize, before: &Usage, home: &Path) {
    let now = Usage::now();
    let all = (payload * count) as f64;
    let disk = on_disk(home) as f64;
    println!(
        "{group:2} × {payload:4} | {what:18} | {:6.1} | {:5.2} | {:5.2}",
        (now.cpu_us - before.cpu_us) / count as f64,
        (now.written - before.written) / all,
        disk / all,
    );
}

fn on_disk(path: &Path) -> u64 {
    let metadata = path.symlink_metadata().unwrap();
    let below = std::fs::read_dir(path).into_iter().flatten().flatten();
    metadata.len() + below.map(|entry| on_disk(&entry.path())).sum::<u64>()
}
