//! What does the running agent cost? Starts the real binary and reads what the kernel counts for
//! it: CPU an hour, context switches a second, resident memory, in three situations: delivering
//! every tick, in an outage, and draining a full queue of 100 MB.
//!
//! `cargo bench --bench daemon`; a number as an argument is the seconds that each of the first two
//! takes (60). Linux only: it reads `/proc`.

#![allow(missing_docs, reason = "a program that prints a table")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench that fails here has failed; figures for people"
)]

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use collector::{
    clock::SystemClock,
    host,
    queue::{self, Options, Overflow, Sync},
    sample::{Group, Sample},
    sampler,
};
use jiff::Timestamp;

const INTERVAL: Duration = Duration::from_secs(5);
const CAP: u64 = 100_000_000;

fn main() {
    let seconds = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(60);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    println!("situation | CPU s/hour | switches/s | RSS kB | peak RSS kB");
    {
        let _receiver = receive(port);
        footprint("delivering every tick", port, seconds);
    }
    footprint("in an outage", port, seconds);
    drain(port);
}

/// A child process that ends with the bench.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn collector(home: &Path, args: &[&str]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_collector"));
    command.args(args).current_dir(home).stdout(Stdio::null()).stderr(Stdio::null());
    Running(command.spawn().unwrap())
}

fn receive(port: u16) -> Running {
    collector(Path::new("."), &["receive", "--listen", &format!("127.0.0.1:{port}")])
}

fn configured(port: u16) -> tempfile::TempDir {
    let home = tempfile::tempdir_in(".").unwrap();
    let config = format!("collector: {{server_url: 'http://127.0.0.1:{port}'}}\n");
    fs::create_dir(home.path().join("config")).unwrap();
    fs::write(home.path().join("config/collector-config.yaml"), config).unwrap();
    home
}

fn footprint(situation: &str, port: u16, seconds: u64) {
    let home = configured(port);
    let agent = collector(home.path(), &["run"]);
    // What the start costs isn't what the hours cost.
    thread::park_timeout(Duration::from_secs(10));
    let before = Counted::of(&agent.0);
    thread::park_timeout(Duration::from_secs(seconds));
    let after = Counted::of(&agent.0);
    println!(
        "{situation} | {:.2} | {:.1} | {} | {}",
        (after.cpu_us - before.cpu_us) * 3600.0 / seconds as f64 / 1e6,
        (after.switches - before.switches) / seconds as f64,
        after.rss_kb,
        after.peak_kb,
    );
}

fn drain(port: u16) {
    let home = configured(port);
    let filled = fill(&home.path().join("buffer"));
    println!("full queue: {filled}");
    let opened = Instant::now();
    let agent = collector(home.path(), &["run"]);
    while !home.path().join("buffer/control.sock").exists() {
        thread::park_timeout(Duration::from_millis(1));
    }
    println!("start with a full queue: {} ms", opened.elapsed().as_millis());
    thread::park_timeout(Duration::from_secs(5));
    let before = Counted::of(&agent.0);
    println!("RSS with a full queue: {} kB", before.rss_kb);
    let started = Instant::now();
    let _receiver = receive(port);
    let mut delivered = 0;
    while started.elapsed() < Duration::from_mins(5) {
        let report = stats(home.path());
        delivered = report["ledger"]["acknowledged"].as_u64().unwrap();
        if report["queue"]["samples"].as_u64().unwrap() < 20 {
            break;
        }
        thread::park_timeout(Duration::from_millis(100));
    }
    let after = Counted::of(&agent.0);
    println!(
        "drain: {delivered} samples, {:.0}/s, {:.1} us of CPU a sample, peak RSS {} kB, then {} kB",
        delivered as f64 / started.elapsed().as_secs_f64(),
        (after.cpu_us - before.cpu_us) / delivered as f64,
        after.peak_kb,
        after.rss_kb,
    );
    println!("disk after the drain: {} bytes", stats(home.path())["queue"]["disk_bytes"]);
}

fn stats(home: &Path) -> serde_json::Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_collector"));
    let output = command.args(["queue", "stats", "--json"]).current_dir(home).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Fills a queue to nine tenths of its cap with ticks of this machine.
fn fill(directory: &Path) -> String {
    let options = Options {
        directory: directory.to_owned(),
        max_bytes: CAP,
        min_free_bytes: 0,
        overflow: Overflow::DropOldest,
        max_age: None,
        sync: Sync::Every(Duration::from_secs(1)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let machine = host::machine_id();
    let clock = Arc::new(SystemClock);
    let queue = queue::open(options, machine.as_deref(), clock, Duration::ZERO).unwrap();
    let recorded = record();
    let (mut ticks, mut rng) = (0_u32, fastrand::Rng::with_seed(5));
    loop {
        let at = INTERVAL * ticks + Duration::from_micros(rng.u64(..1000));
        let tick = &recorded[ticks as usize % recorded.len()];
        let tick = tick.iter().map(|metrics| stamped(metrics, at)).collect();
        ticks += 1;
        let _none_dropped = runtime.block_on(queue.producer.enqueue(tick)).unwrap();
        let stats = queue.stats.borrow();
        if stats.queue.disk_bytes > CAP / 10 * 9 {
            let (samples, disk, bytes) =
                (stats.queue.samples, stats.queue.disk_bytes, stats.queue.bytes);
            return format!(
                "{ticks} ticks, {samples} samples, {bytes} bytes of payload, {disk} on disk, {} bytes on disk a tick",
                disk / u64::from(ticks)
            );
        }
    }
}

/// Two minutes of this machine, with what changes in two seconds: what is repeated afterwards is
/// farther apart than anything that shares a block.
fn record() -> Vec<Vec<collector::sample::Metrics>> {
    let mut all = sampler::build(&sampler_options(), Group::ALL);
    let mut tick = |number: u64| -> Vec<collector::sample::Metrics> {
        thread::park_timeout(Duration::from_secs(2));
        let due = all
            .iter_mut()
            .filter(|sampler| sampler.group() != Group::Disk || number.is_multiple_of(6));
        due.map(|sampler| sampler.sample().unwrap()).collect()
    };
    (0..60).map(&mut tick).collect()
}

fn sampler_options() -> sampler::Options {
    sampler::Options { per_cpu: true, connections: true, ..Default::default() }
}

/// A sample taken `at` after a month of uptime.
fn stamped(metrics: &collector::sample::Metrics, at: Duration) -> Sample {
    Sample {
        timestamp: Timestamp::new(1_790_000_000, 0).unwrap() + at,
        since_boot: Some(Duration::from_hours(30 * 24) + at),
        origin: Arc::new(host::origin("", std::collections::BTreeMap::default())),
        interval: INTERVAL,
        metrics: metrics.clone(),
    }
}

/// What the kernel counted for a process so far.
struct Counted {
    cpu_us: f64,
    switches: f64,
    rss_kb: u64,
    peak_kb: u64,
}

impl Counted {
    fn of(child: &Child) -> Self {
        let proc = format!("/proc/{}", child.id());
        let (mut cpu_us, mut switches) = (0.0, 0.0);
        for task in fs::read_dir(format!("{proc}/task")).unwrap().flatten() {
            // Time on a CPU in nanoseconds, the first of three figures.
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let on_cpu = text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok());
            cpu_us += on_cpu.unwrap_or(0.0) / 1000.0;
            let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
            switches += field(&status, "voluntary_ctxt_switches:")
                + field(&status, "nonvoluntary_ctxt_switches:");
        }
        let status = fs::read_to_string(format!("{proc}/status")).unwrap();
        let [rss_kb, peak_kb] = ["VmRSS:", "VmHWM:"].map(|name| kilobytes(&status, name));
        Self { cpu_us, switches, rss_kb, peak_kb }
    }
}

fn field(status: &str, name: &str) -> f64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
}

fn kilobytes(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
