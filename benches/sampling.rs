//! What does one tick cost: processor time to read each group and all of them, and bytes in the
//! queue. Times are CPU times of the calling thread, so a busy machine doesn't spoil them.

use std::{sync::Arc, time::Duration};

use bincode::Options as _;
use collector::{
    host,
    sample::{Group, Sample},
    sampler::{self, Sampler},
};
use criterion::{Criterion, criterion_group, criterion_main};
use glob::Pattern;

/// As a configuration without a word about metrics has it.
fn options() -> sampler::Options {
    let globs = |names: &[&str]| names.iter().filter_map(|name| Pattern::new(name).ok()).collect();
    sampler::Options {
        per_cpu: true,
        exclude_types: globs(&["cgroup*", "dev*", "overlay", "proc", "squashfs", "sysfs", "tmpfs"]),
        exclude_mounts: Vec::new(),
        exclude_devices: globs(&["loop*", "ram*"]),
        exclude_interfaces: globs(&["lo", "veth*"]),
        connections: true,
    }
}

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

fn cpu_per_tick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cpu per tick");
    let mut measure = |name: &str, groups: &[Group]| {
        let mut samplers = sampler::build(&options(), groups.iter().copied());
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|ticks| {
                let start = cpu_time();
                (0..ticks).for_each(|_| tick(&mut samplers));
                cpu_time().saturating_sub(start)
            });
        });
    };
    for one in Group::ALL {
        measure(one.name(), &[one]);
    }
    measure("all groups", &Group::ALL);
}

#[expect(clippy::print_stdout, reason = "sizes are what this bench is for")]
fn bytes_per_tick(_: &mut Criterion) {
    let origin = Arc::new(host::origin("", std::collections::BTreeMap::new()));
    let mut total = 0;
    for mut sampler in sampler::build(&options(), Group::ALL) {
        let sizes = [sampler.sample(), sampler.sample()].map(|metrics| {
            let sample = Sample {
                timestamp: jiff::Timestamp::UNIX_EPOCH,
                since_boot: host::since_boot(),
                origin: Arc::clone(&origin),
                interval: Duration::from_secs(5),
                metrics: metrics.expect("the system has the figures"),
            };
            let bytes = bincode::DefaultOptions::new().serialized_size(&sample);
            bytes.expect("a sample can be encoded")
        });
        // The first reading lacks the rates.
        println!("bytes per sample of {:8} {:5}", sampler.group(), sizes[1]);
        let every = if sampler.group() == Group::Disk { 6 } else { 1 };
        total += sizes[1] / every;
    }
    println!("bytes per tick, disk at every sixth: {total}");
}

criterion_group!(benches, cpu_per_tick, bytes_per_tick);
criterion_main!(benches);
