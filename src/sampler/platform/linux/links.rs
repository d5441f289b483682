//! What an interface is and how it does, from `/sys/class/net`: what changes by the second through
//! files that stay open, or with many interfaces from netlink; what hardly ever changes once a while.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    attribute::Attribute,
    names,
    rtnetlink::{LinkState, Rtnetlink},
};
use crate::{
    sample::{Interface, InterfaceKind},
    sampler::root::HostRoot,
};

/// Files of so many interfaces stay open; with more, netlink tells of all at once, and where it doesn't
/// their files are opened for each reading.
const MOST_OPEN: usize = 32;
/// What hardly ever changes is read again when it is as old as this, at longer intervals each time.
const MAX_AGE: Duration = Duration::from_mins(1);
/// Those of many interfaces are spread over it in so many steps.
const STEPS: u32 = 60;
/// ARPHRD_LOOPBACK (include/uapi/linux/if_arp.h).
const LOOPBACK: &str = "772";
/// Bytes a second of one megabit a second.
const MEGABIT: u64 = 125_000;

/// Describes interfaces.
pub(super) struct Links {
    directory: PathBuf,
    /// `None` for another network namespace than our own.
    netlink: Option<Rtnetlink>,
    known: BTreeMap<String, Link>,
}

/// One interface.
struct Link {
    directory: PathBuf,
    state: Attribute,
    carrier: Attribute,
    carrier_changes: Attribute,
    mtu: Attribute,
    /// When `described` was read.
    described_at: Option<Instant>,
    described: Interface,
}

impl Links {
    /// Touches nothing yet.
    pub(super) fn new(root: &HostRoot) -> Self {
        let netlink = root.0.is_none().then(Rtnetlink::new);
        Self { directory: root.sys("class/net"), netlink, known: BTreeMap::new() }
    }

    /// Fills in all but the traffic; it is `now`.
    pub(super) fn describe(&mut self, interfaces: &mut [Interface], now: Instant) {
        let netlink = self.netlink.as_mut().filter(|_| interfaces.len() > MOST_OPEN);
        // Where a sandbox forbids it, the files tell the same.
        let mut states = netlink.and_then(|netlink| netlink.list().ok());
        let mut known = BTreeMap::new();
        for (place, interface) in (0..).zip(interfaces) {
            let name = &interface.name;
            let mut link = self.known.remove(name).unwrap_or_else(|| {
                Link::new(&self.directory.join(OsString::from_vec(names::unescape(name))))
            });
            let state = match &mut states {
                Some(states) => states.remove(name).unwrap_or_default(),
                None => link.state(known.len() < MOST_OPEN),
            };
            link.tell(state, interface, place, now);
            known.insert(interface.name.clone(), link);
        }
        // What is gone is forgotten: another interface may get its name.
        self.known = known;
    }
}

impl Link {
    fn new(directory: &Path) -> Self {
        let attribute = |name| Attribute::new(directory.join(name));
        Self {
            state: attribute("operstate"),
            carrier: attribute("carrier"),
            carrier_changes: attribute("carrier_changes"),
            mtu: attribute("mtu"),
            directory: directory.to_owned(),
            described_at: None,
            described: Interface::default(),
        }
    }

    /// As the files have it.
    fn state(&mut self, keep_open: bool) -> LinkState {
        let state = self.state.text(keep_open);
        LinkState {
            carrier_changes: self.carrier_changes.number(keep_open),
            state: state.map(Cow::Owned),
            carrier: self.carrier.number(keep_open).map(|carrier| carrier > 0),
            mtu: self.mtu.number(keep_open),
        }
    }

    /// `place`: so that those of many interfaces aren't all described anew in one reading.
    fn tell(&mut self, state: LinkState, to: &mut Interface, place: u32, now: Instant) {
        let changes = state.carrier_changes;
        // A carrier that comes may come with another speed; asking a driver for it may be slow.
        let is_old = self.described_at.is_none_or(|at| now.duration_since(at) >= MAX_AGE);
        if is_old || changes != self.described.carrier_changes {
            let is_new = self.described_at.is_none();
            let aged = if is_new { MAX_AGE / STEPS * (place % STEPS) } else { Duration::ZERO };
            self.described = described(&self.directory);
            self.described_at = Some(now.checked_sub(aged).unwrap_or(now));
        }
        self.described.carrier_changes = changes;
        to.kind = self.described.kind;
        to.master.clone_from(&self.described.master);
        to.speed = self.described.speed;
        to.carrier_changes = changes;
        to.state = state.state.map(Cow::into_owned);
        to.carrier = state.carrier;
        to.mtu = state.mtu;
    }
}

/// What hardly ever changes.
fn described(directory: &Path) -> Interface {
    let text = |name| fs::read_to_string(directory.join(name)).ok();
    let master = fs::read_link(directory.join("master")).ok();
    let master = master.and_then(|path| Some(path.file_name()?.to_owned()));
    // -1 or its like where the driver doesn't know.
    let megabits = text("speed").and_then(|speed| speed.trim().parse::<u32>().ok());
    let speed = megabits.filter(|&megabits| megabits > 0 && megabits < u32::MAX);
    Interface {
        kind: kind(directory),
        master: master.map(|name| names::escape(&name.into_vec()).into_owned()),
        speed: speed.map(|megabits| u64::from(megabits) * MEGABIT),
        ..Interface::default()
    }
}

fn kind(directory: &Path) -> Option<InterfaceKind> {
    let is_there = |name| directory.join(name).exists();
    let hardware_type = fs::read_to_string(directory.join("type")).ok()?;
    let events = || fs::read_to_string(directory.join("uevent")).unwrap_or_default();
    Some(if hardware_type.trim() == LOOPBACK {
        InterfaceKind::Loopback
    } else if is_there("bonding") {
        InterfaceKind::Bond
    } else if is_there("bridge") {
        InterfaceKind::Bridge
    } else if is_there("device") {
        InterfaceKind::Physical
    } else if events().lines().any(|line| line == "DEVTYPE=vlan") {
        InterfaceKind::Vlan
    } else {
        InterfaceKind::Virtual
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn bridge_that_it_joins_is_told_within_a_minute_however_rarely_it_is_read() {
        let host = tempfile::tempdir().unwrap();
        let directory = host.path().join("sys/class/net/eth0");
        fs::create_dir_all(&directory).unwrap();
        let mut links = Links::new(&HostRoot(Some(host.path().to_owned())));
        let mut interfaces = [Interface { name: "eth0".into(), ..Interface::default() }];
        let start = Instant::now();
        links.describe(&mut interfaces, start);
        assert_eq!(interfaces[0].master, None);
        symlink("../br0", directory.join("master")).unwrap();
        links.describe(&mut interfaces, start + MAX_AGE / 2);
        assert_eq!(interfaces[0].master, None, "asked again too soon");
        links.describe(&mut interfaces, start + MAX_AGE);
        assert_eq!(interfaces[0].master.as_deref(), Some("br0"));
    }
}
