//! Interfaces: rows of `MIB_IF_ROW2`, all of whose counters have 64 bits.

use super::{
    super::bytes::{count, long, word},
    names,
};
use crate::sample::{Interface, InterfaceKind, Traffic};

/// What one row takes.
pub(in crate::sampler) const ROW_BYTES: usize = 1352;
/// Where each number lies.
pub(in crate::sampler) mod at {
    pub(in crate::sampler) const ALIAS: usize = 28;
    pub(in crate::sampler) const DESCRIPTION: usize = 542;
    pub(in crate::sampler) const MTU: usize = 1124;
    pub(in crate::sampler) const TYPE: usize = 1128;
    pub(in crate::sampler) const FLAGS: usize = 1152;
    pub(in crate::sampler) const OPER_STATUS: usize = 1156;
    pub(in crate::sampler) const ADMIN_STATUS: usize = 1160;
    pub(in crate::sampler) const MEDIA_STATE: usize = 1164;
    pub(in crate::sampler) const SPEED: usize = 1192;
    pub(in crate::sampler) const IN_OCTETS: usize = 1208;
    pub(in crate::sampler) const OUT_OCTETS: usize = 1280;
}

/// Of the flags: it is hardware.
const HARDWARE: u8 = 1;
/// Of the flags: it repeats the counts of the interface below it.
const FILTER: u8 = 2;
/// `NET_IF_ADMIN_STATUS_UP`.
const SWITCHED_ON: u32 = 1;

/// The interface of a row; `None` for a filter, and for what is no row.
pub(in crate::sampler) fn parse(row: &[u8]) -> Option<Interface> {
    let flags = *row.get(at::FLAGS)?;
    if flags & FILTER != 0 {
        return None;
    }
    let switched_on = word(row, at::ADMIN_STATUS)? == SWITCHED_ON;
    let media = word(row, at::MEDIA_STATE)?;
    Some(Interface {
        name: names::text(&names::until_zero(row.get(at::ALIAS..at::DESCRIPTION)?)),
        kind: Some(kind(word(row, at::TYPE)?, flags)),
        state: state(word(row, at::OPER_STATUS)?).map(String::from),
        carrier: carrier(media).filter(|_| switched_on),
        speed: speed(long(row, at::SPEED)?),
        mtu: word(row, at::MTU).map(u64::from),
        receive: traffic(row, at::IN_OCTETS, true)?,
        transmit: traffic(row, at::OUT_OCTETS, false)?,
        ..Interface::default()
    })
}

/// Octets, unicast packets, other packets, discarded packets, packets with errors.
fn traffic(row: &[u8], octets: usize, received: bool) -> Option<Traffic> {
    let number = |place: usize| count(row, octets + 8 * place);
    let to_many = number(2)?;
    Some(Traffic {
        bytes: number(0)?,
        packets: number(1)?.saturating_add(to_many),
        dropped: Some(number(3)?),
        errors: Some(number(4)?),
        multicast: received.then_some(to_many),
        ..Traffic::default()
    })
}

/// `IFTYPE`, the numbers of IANA.
fn kind(number: u32, flags: u8) -> InterfaceKind {
    match number {
        24 => InterfaceKind::Loopback,
        135 => InterfaceKind::Vlan,
        161 => InterfaceKind::Bond,
        209 => InterfaceKind::Bridge,
        _ if flags & HARDWARE != 0 => InterfaceKind::Physical,
        _ => InterfaceKind::Virtual,
    }
}

/// `IF_OPER_STATUS`, in Linux's words for the same states.
fn state(number: u32) -> Option<&'static str> {
    Some(match number {
        1 => "up",
        2 => "down",
        3 => "testing",
        4 => "unknown",
        5 => "dormant",
        6 => "notpresent",
        7 => "lowerlayerdown",
        _ => return None,
    })
}

/// `NET_IF_MEDIA_CONNECT_STATE`.
fn carrier(number: u32) -> Option<bool> {
    match number {
        1 => Some(true),
        2 => Some(false),
        _ => None,
    }
}

/// Bytes a second of so many bits a second; 0 and all ones stand for what isn't known.
fn speed(bits: u64) -> Option<u64> {
    Some(bits / 8).filter(|&bytes| bytes > 0 && bits < u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::platform::bytes::structure;

    fn row(name: &[u16], flags: u8, words: &[(usize, u32)]) -> Vec<u8> {
        let mut longs = vec![(at::SPEED, 1_000_000_000)];
        longs.extend((0..5).map(|place| (at::IN_OCTETS + 8 * place, 100 + place as u64)));
        longs.extend((0..5).map(|place| (at::OUT_OCTETS + 8 * place, 200 + place as u64)));
        let mut row = structure(ROW_BYTES, words, &longs);
        for (place, unit) in name.iter().enumerate() {
            let at = at::ALIAS + 2 * place;
            row[at..at + 2].copy_from_slice(&unit.to_ne_bytes());
        }
        row[at::FLAGS] = flags;
        row
    }

    #[test]
    fn row_of_an_ethernet_card() {
        let words = [
            (at::MTU, 1500),
            (at::TYPE, 6),
            (at::OPER_STATUS, 1),
            (at::ADMIN_STATUS, 1),
            (at::MEDIA_STATE, 1),
        ];
        let name: Vec<u16> = "Ethernet 2".encode_utf16().collect();
        let interface = parse(&row(&name, HARDWARE, &words)).unwrap();
        let expected = Interface {
            name: "Ethernet 2".into(),
            kind: Some(InterfaceKind::Physical),
            state: Some("up".into()),
            carrier: Some(true),
            speed: Some(125_000_000),
            mtu: Some(1500),
            receive: Traffic {
                bytes: 100,
                packets: 203,
                dropped: Some(103),
                errors: Some(104),
                multicast: Some(102),
                ..Traffic::default()
            },
            transmit: Traffic {
                bytes: 200,
                packets: 403,
                dropped: Some(203),
                errors: Some(204),
                ..Traffic::default()
            },
            ..Interface::default()
        };
        assert_eq!(interface, expected);
    }

    #[test]
    fn filter_is_left_out_and_a_cut_row_too() {
        let row = row(&[65], HARDWARE | FILTER, &[]);
        assert_eq!(parse(&row), None);
        let row = super::tests::row(&[65], HARDWARE, &[]);
        assert_eq!(parse(&row[..1310]), None);
        assert!(parse(&row).is_some());
    }

    #[test]
    fn interface_that_is_switched_off_has_no_carrier_and_an_unknown_speed_is_none() {
        let off = row(&[65], 0, &[(at::MEDIA_STATE, 2), (at::ADMIN_STATUS, 2), (at::TYPE, 131)]);
        let interface = parse(&off).unwrap();
        assert_eq!((interface.carrier, interface.kind), (None, Some(InterfaceKind::Virtual)));
        assert_eq!((speed(0), speed(u64::MAX), speed(800)), (None, None, Some(100)));
    }

    #[test]
    fn names_that_are_no_text_stay_apart() {
        let [one, other] = [0xd800, 0xd801].map(|unit| parse(&row(&[97, unit], 0, &[])).unwrap());
        assert_eq!((&*one.name, &*other.name), ("a<d800>", "a<d801>"));
    }
}
