//! What do large hosts cost: bytes in the queue, and processor time to read and to pack. Times are CPU
//! times of the calling thread, so a busy machine doesn't spoil them. What a usual tick costs is
//! counted by `benches/cost.py`.

use std::{sync::Arc, time::Duration};

use collector::{
    host,
    queue::record,
    sample::{Cpu, CpuTimes, Group, LogicalCpu, Metrics, Origin, Sample, Ticks},
    sampler::{self, HostRoot, Sampler},
};
use criterion::{Criterion, criterion_group, criterion_main};
use uuid::Uuid;

#[cfg(unix)]
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.try_into().unwrap_or_default()
}

/// Elapsed time, for want of the other.
#[cfg(not(unix))]
fn cpu_time() -> Duration {
    static START: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed()
}

fn tick(samplers: &mut [Box<dyn Sampler>]) {
    for sampler in samplers {
        std::hint::black_box(sampler.sample().expect("the system has the figures"));
    }
}

/// The payload of a record of `metrics`.
fn payload(origin: &Arc<Origin>, metrics: Metrics) -> usize {
    let sample = Sample {
        timestamp: jiff::Timestamp::now(),
        since_boot: host::since_boot(),
        origin: Arc::clone(origin),
        interval: Duration::from_secs(5),
        metrics,
    };
    record::payload(Uuid::from_u128(7), &sample).expect("a sample can be encoded").len()
}

#[expect(clippy::print_stdout, reason = "sizes are what this bench is for")]
fn bytes_of_processors(_: &mut Criterion) {
    let origin = Arc::new(host::origin("", std::collections::BTreeMap::new()));
    for count in [2, 16, 128, 512] {
        let size = payload(&origin, Metrics::Cpu(processors(count)));
        println!("bytes per sample of {count:3} processors up for 30 days {size:6}");
    }
}

/// Processors that have been up for 30 days, each busy in its own way.
fn processors(count: u32) -> Cpu {
    let mut random = fastrand::Rng::with_seed(4711);
    let mut time = |most: u64| Ticks(random.u64(most / 2..most));
    let cpus = (0..count).map(|id| LogicalCpu {
        id,
        utilization: Some(0.1234),
        time: CpuTimes {
            user: time(40_000_000),
            nice: Some(time(10_000)),
            system: time(20_000_000),
            idle: time(200_000_000),
            iowait: Some(time(1_000_000)),
            interrupt: Some(Ticks(0)),
            softirq: Some(time(1_000_000)),
            steal: Some(Ticks(0)),
            guest: Some(Ticks(0)),
            guest_nice: Some(Ticks(0)),
        },
    });
    Cpu { cpus: Some(cpus.collect()), logical_count: count, ..Cpu::default() }
}

fn packing(criterion: &mut Criterion) {
    let origin = Arc::new(host::origin("", std::collections::BTreeMap::new()));
    let metrics = Metrics::Cpu(processors(128));
    criterion.bench_function("pack/128 processors", |bencher| {
        bencher.iter_custom(|times| {
            let start = cpu_time();
            for _ in 0..times {
                std::hint::black_box(payload(&origin, metrics.clone()));
            }
            cpu_time().saturating_sub(start)
        });
    });
}

/// Trees like those of `tests/fixtures/proc`, with many of one thing. What the kernel takes to write
/// such texts isn't in it; that is a little less than what reading them takes.
fn large_hosts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("large host");
    let mut measure = |name: &str, of: Group, path: &str, text: &str| {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("proc").join(path);
        let directory = file.parent().expect("it is below the home");
        std::fs::create_dir_all(directory).expect("a directory");
        std::fs::write(&file, text).expect("a file");
        // What the group can't do without.
        let needed = [("1/net/dev", "a\nb\n"), ("1/mountinfo", "1 1 8:1 / / rw - ext4 sda1 rw\n")];
        for (needed, text) in needed.iter().filter(|(needed, _)| *needed != path) {
            let file = home.path().join("proc").join(needed);
            std::fs::create_dir_all(home.path().join("proc/1/net")).expect("a directory");
            std::fs::write(file, text).expect("a file");
        }
        let options = sampler::Options {
            host_root: HostRoot(Some(home.path().to_owned())),
            per_cpu: true,
            connections: path.ends_with("tcp"),
            ..sampler::Options::default()
        };
        let mut samplers = sampler::build(&options, [of]);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|ticks| {
                let start = cpu_time();
                (0..ticks).for_each(|_| tick(&mut samplers));
                cpu_time().saturating_sub(start)
            });
        });
    };
    let lines = |count: u32, line: &dyn Fn(u32) -> String| (0..count).map(line).collect::<String>();
    let times = "40000000 9000 20000000 200000000 900000 0 900000 0 0 0\n";
    let stat = format!("cpu  {times}{}", lines(512, &|id| format!("cpu{id} {times}")));
    measure("512 processors", Group::Cpu, "stat", &stat);
    let counts = "123456789 1234567 0 0 0 0 0 0 123456789 1234567 0 0 0 0 0 0";
    let dev = lines(1000, &|number| format!("  dev{number}: {counts}\n"));
    measure("1,000 interfaces", Group::Network, "1/net/dev", &format!("a\nb\n{dev}"));
    let mounts = lines(3000, &|number| {
        format!("{number} 1 8:{number} / /mnt/{number} rw,relatime - ext4 /dev/sd{number} rw\n")
    });
    measure("3,000 mounts", Group::Disk, "1/mountinfo", &mounts);
    let devices = lines(1000, &|number| {
        format!(
            " 8 {number} sd{number} 446216 784926 9550688 4382310 424847 312726 5922052 1931 0 1 2 0 0 0 0 0 0\n"
        )
    });
    measure("1,000 block devices", Group::Disk, "diskstats", &devices);
    let socket = "0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000 0 0 1 1";
    let tcp = lines(100_000, &|number| format!("{number}: {socket}\n"));
    measure("100,000 sockets as text", Group::Network, "1/net/tcp", &format!("sl\n{tcp}"));
}

criterion_group!(benches, bytes_of_processors, packing, large_hosts);
criterion_main!(benches);
