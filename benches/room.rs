//! How much room does a tick take on disk while it waits? Fills three parts of a queue of 100 MB with ticks of this
//! machine, on which so many processors are put as the argument says, and tells what a tick took.
//!
//! `cargo bench --bench room`; numbers as arguments are those of processors (2 16 64 128 512). The
//! processors' figures are made up: half of the time busy, each in its own way.

#![allow(missing_docs, reason = "a program that prints a table")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench that fails here has failed; figures for people"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use collector::{
    clock::SystemClock,
    host,
    queue::{self, Options, Overflow, Sync, record},
    sample::{Cpu, CpuTimes, Group, LogicalCpu, Metrics, Sample, Ticks},
    sampler,
};
use jiff::Timestamp;

const INTERVAL: Duration = Duration::from_secs(5);
const CAP: u64 = 100_000_000;
/// So many parts of the queue are begun; all but the last are full then.
const PARTS: usize = 4;
/// What Prometheus' write-ahead log takes of a figure (`benches/wal.sh`).
const PROMETHEUS: f64 = 6.43;

fn main() {
    let asked: Vec<u32> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let asked = if asked.is_empty() { vec![2, 16, 64, 128, 512] } else { asked };
    println!("processors | groups | figures | payload | on disk | Prometheus | times the days");
    for processors in asked {
        for groups in ["cpu", "all"] {
            room(processors, groups);
        }
    }
}

fn room(processors: u32, groups: &str) {
    let home = tempfile::tempdir_in(".").unwrap();
    let options = Options {
        directory: home.path().join("buffer"),
        max_bytes: CAP,
        min_free_bytes: 0,
        overflow: Overflow::DropOldest,
        max_age: None,
        sync: Sync::Every(Duration::from_secs(1)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let queue = queue::open(options, None, Arc::new(SystemClock), Duration::ZERO).unwrap();
    let mut machine = Machine::new(processors, groups);
    let (mut figures, mut payload) = (0, 0);
    let (mut ticks, mut samples) = (0_u64, 0_u64);
    while parts(home.path()).len() < PARTS {
        let tick = machine.tick();
        figures += tick.iter().map(|sample| count(&json(&sample.metrics))).sum::<u64>();
        payload += tick.iter().map(record::weight).sum::<u64>();
        samples += tick.len() as u64;
        ticks += 1;
        let _none_dropped = runtime.block_on(queue.producer.enqueue(tick)).unwrap();
    }
    let mut parts = parts(home.path());
    let (end, _) = parts.pop_last().unwrap();
    let in_full_parts = (end - 1) as f64 / samples as f64 * ticks as f64;
    let disk = parts.values().sum::<u64>() as f64 / in_full_parts;
    let [figures, payload] = [figures, payload].map(|number| number as f64 / ticks as f64);
    let prometheus = figures * PROMETHEUS;
    println!(
        "{processors} | {groups} | {figures:.0} | {payload:.0} | {disk:.0} | {prometheus:.0} | {:.1}",
        prometheus / disk,
    );
}

/// The parts of the queue: their first numbers and what they take on disk.
fn parts(home: &Path) -> BTreeMap<u64, u64> {
    let parts = fs::read_dir(home.join("buffer")).unwrap().map(|entry| entry.unwrap().path());
    let size = |path: PathBuf| {
        let first = path.file_name()?.to_str()?.strip_prefix("gen-")?.parse().ok()?;
        Some((first, fs::metadata(path.join("db")).ok()?.len()))
    };
    parts.filter_map(size).collect()
}

fn json(metrics: &Metrics) -> serde_json::Value {
    let json = match metrics {
        Metrics::Cpu(cpu) => serde_json::to_value(cpu),
        Metrics::Memory(memory) => serde_json::to_value(memory),
        Metrics::Disk(disk) => serde_json::to_value(disk),
        Metrics::Network(network) => serde_json::to_value(network),
        Metrics::Agent(agent) => serde_json::to_value(agent),
    };
    json.unwrap()
}

/// How many numbers there are, but for what Prometheus tells by a label or reckons later.
fn count(json: &serde_json::Value) -> u64 {
    match json {
        serde_json::Value::Number(_) => 1,
        serde_json::Value::Array(items) => items.iter().map(count).sum(),
        serde_json::Value::Object(fields) => {
            let told =
                fields.iter().filter(|(name, _)| !["id", "utilization"].contains(&name.as_str()));
            told.map(|(_, field)| count(field)).sum()
        }
        _ => 0,
    }
}

/// This machine, with other processors.
struct Machine {
    others: Vec<Vec<Metrics>>,
    cpu: Cpu,
    processors: Vec<[u64; 7]>,
    rng: fastrand::Rng,
    ticks: u32,
}

impl Machine {
    fn new(processors: u32, groups: &str) -> Self {
        let options = sampler::Options { per_cpu: true, connections: true, ..Default::default() };
        let mut all = sampler::build(&options, Group::ALL);
        let mut others = Vec::new();
        let mut cpu = Cpu::default();
        // What changes on this machine within a second, again and again.
        for number in 0..60_u32 {
            let mut tick = Vec::new();
            for sampler in &mut all {
                let is_due = sampler.group() != Group::Disk || number.is_multiple_of(6);
                match sampler.sample() {
                    Ok(Metrics::Cpu(found)) => cpu = found,
                    Ok(metrics) if is_due && groups == "all" => tick.push(metrics),
                    _ => {}
                }
            }
            others.push(tick);
            std::thread::park_timeout(Duration::from_millis(300));
        }
        let mut rng = fastrand::Rng::with_seed(7);
        let processors = (0..processors).map(|_| {
            [5_000_000, 900_000, 80_000_000, 30_000, 200_000, 2, 100_000]
                .map(|most| rng.u64(..most))
        });
        let processors = processors.collect();
        Self { others, cpu, processors, rng, ticks: 0 }
    }

    /// A tick later: hundredths of a second, those that aren't used by others idle.
    fn tick(&mut self) -> Vec<Sample> {
        let mut sums = [0; 7];
        let mut cpus = Vec::new();
        for (id, counters) in (0..).zip(&mut self.processors) {
            let busy = self.rng.u64(..500);
            let (system, softirq) = (busy / 5, busy / 33);
            let iowait = if self.rng.u8(..) < 20 { self.rng.u64(..3) } else { 0 };
            let nice = if self.rng.u8(..) < 10 { self.rng.u64(..5) } else { 0 };
            let user = busy.saturating_sub(system + softirq + nice);
            let idle = 500_u64.saturating_sub(busy + iowait);
            for (counter, more) in
                counters.iter_mut().zip([user, system, idle, nice, iowait, 0, softirq])
            {
                *counter += more;
            }
            sums.iter_mut().zip(&*counters).for_each(|(sum, counter)| *sum += counter);
            let utilization = Some((busy as f32 / 500.0 * 10_000.0).round() / 10_000.0);
            cpus.push(LogicalCpu { id, utilization, time: times(counters) });
        }
        let cpu = Cpu { cpus: Some(cpus), time: times(&sums), ..self.cpu.clone() };
        let others = &self.others[self.ticks as usize % self.others.len()];
        let at = INTERVAL * self.ticks + Duration::from_micros(self.rng.u64(..1000));
        self.ticks += 1;
        std::iter::once(&Metrics::Cpu(cpu))
            .chain(others)
            .map(|metrics| stamped(metrics, at))
            .collect()
    }
}

fn times(counters: &[u64; 7]) -> CpuTimes {
    let [user, system, idle, nice, iowait, interrupt, softirq] = counters.map(Ticks);
    let [nice, iowait, interrupt, softirq] = [nice, iowait, interrupt, softirq].map(Some);
    let [steal, guest, guest_nice] = [Some(Ticks(0)); 3];
    CpuTimes { user, nice, system, idle, iowait, interrupt, softirq, steal, guest, guest_nice }
}

/// A sample taken `at` after a month of uptime.
fn stamped(metrics: &Metrics, at: Duration) -> Sample {
    Sample {
        timestamp: Timestamp::new(1_790_000_000, 0).unwrap() + at,
        since_boot: Some(Duration::from_hours(30 * 24) + at),
        origin: Arc::new(host::origin("", BTreeMap::default())),
        interval: INTERVAL,
        metrics: metrics.clone(),
    }
}
