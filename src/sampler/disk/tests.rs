//! Which mounts stand for which file systems, and the rates of devices.

use glob::Pattern;

use super::*;
use crate::sample::Ticks;

fn mount(identity: &str, mountpoint: &str, kind: &str) -> Mount {
    Mount {
        identity: identity.into(),
        device: format!("/dev/{identity}"),
        path: mountpoint.into(),
        mountpoint: mountpoint.into(),
        kind: kind.into(),
        mode: Mode::ReadWrite,
        read_only_here: false,
        partial: false,
        remote: false,
    }
}

fn filter(types: &[&str], mounts: &[&str], devices: &[&str]) -> Filter {
    let globs = |names: &[&str]| Globs { include: Vec::new(), exclude: patterns(names) };
    Filter { types: globs(types), mounts: globs(mounts), devices: globs(devices) }
}

fn patterns(names: &[&str]) -> Vec<Pattern> {
    names.iter().map(|name| Pattern::new(name).unwrap()).collect()
}

fn chosen(mounts: Vec<Mount>, filter: &Filter) -> Vec<String> {
    select(mounts, filter).into_iter().map(|mount| mount.mountpoint).collect()
}

#[test]
fn bind_mounts_of_one_file_system_count_once_at_the_shortest_path() {
    let mounts = vec![
        mount("sda1", "/srv/jail/data", "ext4"),
        mount("sda1", "/data", "ext4"),
        mount("sdb1", "/home", "xfs"),
    ];
    assert_eq!(chosen(mounts, &filter(&[], &[], &[])), ["/data", "/home"]);
}

#[test]
fn whole_file_system_stands_before_a_shorter_part_of_it() {
    let part = Mount { partial: true, ..mount("sda1", "/x", "ext4") };
    let mounts = vec![part, mount("sda1", "/data", "ext4")];
    assert_eq!(chosen(mounts, &filter(&[], &[], &[])), ["/data"]);
}

#[test]
fn hidden_mount_is_not_reported() {
    let mounts = vec![mount("sda1", "/mnt", "ext4"), mount("sdb1", "/mnt", "xfs")];
    let chosen = select(mounts, &filter(&[], &[], &[]));
    assert_eq!(chosen.iter().map(|mount| &*mount.kind).collect::<Vec<_>>(), ["xfs"]);
}

#[test]
fn file_system_that_is_not_the_one_of_the_mount_is_hidden() {
    let usage = |number| Usage { number, ..Usage::default() };
    let ext4 = mount("8:17", "/mnt", "ext4");
    assert!(is_hidden(&ext4, &usage(Some((8, 1)))));
    assert!(!is_hidden(&ext4, &usage(Some((8, 17)))));
    // Nothing is known: the platform doesn't tell, or the identity is a name, as with btrfs.
    assert!(!is_hidden(&ext4, &usage(None)));
    assert!(!is_hidden(&mount("/dev/sda2", "/home", "btrfs"), &usage(Some((0, 26)))));
}

#[test]
fn root_is_excluded_by_name_only() {
    let mounts = || vec![mount("loop0", "/", "overlay"), mount("loop1", "/snap", "squashfs")];
    assert_eq!(chosen(mounts(), &filter(&["overlay", "squashfs"], &[], &[])), ["/"]);
    assert_eq!(chosen(mounts(), &filter(&[], &[], &["loop*"])), ["/"]);
    assert_eq!(chosen(mounts(), &filter(&[], &["/"], &[])), ["/snap"]);
}

#[test]
fn device_globs_match_the_name_with_and_without_its_directory() {
    let filter = filter(&[], &[], &["loop*", "/dev/sdb1"]);
    assert!(!filter.admits_device("loop7"));
    assert!(!filter.admits_device("/dev/loop7"));
    assert!(!filter.admits_device("/dev/sdb1"));
    assert!(filter.admits_device("nvme0n1"));
}

#[test]
fn block_devices_go_by_the_globs_of_mounted_ones() {
    let device = |name: &str| Device { device: name.into(), ..Device::default() };
    let mut filter = filter(&[], &[], &["/dev/sdb"]);
    filter.devices.include = patterns(&["/dev/sd?", "nvme*"]);
    let mut devices = ["sda", "sdb", "nvme0n1", "vda"].map(device).to_vec();
    filter.keep(&mut devices);
    let kept: Vec<_> = devices.iter().map(|device| &*device.device).collect();
    assert_eq!(kept, ["sda", "nvme0n1"]);
}

#[test]
fn mount_that_is_named_is_told_although_the_file_system_has_a_better_one() {
    let mounts = vec![mount("sda1", "/data", "ext4"), mount("sda1", "/srv/jail/data", "ext4")];
    let mut filter = filter(&[], &[], &[]);
    filter.mounts.include = patterns(&["/srv/*"]);
    assert_eq!(chosen(mounts.clone(), &filter), ["/srv/jail/data"]);
    filter.mounts.include = patterns(&["*"]);
    assert_eq!(chosen(mounts, &filter), ["/data"]);
}

#[test]
fn utilization_leaves_the_reserve_of_root_out_as_df_does() {
    let usage = Usage {
        total: 1000,
        free: 500,
        available: 300,
        inodes: Some((100, 25)),
        ..Usage::default()
    };
    let filesystem = filesystem(&mount("sda1", "/", "ext4"), Ok(usage));
    assert_eq!((filesystem.used, filesystem.utilization), (Some(500), Some(0.625)));
    assert_eq!(filesystem.inodes.unwrap().utilization, Some(0.75));
}

#[test]
fn file_system_that_may_not_be_looked_at_has_no_figures() {
    let denied = Trouble::Refused(std::io::ErrorKind::PermissionDenied.into());
    let filesystem = filesystem(&mount("sda1", "/secret", "ext4"), Err(denied));
    assert_eq!(filesystem.unavailable, Some(Unavailable::Refused));
    assert_eq!((filesystem.total, filesystem.utilization, filesystem.inodes), (None, None, None));
}

#[test]
fn device_rates_are_of_the_same_device_and_never_negative() {
    let device = |name: &str, reads, read_bytes| Device {
        device: name.into(),
        reads: Some(reads),
        read_bytes: Some(read_bytes),
        ..Device::default()
    };
    let mut now = vec![device("sda", 10, 4096), device("sdb", 3, 100)];
    fill_rates(&mut now, &[device("sdb", 9, 50), device("sda", 0, 0)], Duration::from_secs(2));
    assert_eq!(now[0].reads_per_second, Some(5.0));
    assert_eq!(now[0].read_bytes_per_second, Some(2048.0));
    assert_eq!((now[1].reads_per_second, now[1].read_bytes_per_second), (None, Some(25.0)));
    assert_eq!(now[0].writes_per_second, None);
}

#[test]
fn include_list_keeps_nothing_else_not_even_the_root() {
    let mounts = || vec![mount("sda1", "/", "ext4"), mount("sdb1", "/data", "xfs")];
    let mut filter = filter(&[], &[], &[]);
    filter.types.include = patterns(&["xfs"]);
    assert_eq!(chosen(mounts(), &filter), ["/data"]);
    filter.types.include.clear();
    filter.mounts.include = patterns(&["/"]);
    assert_eq!(chosen(mounts(), &filter), ["/"]);
    filter.mounts.include.clear();
    filter.devices.include = patterns(&["sdb*"]);
    assert_eq!(chosen(mounts(), &filter), ["/data"]);
}

#[test]
fn busy_share_of_a_device_is_of_the_time_that_has_passed() {
    let second = Duration::from_secs(1);
    let busy = |before, now| busy_share(Some(Ticks(before)), Some(Ticks(now)), second);
    assert_eq!(busy(100, 350), Some(0.25));
    assert_eq!(busy(0, 1003), Some(1.0));
    assert_eq!(busy(100, 99), None);
    assert_eq!(busy_share(None, Some(Ticks(1)), second), None);
}

#[test]
fn busy_share_that_the_platform_tells_stays_where_it_has_no_counter_of_it() {
    let device = |utilization, io_time: Option<u64>| Device {
        device: "PhysicalDrive0".into(),
        utilization,
        io_time: io_time.map(Ticks),
        ..Device::default()
    };
    let share = |before, now| {
        let mut now = vec![now];
        fill_rates(&mut now, &[before], Duration::from_secs(1));
        now[0].utilization
    };
    assert_eq!(share(device(None, None), device(Some(0.5), None)), Some(0.5));
    assert_eq!(share(device(None, Some(0)), device(Some(0.5), Some(250))), Some(0.25));
}

#[test]
fn unavailable_mount_that_is_gone_is_forgotten() {
    let mut sampler = DiskSampler::new(&HostRoot::default(), filter(&[], &[], &[]));
    for number in 0..100 {
        let mount = mount("a volume", &format!("/pods/{number}"), "nfs4");
        sampler.choose(vec![mount.clone()]);
        for _ in 0..2 {
            sampler.tell_changes(&mount, &Err(Trouble::Hangs));
        }
    }
    assert_eq!(sampler.unavailable.len(), 1);
}

#[test]
fn way_to_a_local_mount_below_a_remote_one_may_hang_even_if_that_is_left_out() {
    let mounts = vec![
        mount("sda1", "/", "ext4"),
        mount("server", "/net", "nfs4"),
        mount("sdb1", "/net/disk", "xfs"),
        mount("sdc1", "/network", "xfs"),
    ];
    let chosen = select(mounts, &filter(&["nfs*"], &[], &[]));
    let remote: Vec<_> = chosen.iter().map(|mount| (&*mount.mountpoint, mount.remote)).collect();
    assert_eq!(remote, [("/", false), ("/net/disk", true), ("/network", false)]);
}
