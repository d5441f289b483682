//! Interfaces: rows of `ifmibdata`, whose `if_data64` has all counters in 64 bits. (The list that
//! `getifaddrs` and NET_RT_IFLIST2 give cuts them to 32.)

use super::super::{
    bytes::{count, long, word},
    names,
};
use crate::sample::{Interface, InterfaceKind, Traffic};

/// What one row takes.
pub(in crate::sampler) const ROW_BYTES: usize = 180;
/// Where each number lies; from TYPE on in the `if_data64` at the row's end.
pub(in crate::sampler) mod at {
    pub(in crate::sampler) const FLAGS: usize = 20;
    pub(in crate::sampler) const SEND_DROPS: usize = 32;
    pub(in crate::sampler) const TYPE: usize = 52;
    pub(in crate::sampler) const MTU: usize = 60;
    pub(in crate::sampler) const BAUDRATE: usize = 68;
    pub(in crate::sampler) const IN_PACKETS: usize = 76;
    pub(in crate::sampler) const IN_ERRORS: usize = 84;
    pub(in crate::sampler) const OUT_PACKETS: usize = 92;
    pub(in crate::sampler) const OUT_ERRORS: usize = 100;
    pub(in crate::sampler) const COLLISIONS: usize = 108;
    pub(in crate::sampler) const IN_BYTES: usize = 116;
    pub(in crate::sampler) const OUT_BYTES: usize = 124;
    pub(in crate::sampler) const IN_MULTICASTS: usize = 132;
    pub(in crate::sampler) const IN_DROPS: usize = 148;
}
const NAME_BYTES: usize = 16;
const UP: u32 = 0x1;
const RUNNING: u32 = 0x40;
/// An interface that is switched off.
const DOWN: &str = "down";

/// All interfaces, in the kernel's order; `None` when the bytes aren't whole rows.
pub(in crate::sampler) fn parse(rows: &[u8]) -> Option<Vec<Interface>> {
    let rows = rows.chunks(ROW_BYTES);
    // A row without a name was an interface that went while the list was made.
    rows.map(one).filter(|row| row.as_ref().is_none_or(|row| !row.name.is_empty())).collect()
}

fn one(row: &[u8]) -> Option<Interface> {
    let row: &[u8; ROW_BYTES] = row.try_into().ok()?;
    let name = row.get(..NAME_BYTES)?.split(|&byte| byte == 0).next()?;
    let name = names::escape(name).into_owned();
    Some(Interface {
        kind: Some(kind(*row.get(at::TYPE)?, &name)),
        state: Some(state(word(row, at::FLAGS)?).into()),
        speed: Some(long(row, at::BAUDRATE)? / 8).filter(|&bytes| bytes > 0),
        mtu: word(row, at::MTU).map(u64::from),
        receive: Traffic {
            bytes: count(row, at::IN_BYTES)?,
            packets: count(row, at::IN_PACKETS)?,
            errors: Some(count(row, at::IN_ERRORS)?),
            dropped: Some(count(row, at::IN_DROPS)?),
            multicast: Some(count(row, at::IN_MULTICASTS)?),
            ..Traffic::default()
        },
        transmit: Traffic {
            bytes: count(row, at::OUT_BYTES)?,
            packets: count(row, at::OUT_PACKETS)?,
            errors: Some(count(row, at::OUT_ERRORS)?),
            dropped: word(row, at::SEND_DROPS).map(u64::from),
            collisions: Some(count(row, at::COLLISIONS)?),
            ..Traffic::default()
        },
        name,
        ..Interface::default()
    })
}

/// `IFT_…`. Much that has no hardware calls itself Ethernet (awdl, llw, ap, vmenet, feth); what has
/// is called `en` with a number.
fn kind(number: u8, name: &str) -> InterfaceKind {
    let numbered = |prefix| {
        let number = name.strip_prefix(prefix).unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    match number {
        0x18 => InterfaceKind::Loopback,
        0x87 => InterfaceKind::Vlan,
        0x88 => InterfaceKind::Bond,
        0xd1 => InterfaceKind::Bridge,
        // Ethernet, Firewire, a modem.
        0x06 if numbered("en") => InterfaceKind::Physical,
        0x90 | 0xff => InterfaceKind::Physical,
        _ => InterfaceKind::Virtual,
    }
}

/// In Linux's words; what of it the carrier decides is [`set_carrier`]'s.
fn state(flags: u32) -> &'static str {
    match (flags & UP != 0, flags & RUNNING != 0) {
        (false, _) => DOWN,
        (true, false) => "dormant",
        (true, true) => "up",
    }
}

/// Fills in what the driver says of the cable or the access point: `ifm_status`.
pub(in crate::sampler) fn set_carrier(interface: &mut Interface, status: u32) {
    const VALID: u32 = 1;
    const ACTIVE: u32 = 2;
    if status & VALID == 0 || interface.state.as_deref() == Some(DOWN) {
        return;
    }
    let carrier = status & ACTIVE != 0;
    interface.carrier = Some(carrier);
    // The system calls an interface running without a cable, too.
    if !carrier {
        interface.state = Some("lowerlayerdown".into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::platform::bytes::structure;

    fn row(name: &[u8], number: u8, flags: u32) -> Vec<u8> {
        let words = [(at::FLAGS, flags), (at::SEND_DROPS, 1), (at::MTU, 1500)];
        let longs = [
            (at::BAUDRATE, 1_000_000_000),
            (at::IN_PACKETS, 2),
            (at::IN_ERRORS, 3),
            (at::OUT_PACKETS, 4),
            (at::OUT_ERRORS, 5),
            (at::COLLISIONS, 6),
            (at::IN_BYTES, 7 << 33),
            (at::OUT_BYTES, 8),
            (at::IN_MULTICASTS, 9),
            (at::IN_DROPS, 10),
        ];
        let mut row = structure(ROW_BYTES, &words, &longs);
        row[..name.len()].copy_from_slice(name);
        row[at::TYPE] = number;
        row
    }

    #[test]
    fn row_of_a_network_card() {
        let interfaces = parse(&row(b"en0", 6, UP | RUNNING)).unwrap();
        let expected = Interface {
            name: "en0".into(),
            kind: Some(InterfaceKind::Physical),
            state: Some("up".into()),
            speed: Some(125_000_000),
            mtu: Some(1500),
            receive: Traffic {
                bytes: 7 << 33,
                packets: 2,
                errors: Some(3),
                dropped: Some(10),
                multicast: Some(9),
                ..Traffic::default()
            },
            transmit: Traffic {
                bytes: 8,
                packets: 4,
                errors: Some(5),
                dropped: Some(1),
                collisions: Some(6),
                ..Traffic::default()
            },
            ..Interface::default()
        };
        assert_eq!(interfaces, [expected]);
    }

    #[test]
    fn row_without_a_name_is_left_out_and_a_cut_one_refuses_the_list() {
        let mut rows = [row(b"lo0", 0x18, 0), row(b"", 0, 0), row(b"en1", 6, 0)].concat();
        let names: Vec<_> = parse(&rows).unwrap().into_iter().map(|row| row.name).collect();
        assert_eq!(names, ["lo0", "en1"]);
        rows.pop();
        assert_eq!(parse(&rows), None);
        assert_eq!(parse(&[]), Some(vec![]));
    }

    #[test]
    fn only_what_is_hardware_is_physical() {
        let kinds = ["en0", "en", "enx", "awdl0", "feth0"].map(|name| kind(6, name));
        let [physical, others @ ..] = kinds;
        assert_eq!(physical, InterfaceKind::Physical);
        assert_eq!(others, [InterfaceKind::Virtual; 4]);
        assert_eq!(
            (kind(0xd1, "bridge0"), kind(1, "utun0")),
            (InterfaceKind::Bridge, InterfaceKind::Virtual)
        );
    }

    #[test]
    fn names_that_are_no_text_stay_apart() {
        let rows = [row(b"en\xff", 6, 0), row(br"en\xff", 6, 0)].concat();
        let names: Vec<_> = parse(&rows).unwrap().into_iter().map(|row| row.name).collect();
        assert_eq!(names, [r"en\xff", r"en\x5cxff"]);
    }

    #[test]
    fn running_interface_without_a_cable_is_not_up() {
        let with = |flags, status| {
            let mut interface =
                Interface { state: Some(state(flags).into()), ..Interface::default() };
            set_carrier(&mut interface, status);
            (interface.state.unwrap(), interface.carrier)
        };
        assert_eq!(with(UP | RUNNING, 3), ("up".into(), Some(true)));
        assert_eq!(with(UP | RUNNING, 1), ("lowerlayerdown".into(), Some(false)));
        assert_eq!(with(UP | RUNNING, 0), ("up".into(), None));
        assert_eq!(with(RUNNING, 3), ("down".into(), None));
        assert_eq!(with(UP, 0), ("dormant".into(), None));
    }
}
