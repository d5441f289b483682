//! One tick over and over, for whoever counts what it costs: `benches/cost` runs it under callgrind
//! and strace with N and 2N ticks, so that the start falls out. By itself it tells the processor time
//! of a tick, caches hot or, with `--evict`, cold.
//!
//! `cost WHAT TICKS [--root DIR] [--evict MEGABYTES]`. WHAT is a group, `all` of them with their records
//! packed, `pack` or `json` for that alone, `press` or `unpress` for a block of sixteen ticks, or `bytes`,
//! which tells the size of each record.

#![allow(missing_docs, reason = "a program that prints figures")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench that fails here has failed; figures for people"
)]

use std::{collections::BTreeMap, hint::black_box, path::PathBuf, sync::Arc, time::Duration};

use collector::{
    encode::{Compression, Encoder as _, Limits, json::Json},
    host,
    queue::{
        Attached, Entry,
        record::{self, block},
    },
    sample::{Agent, Backlog, Fates, Group, Metrics, Origin, Sample, Ticks},
    sampler::{self, HostRoot, Sampler},
};
use glob::Pattern;
use uuid::Uuid;

fn main() {
    let asked = Asked::parse();
    let mut cost = Cost::new(&asked);
    let samples = cost.read();
    let mut tick: Box<dyn FnMut()> = match &*asked.what {
        "bytes" => return tell_bytes(&samples),
        "pack" => Box::new(|| samples.iter().for_each(|sample| _ = black_box(packed(sample)))),
        "json" => Box::new(|| _ = black_box(request(&samples))),
        "press" => {
            let frames = frames(&samples);
            Box::new(move || _ = black_box(block::new(&frames).unwrap()))
        }
        "unpress" => {
            let pressed = block::new(&frames(&samples)).unwrap();
            Box::new(move || {
                _ = black_box(block::Block::parse(&pressed).unwrap().frames().unwrap());
            })
        }
        "all" => Box::new(|| cost.read().iter().for_each(|sample| _ = black_box(packed(sample)))),
        _ => Box::new(|| _ = black_box(cost.read())),
    };
    measure(&asked, &mut tick);
}

/// The command line.
struct Asked {
    what: String,
    ticks: u32,
    root: Option<PathBuf>,
    evict: usize,
}

impl Asked {
    fn parse() -> Self {
        // `cargo bench` adds a word of its own.
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        let (what, ticks) = (words.next(), words.next());
        let mut asked = Self {
            what: what.unwrap_or_else(|| "all".into()),
            ticks: ticks.map_or(1000, |ticks| ticks.parse().unwrap()),
            root: None,
            evict: 0,
        };
        while let Some(option) = words.next() {
            let value = words.next().unwrap();
            match &*option {
                "--root" => asked.root = Some(value.into()),
                "--evict" => asked.evict = value.parse().unwrap(),
                _ => panic!("{option}?"),
            }
        }
        asked
    }
}

/// The samplers that take part in a tick.
struct Cost {
    samplers: Vec<Box<dyn Sampler>>,
    origin: Arc<Origin>,
}

impl Cost {
    /// As a configuration without a word about metrics has it.
    fn new(asked: &Asked) -> Self {
        let globs = |names: &[&str]| names.iter().map(|name| Pattern::new(name).unwrap()).collect();
        let types = ["cgroup*", "dev*", "overlay", "proc", "squashfs", "sysfs", "tmpfs"];
        let options = sampler::Options {
            host_root: HostRoot(asked.root.clone()),
            per_cpu: true,
            exclude_types: globs(&types),
            exclude_devices: globs(&["loop*", "ram*"]),
            exclude_interfaces: globs(&["lo", "veth*"]),
            connections: true,
            ..Default::default()
        };
        let one = Group::ALL.into_iter().find(|group| group.name() == asked.what);
        let groups = one.map_or_else(|| Group::ALL.to_vec(), |one| vec![one]);
        let mut samplers = sampler::build(&options, groups.iter().copied());
        if groups.contains(&Group::Agent) {
            samplers.push(sampler::own(std::process::id(), Box::new(agent)));
        }
        Self { samplers, origin: Arc::new(host::origin("", BTreeMap::new())) }
    }

    /// One tick, stamped as the collecting loop does it.
    fn read(&mut self) -> Vec<Sample> {
        let read = |sampler: &mut Box<dyn Sampler>| Sample {
            timestamp: jiff::Timestamp::now(),
            since_boot: host::since_boot(),
            origin: Arc::clone(&self.origin),
            interval: Duration::from_secs(5),
            metrics: sampler.sample().unwrap(),
        };
        self.samplers.iter_mut().map(read).collect()
    }
}

/// An agent in an outage.
fn agent() -> Agent {
    let queue = Backlog {
        samples: 4711,
        bytes: 700_000,
        disk_bytes: 2_000_000,
        max_bytes: 100_000_000,
        oldest_age: Some(Ticks(7_200_000)),
        capacity_seconds: Some(700_000),
        remaining_seconds: Some(600_000),
        ..Backlog::default()
    };
    let ledger = Fates { enqueued: 1_234_567, acknowledged: 1_229_856, ..Fates::default() };
    Agent { queue, ledger, ..Agent::default() }
}

fn packed(sample: &Sample) -> Vec<u8> {
    record::payload(Uuid::from_u128(7), sample).unwrap()
}

/// Sixteen ticks that wait for long, each with other counters, as they are put into a block; fewer if
/// they don't fit.
fn frames(samples: &[Sample]) -> Vec<u8> {
    let (mut frames, mut running_total, mut seqs) = (Vec::new(), 0, 1..);
    for tick in 0..16 {
        for (mut sample, seq) in samples.iter().cloned().zip(&mut seqs) {
            sample.timestamp += Duration::from_millis(5003) * tick;
            sample.since_boot =
                sample.since_boot.map(|since| since + Duration::from_secs(5) * tick);
            if let Metrics::Cpu(cpu) = &mut sample.metrics {
                cpu.context_switches = cpu.context_switches.map(|switches| switches + seq * 7919);
            }
            let payload = packed(&sample);
            running_total += payload.len() as u64;
            let added = record::frames(seq, running_total, &payload).flat_map(|(_, frame)| frame);
            let added: Vec<u8> = added.collect();
            if frames.len() + added.len() > block::MAX_FRAMES {
                return frames;
            }
            frames.extend(added);
        }
    }
    frames
}

/// The body of a tick's request, as long as it is.
fn request(samples: &[Sample]) -> usize {
    let entry = |(seq, sample): (u64, &Sample)| Entry {
        seq,
        agent_id: Uuid::from_u128(7),
        bytes: 0,
        sample: Arc::new(sample.clone()),
    };
    let entries: Vec<_> = (1..).zip(samples).map(entry).collect();
    let limits = Limits { max_samples: 500, max_bytes: 1_000_000 };
    Json::new(Compression::None).encode(&entries, limits, &Attached::default()).body.len()
}

fn tell_bytes(samples: &[Sample]) {
    for sample in samples {
        println!("{} {}", sample.metrics.group(), packed(sample).len());
    }
    println!("json {}", request(samples));
}

/// Processor time of the ticks alone, and how much of the loop's was the kernel's.
fn measure(asked: &Asked, tick: &mut dyn FnMut()) {
    let mut memory = vec![0_u8; asked.evict << 20];
    let before = kernel_and_user();
    let mut taken = Duration::ZERO;
    for _ in 0..asked.ticks {
        // A line of a cache at a time.
        memory.iter_mut().step_by(64).for_each(|byte| *byte = byte.wrapping_add(1));
        let start = cpu_time();
        tick();
        taken += cpu_time().saturating_sub(start);
    }
    black_box(memory);
    let micros = taken.as_secs_f64() * 1e6 / f64::from(asked.ticks);
    print!("{micros:.1} us of processor time a tick");
    let after = kernel_and_user();
    let [kernel, user] = [after[0] - before[0], after[1] - before[1]];
    if asked.evict == 0 && kernel + user > 0 {
        print!(", {:.1} of it the kernel's", micros * kernel as f64 / (kernel + user) as f64);
    }
    println!();
}

#[cfg(unix)]
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.try_into().unwrap()
}

/// Elapsed time, for want of the other.
#[cfg(not(unix))]
fn cpu_time() -> Duration {
    static START: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed()
}

/// In ticks of the kernel's clock, so only long runs tell; 0 where there is no `/proc`.
fn kernel_and_user() -> [u64; 2] {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let field = |number: usize| behind.split(' ').nth(number - 2)?.parse().ok();
    [15, 14].map(|number| field(number).unwrap_or(0))
}
