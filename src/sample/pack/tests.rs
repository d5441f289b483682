//! Whatever is packed comes back, and whatever isn't packed is refused.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use proptest::{option, prelude::*};

use super::*;
use crate::sample::{
    Agent, Backlog, Cpu, CpuTimes, Delivering, Device, DeviceKind, Disk, Filesystem, Inodes,
    Interface, InterfaceKind, LoadAverage, LogicalCpu, Memory, Metrics, Mode, Network, Origin,
    Process, Sample, Swap, TcpStates, Ticks, Traffic, Unavailable, WallClock,
};

/// Small ones, round ones and huge ones.
fn count() -> BoxedStrategy<u64> {
    prop_oneof![0..300_u64, any::<u32>().prop_map(u64::from), any::<u64>(), Just(u64::MAX)]
        .prop_flat_map(|number| prop_oneof![Just(number), Just(number & !0xfff)])
        .boxed()
}

fn figure() -> BoxedStrategy<Option<u64>> {
    option::of(count()).boxed()
}

fn ratio() -> BoxedStrategy<Option<f32>> {
    let decimal = (0..65_000_u16).prop_map(|number| f32::from(number) / 10_000.0);
    let any = any::<f32>().prop_filter("NaN isn't itself", |number| !number.is_nan());
    option::of(prop_oneof![decimal, any]).boxed()
}

fn times() -> BoxedStrategy<CpuTimes> {
    (count(), count(), count(), figure(), figure())
        .prop_map(|(user, system, idle, nice, guest)| CpuTimes {
            user: Ticks(user),
            system: Ticks(system),
            idle: Ticks(idle),
            nice: nice.map(Ticks),
            guest: guest.map(Ticks),
            ..CpuTimes::default()
        })
        .boxed()
}

fn cpu() -> BoxedStrategy<Cpu> {
    let logical = (0..5000_u32, ratio(), times());
    let logical = logical.prop_map(|(id, utilization, time)| LogicalCpu { id, utilization, time });
    let cpus = option::of(prop::collection::vec(logical, 0..20));
    (cpus, times(), ratio(), figure())
        .prop_map(|(cpus, time, utilization, interrupts)| Cpu {
            load_average: utilization.map(|one| LoadAverage { one, five: 0.1, fifteen: 12.34 }),
            cpus,
            time,
            utilization,
            interrupts,
            ..Cpu::default()
        })
        .boxed()
}

fn memory() -> BoxedStrategy<Memory> {
    let derived = (count(), count(), count(), any::<bool>());
    (derived, figure(), figure(), ratio())
        .prop_map(|((total, free, used, derive), a, b, ratio)| {
            let swap =
                Swap { total, used, free, utilization: ratio, swapped_in: b, ..Swap::default() };
            let memory = Memory {
                total,
                used,
                free,
                available: free,
                buffers: a,
                limit: b,
                utilization: ratio,
                oom_kills: a,
                swap,
                ..Memory::default()
            };
            if derive { memory.derive() } else { memory }
        })
        .boxed()
}

fn filesystem() -> BoxedStrategy<Filesystem> {
    let names = (".*", "/mnt/[a-z/]{0,9}", any::<bool>());
    (names, figure(), figure(), figure(), ratio())
        .prop_map(|(names, total, free, used, ratio)| Filesystem {
            device: names.0,
            mountpoint: names.1,
            kind: "ext4".into(),
            mode: if names.2 { Mode::ReadOnly } else { Mode::ReadWrite },
            unavailable: total.is_none().then_some(Unavailable::Hangs),
            total,
            used,
            free,
            available: free,
            utilization: ratio,
            inodes: total.map(|total| Inodes::new(total, 7)),
        })
        .boxed()
}

fn disk() -> BoxedStrategy<Disk> {
    let kinds = [None, Some(DeviceKind::Disk), Some(DeviceKind::Virtual)];
    let device = ("[a-z]{1,9}", prop::sample::select(kinds.to_vec()), figure(), figure(), ratio());
    let device = device.prop_map(|(device, kind, a, b, rate)| Device {
        device,
        kind,
        reads: a,
        read_bytes: b,
        discard_time: a.map(Ticks),
        reads_per_second: rate,
        ..Device::default()
    });
    let filesystems = prop::collection::vec(filesystem(), 0..9);
    let devices = option::of(prop::collection::vec(device, 0..9));
    (filesystems, devices)
        .prop_map(|(filesystems, devices)| Disk { filesystems, devices, ..Disk::default() })
        .boxed()
}

fn agent() -> BoxedStrategy<Agent> {
    let state = prop::sample::select(vec!["idle", "backing_off", ""]);
    (figure(), figure(), count(), ratio(), (state, option::of(any::<i64>())))
        .prop_map(|(a, b, samples, cpu_utilization, (state, last_step))| Agent {
            process: Process { uptime: a.map(Ticks), memory: b, cpu_utilization, cpu_time: None },
            queue: Backlog { samples, oldest_age: b.map(Ticks), ..Backlog::default() },
            forwarder: Delivering { state: state.into(), attempts: a, ..Delivering::default() },
            clock: WallClock { steps: b, last_step },
            ..Agent::default()
        })
        .boxed()
}

fn network() -> BoxedStrategy<Network> {
    let states = ["up", "down", ""].map(String::from);
    let state = option::of(prop::sample::select(states.to_vec()));
    let traffic = (count(), count(), figure(), ratio());
    let traffic = traffic.prop_map(|(bytes, packets, fifo, rate)| Traffic {
        bytes,
        packets,
        fifo,
        bytes_per_second: rate,
        ..Traffic::default()
    });
    let interface = (".{0,15}", state, option::of(any::<bool>()), figure(), traffic);
    let interface = interface.prop_map(|(name, state, carrier, mtu, receive)| Interface {
        name,
        kind: Some(InterfaceKind::Vlan),
        master: state.clone(),
        state,
        carrier,
        mtu,
        receive,
        ..Interface::default()
    });
    prop::collection::vec(interface, 0..9)
        .prop_map(|interfaces| {
            let tcp = Some(TcpStates { listen: 7, ..TcpStates::default() });
            let connections = Some(crate::sample::Connections { tcp, udp: None });
            Network { interfaces, connections, ..Network::default() }
        })
        .boxed()
}

fn sample() -> BoxedStrategy<Sample> {
    let metrics = prop_oneof![
        cpu().prop_map(Metrics::Cpu),
        memory().prop_map(Metrics::Memory),
        disk().prop_map(Metrics::Disk),
        network().prop_map(Metrics::Network),
        agent().prop_map(Metrics::Agent),
    ];
    let at = -1_000_000_i64..4_000_000_000_000_000;
    (metrics, at, figure(), 0..100_000_u32)
        .prop_map(|(metrics, at, since_boot, interval)| Sample {
            timestamp: Timestamp::from_microsecond(at).unwrap(),
            since_boot: since_boot.map(Duration::from_nanos),
            origin: Arc::default(),
            interval: Duration::from_millis(interval.into()),
            metrics,
        })
        .boxed()
}

fn unpack(packed: &[u8]) -> Result<Sample> {
    Sample::unpack(Arc::new(Origin::default()), packed)
}

proptest! {
    #[test]
    fn every_sample_comes_back(sample in sample()) {
        let packed = sample.clone().pack();
        prop_assert_eq!(unpack(&packed), Ok(sample));
    }

    #[test]
    fn cut_or_lengthened_bytes_are_refused(sample in sample(), cut in any::<prop::sample::Index>()) {
        let packed = sample.pack();
        prop_assert_eq!(unpack(&packed[..cut.index(packed.len())]), Err(Malformed));
        prop_assert_eq!(unpack(&[packed, vec![0]].concat()), Err(Malformed));
    }

    #[test]
    fn any_bytes_are_figures_or_refused(bytes: Vec<u8>) {
        if let Ok(sample) = unpack(&bytes) {
            let packed = sample.pack();
            prop_assert_eq!(unpack(&packed).map(Sample::pack), Ok(packed));
        }
    }
}

#[test]
fn idle_device_takes_few_bytes_more_than_its_name() {
    let device = |name: &str| Device {
        device: name.into(),
        reads: Some(0),
        writes: Some(0),
        read_bytes: Some(0),
        reads_per_second: Some(0.0),
        ..Device::default()
    };
    let disk = |devices| Metrics::Disk(Disk { devices: Some(devices), ..Disk::default() });
    let size = |metrics| {
        let sample = Sample {
            timestamp: Timestamp::UNIX_EPOCH,
            since_boot: None,
            origin: Arc::default(),
            interval: Duration::ZERO,
            metrics,
        };
        sample.pack().len()
    };
    let one = size(disk(vec![device("loop0")]));
    let two = size(disk(vec![device("loop0"), device("loop1")]));
    assert!(two - one <= 10, "{}", two - one);
}
