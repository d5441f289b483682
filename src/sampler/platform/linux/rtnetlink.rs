//! State, carrier and MTU of all interfaces of this network namespace in one answer (rtnetlink(7)),
//! without any privilege. With many interfaces that takes a few calls, where `/sys` takes a dozen each.

use std::{borrow::Cow, collections::HashMap};

use super::{
    names,
    netlink::{DUMP, Netlink, REQUEST, message, word},
};
use crate::sampler::SampleError;

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_CARRIER: u16 = 33;
const IFLA_CARRIER_CHANGES: u16 = 35;
/// Counters are read elsewhere, and most of the answer otherwise.
const SKIP_STATS: u32 = 8;
/// `struct ifinfomsg`: family, type, index, flags, change.
const INFO_BYTES: usize = 16;
const IFF_UP: u32 = 1;
/// The words of `/sys/class/net/*/operstate` (include/uapi/linux/if.h).
const STATES: [&str; 7] =
    ["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"];

/// How an interface does; `None` as `/sys` would have it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct LinkState {
    pub(super) state: Option<Cow<'static, str>>,
    pub(super) carrier: Option<bool>,
    pub(super) carrier_changes: Option<u64>,
    pub(super) mtu: Option<u64>,
}

/// Asks for interfaces.
pub(super) struct Rtnetlink(Netlink);

impl Rtnetlink {
    /// Touches nothing yet.
    pub(super) const fn new() -> Self {
        // NETLINK_ROUTE is 0.
        Self(Netlink::new(None, "netlink's interfaces"))
    }

    /// All interfaces of this network namespace by their names, as [`names::escape`] spells them.
    pub(super) fn list(&mut self) -> Result<HashMap<String, LinkState>, SampleError> {
        let mut links = HashMap::new();
        self.0.dump(&request(), |kind, payload| {
            if kind == RTM_NEWLINK {
                let (name, state) = link(payload)?;
                links.insert(name, state);
            }
            Some(())
        })?;
        Ok(links)
    }
}

fn request() -> Vec<u8> {
    let mut body = vec![0; INFO_BYTES];
    body.extend(attribute(IFLA_EXT_MASK, &word(SKIP_STATS)));
    message(RTM_GETLINK, REQUEST | DUMP, &body)
}

/// `struct rtattr`: length, type; padded to four bytes.
#[expect(clippy::host_endian_bytes, reason = "netlink speaks the host's byte order")]
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or_default();
    let mut attribute = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    attribute.extend(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

fn state(number: u8) -> Option<Cow<'static, str>> {
    STATES.get(usize::from(number)).map(|state| Cow::Borrowed(*state))
}

/// `None` for bytes that aren't an interface.
#[expect(clippy::host_endian_bytes, reason = "netlink speaks the host's byte order")]
fn link(payload: &[u8]) -> Option<(String, LinkState)> {
    let (info, mut attributes) = payload.split_first_chunk::<INFO_BYTES>()?;
    let is_up = u32::from_ne_bytes(*info[8..].first_chunk()?) & IFF_UP > 0;
    let mut name = None;
    let mut link = LinkState::default();
    while !attributes.is_empty() {
        let &[l0, l1, k0, k1] = attributes.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = attributes.get(4..length)?;
        let number = || value.first_chunk().map(|&bytes| u64::from(u32::from_ne_bytes(bytes)));
        match u16::from_ne_bytes([k0, k1]) {
            IFLA_IFNAME => name = Some(value.split(|&byte| byte == 0).next()?),
            IFLA_MTU => link.mtu = number(),
            IFLA_OPERSTATE => link.state = state(*value.first()?),
            // While it is switched off, its carrier says nothing.
            IFLA_CARRIER if is_up => link.carrier = Some(*value.first()? > 0),
            IFLA_CARRIER_CHANGES => link.carrier_changes = number(),
            _ => {}
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some((names::escape(name?).into_owned(), link))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(is_up: bool) -> Vec<u8> {
        let mut info = vec![0; INFO_BYTES];
        info[8..12].copy_from_slice(&word(u32::from(is_up)));
        let attributes = [
            attribute(IFLA_IFNAME, b"w\xff\\x\0"),
            attribute(IFLA_MTU, &word(9000)),
            attribute(IFLA_OPERSTATE, &[6]),
            attribute(IFLA_CARRIER, &[1]),
            attribute(IFLA_CARRIER_CHANGES, &word(3)),
            attribute(999, b"something new"),
        ];
        [info, attributes.concat()].concat()
    }

    #[test]
    fn state_of_an_interface_is_read() {
        let (name, state) = link(&answer(true)).unwrap();
        assert_eq!(name, "w\\xff\\x5cx");
        let expected = LinkState {
            state: Some("up".into()),
            carrier: Some(true),
            carrier_changes: Some(3),
            mtu: Some(9000),
        };
        assert_eq!(state, expected);
        assert_eq!(link(&answer(false)).unwrap().1, LinkState { carrier: None, ..expected });
    }

    #[test]
    fn cut_and_strange_answers_are_no_interfaces_or_lack_figures() {
        let whole = answer(true);
        for length in 0..INFO_BYTES + 8 {
            assert!(link(&whole[..length]).is_none(), "{length}");
        }
        for length in INFO_BYTES + 8..whole.len() {
            drop(link(&whole[..length]));
        }
        let endless = [&whole[..INFO_BYTES], &[0; 8]].concat();
        assert!(link(&endless).is_none());
    }

    #[test]
    fn all_interfaces_of_this_host_are_as_sys_has_them() {
        let links = Rtnetlink::new().list().unwrap();
        assert!(!links.is_empty());
        // A sandbox may show the `/sys` of another namespace.
        let is_there = |name: &str| std::path::Path::new("/sys/class/net").join(name).exists();
        for (name, link) in links.into_iter().filter(|(name, _)| is_there(name)) {
            let sys = |file| std::fs::read_to_string(format!("/sys/class/net/{name}/{file}"));
            let text = |file| sys(file).ok().map(|text| text.trim().to_owned());
            assert_eq!(text("operstate").map(Cow::from), link.state, "{name}");
            assert_eq!(text("mtu"), link.mtu.map(|mtu| mtu.to_string()), "{name}");
            assert_eq!(text("carrier"), link.carrier.map(|there| u8::from(there).to_string()));
        }
    }
}
