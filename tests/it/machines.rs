//! Are the figures of odd machines what their kernels say? `tests/fixtures/proc` holds the `/proc` and
//! `/sys` of each, read as a container reads its host's.

use std::path::Path;

use collector::{
    sample::{
        Cpu, DeviceKind, Disk, Group, InterfaceKind, Memory, Metrics, Mode, Network, Ticks,
        Unavailable,
    },
    sampler::{self, HostRoot},
};

fn sampled(machine: &str, group: Group) -> Metrics {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/proc").join(machine);
    let options = sampler::Options {
        host_root: HostRoot(Some(root)),
        per_cpu: true,
        connections: true,
        ..sampler::Options::default()
    };
    let mut samplers = sampler::build(&options, [group]);
    drop(samplers[0].sample());
    samplers[0].sample().unwrap()
}

fn cpu(machine: &str) -> Cpu {
    let Metrics::Cpu(cpu) = sampled(machine, Group::Cpu) else { panic!("no processors") };
    cpu
}

fn memory(machine: &str) -> Memory {
    let Metrics::Memory(memory) = sampled(machine, Group::Memory) else { panic!("no memory") };
    memory
}

fn disk(machine: &str) -> Disk {
    let Metrics::Disk(disk) = sampled(machine, Group::Disk) else { panic!("no disks") };
    disk
}

fn network(machine: &str) -> Network {
    let Metrics::Network(network) = sampled(machine, Group::Network) else { panic!("no network") };
    network
}

#[test]
fn large_machine_has_all_processors_but_the_offline_ones() {
    let cpu = cpu("large");
    let cpus = cpu.cpus.unwrap();
    assert_eq!((cpu.logical_count, cpus.len()), (126, 126));
    assert!(cpus.iter().all(|cpu| cpu.id != 5 && cpu.id != 77));
    let sum: u64 = cpus.iter().map(|cpu| cpu.time.user.0).sum();
    assert_eq!(cpu.time.user, Ticks(sum + 777), "what the offline ones have done is in the total");
    assert_eq!(cpus[0].time.guest, Some(Ticks(1000)));
    // Nothing has happened since the first reading.
    assert_eq!((cpu.utilization, cpus[0].utilization), (None, None));
    let processes = cpu.processes.unwrap();
    assert_eq!((processes.running, processes.blocked), (Some(12), Some(3)));
    assert_eq!((processes.threads, processes.created), (Some(20_011), Some(4711)));
    assert_eq!((cpu.context_switches, cpu.interrupts), (Some(u64::MAX), Some(987_654_321)));
    assert_eq!(cpu.boot_time, Some(1_790_000_000));
    let pressure = cpu.pressure.unwrap();
    assert_eq!((pressure.waiting, pressure.stalled), (Some(Ticks(1_234_567)), None));
}

#[test]
fn large_machine_without_swap_has_no_share_of_it() {
    let memory = memory("large");
    assert_eq!((memory.total, memory.swap.total), (1_056_426_668 << 10, 0));
    assert_eq!(memory.swap.utilization, None);
    assert_eq!((memory.limit, memory.limit_used), (None, None));
    assert_eq!(memory.huge_pages.unwrap().free, 512);
    assert_eq!(memory.page_faults.unwrap().total, Some(u64::MAX));
    assert_eq!((memory.dirty, memory.writeback), (Some(120 << 10), Some(8 << 10)));
    assert_eq!(memory.pressure.unwrap().stalled, Some(Ticks(7)));
}

#[test]
fn whole_disks_partitions_and_mapped_devices_are_told_apart() {
    let devices = disk("large").devices.unwrap();
    let kinds: Vec<_> = devices.iter().map(|device| (&*device.device, device.kind)).collect();
    let expected = [
        ("nvme0n1", Some(DeviceKind::Disk)),
        ("nvme0n1p1", Some(DeviceKind::Partition)),
        ("dm-0", Some(DeviceKind::Virtual)),
        ("cciss/c0d0", Some(DeviceKind::Disk)),
    ];
    assert_eq!(kinds, expected);
    assert_eq!((devices[0].in_flight, devices[0].flushes), (Some(2), Some(42)));
    assert_eq!((devices[3].discards, devices[3].flushes), (Some(0), None));
    assert_eq!(devices[0].reads_per_second, Some(0.0));
}

#[test]
fn odd_names_stay_apart_and_bind_mounts_count_once() {
    let disk = disk("large");
    let places: Vec<_> = disk.filesystems.iter().map(|f| &*f.mountpoint).collect();
    let expected = ["/", "/mnt/\\x5cxff\\xfe", "/mnt/\\xff\\xfe", "/run", "/srv/my disk\\n\nx"];
    assert_eq!(places, expected);
    assert_eq!(disk.filesystems[4].device, "/dev/mapper/vg-\"quoted\"");
    assert_eq!(disk.filesystems[1].mode, Mode::ReadOnly);
    // There is nothing at the place where the fixture says it is.
    assert_eq!(disk.filesystems[4].unavailable, Some(Unavailable::Refused));
    // Where the fixture's root is mounted lies a file system of this machine.
    assert_eq!(disk.filesystems[0].unavailable, Some(Unavailable::Refused));
    assert!(disk.filesystems.iter().all(|filesystem| filesystem.total.is_none()));
}

#[test]
fn bonds_vlans_and_bridges_are_told_apart_from_hardware() {
    let interfaces = network("large").interfaces;
    let kinds: Vec<_> = interfaces.iter().map(|link| (&*link.name, link.kind)).collect();
    let expected = [
        ("lo", Some(InterfaceKind::Loopback)),
        ("eth0", Some(InterfaceKind::Physical)),
        ("bond0", Some(InterfaceKind::Bond)),
        ("bond0.7", Some(InterfaceKind::Vlan)),
        ("br0", Some(InterfaceKind::Bridge)),
        ("w\\xff\\x5cx", None),
    ];
    assert_eq!(kinds, expected);
    let eth0 = &interfaces[1];
    assert_eq!((eth0.master.as_deref(), eth0.mtu), (Some("bond0"), Some(9000)));
    assert_eq!((eth0.speed, eth0.carrier_changes), (Some(3_125_000_000), Some(3)));
    assert_eq!(eth0.receive.bytes, u64::MAX);
    assert_eq!((eth0.receive.multicast, eth0.transmit.collisions), (Some(6), Some(10)));
    let br0 = &interfaces[4];
    assert_eq!((br0.state.as_deref(), br0.carrier, br0.speed), (Some("down"), None, None));
    assert_eq!(interfaces[5].state, None);
}

#[test]
fn host_s_sockets_and_protocols_are_read_from_its_first_process() {
    let network = network("large");
    let connections = network.connections.unwrap();
    let tcp = connections.tcp.unwrap();
    assert_eq!((tcp.listen, tcp.established, connections.udp), (2, 1, Some(7)));
    let tcp = network.tcp.unwrap();
    assert_eq!((tcp.retransmitted, tcp.listen_drops), (Some(8), Some(6)));
    let udp = network.udp.unwrap();
    assert_eq!((udp.in_datagrams, udp.no_ports, udp.in_errors), (Some(11), Some(22), Some(3)));
    // Those that can be read are our own, not the host's.
    assert_eq!(network.conntrack, None);
}

#[test]
fn container_sees_its_limits_beside_the_host_s_figures() {
    let memory = memory("container-v2");
    assert_eq!(memory.total, 8_000_000 << 10);
    assert_eq!((memory.limit, memory.limit_used), (Some(536_870_912), Some(104_857_600)));
    assert_eq!(cpu("container-v2").limit, Some(1.5));
}

#[test]
fn old_control_group_without_a_limit_of_memory_has_none() {
    let memory = memory("container-v1");
    assert_eq!((memory.limit, memory.limit_used), (None, None));
    assert_eq!(cpu("container-v1").limit, Some(0.5));
    assert_eq!((memory.swap.used, memory.swap.utilization), (40 << 10, Some(0.4)));
}

#[test]
fn old_kernel_lacks_figures_instead_of_showing_zeros() {
    let cpu = cpu("old");
    assert_eq!((cpu.time.iowait, cpu.time.steal, cpu.time.guest), (None, None, None));
    assert_eq!((cpu.pressure, cpu.processes.unwrap().running), (None, None));
    let memory = memory("old");
    assert_eq!(memory.available, 45 << 10);
    assert_eq!((memory.slab, memory.huge_pages, memory.oom_kills), (None, None, None));
    let devices = disk("old").devices.unwrap();
    assert_eq!((devices[0].weighted_io_time, devices[0].discards), (Some(Ticks(23_705_160)), None));
    assert_eq!(
        (devices[1].writes, devices[1].io_time, devices[1].kind),
        (Some(38_030), None, None)
    );
    let network = network("old");
    assert_eq!((network.udp, network.tcp.unwrap().in_segments), (None, None));
    assert_eq!(network.interfaces[0].mtu, None);
}

#[test]
fn device_and_interface_that_are_plugged_in_appear_and_go_again() {
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = home.path().join("proc").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    file("1/mountinfo", "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
    let options = sampler::Options {
        host_root: HostRoot(Some(home.path().to_owned())),
        ..sampler::Options::default()
    };
    let mut samplers = sampler::build(&options, [Group::Disk, Group::Network]);
    let mut seen = Vec::new();
    for extra in ["", "sdb", ""] {
        let disk = |name: &str| format!(" 8 0 {name} 1 0 8 1 1 0 8 1 0 1 1\n");
        let link = |name: &str| format!("{name}: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n");
        let (disks, links) = if extra.is_empty() {
            (disk("sda"), link("eth0"))
        } else {
            (disk("sda") + &disk(extra), link("eth0") + &link(extra))
        };
        file("diskstats", &disks);
        file("1/net/dev", &format!("a\nb\n{links}"));
        let Metrics::Disk(disk) = samplers[0].sample().unwrap() else { panic!("no disks") };
        let Metrics::Network(network) = samplers[1].sample().unwrap() else { panic!("no network") };
        let devices = disk.devices.unwrap();
        // What is new has no rate, what was there before has one.
        let with_rate = devices.iter().filter(|device| device.reads_per_second.is_some()).count();
        seen.push((devices.len(), network.interfaces.len(), with_rate));
    }
    assert_eq!(seen, [(1, 1, 0), (2, 2, 1), (1, 1, 1)]);
}

/// With texts as long as a kernel of today writes them; `benches/cost.py check` counts what they cost.
#[test]
fn usual_machine_has_every_figure() {
    let memory = memory("usual");
    assert_eq!(memory.page_faults.unwrap().total, Some(60_608_938));
    assert_eq!((memory.page_faults.unwrap().major, memory.oom_kills), (Some(1554), Some(0)));
    let paging = memory.paging.unwrap();
    assert_eq!(
        (paging.paged_in, paging.paged_out),
        (Some(1_066_250 << 10), Some(46_941_742 << 10))
    );
    let cpu = cpu("usual");
    assert_eq!((cpu.logical_count, cpu.interrupts), (4, Some(289_342_312)));
    let disk = disk("usual");
    assert_eq!(disk.devices.unwrap().len(), 12);
    let network = network("usual");
    let tcp = network.connections.unwrap().tcp.unwrap();
    assert_eq!((tcp.listen, tcp.established, tcp.time_wait), (8, 6, 9));
    assert!(network.tcp.unwrap().listen_overflows.is_some());
    assert!(network.udp.unwrap().in_datagrams.is_some());
    assert_eq!(network.interfaces.iter().filter(|link| link.carrier == Some(true)).count(), 4);
}
