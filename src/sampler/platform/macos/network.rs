//! Interfaces from `sysctl net.link.generic.ifalldata`, protocols from `net.inet.{tcp,udp}.stats`,
//! sockets from `net.inet.{tcp,udp}.pcblist_n`, which list IPv4 and IPv6 together.

use std::mem::offset_of;

use libc::{if_data64, ifmibdata};

use super::{
    super::{
        darwin::{interface, pcblist, statistics},
        names,
    },
    media::Media,
    sysctl,
};
use crate::{
    sample::{Conntrack, Interface, TcpStates, TcpTraffic, UdpTraffic},
    sampler::{SampleError, root::HostRoot},
};

const _: () = {
    use interface::at;
    const DATA: usize = offset_of!(ifmibdata, ifmd_data);
    assert!(size_of::<ifmibdata>() == interface::ROW_BYTES);
    assert!(offset_of!(ifmibdata, ifmd_flags) == at::FLAGS);
    assert!(offset_of!(ifmibdata, ifmd_snd_drops) == at::SEND_DROPS);
    assert!(DATA + offset_of!(if_data64, ifi_type) == at::TYPE);
    assert!(DATA + offset_of!(if_data64, ifi_mtu) == at::MTU);
    assert!(DATA + offset_of!(if_data64, ifi_baudrate) == at::BAUDRATE);
    assert!(DATA + offset_of!(if_data64, ifi_ipackets) == at::IN_PACKETS);
    assert!(DATA + offset_of!(if_data64, ifi_ierrors) == at::IN_ERRORS);
    assert!(DATA + offset_of!(if_data64, ifi_opackets) == at::OUT_PACKETS);
    assert!(DATA + offset_of!(if_data64, ifi_oerrors) == at::OUT_ERRORS);
    assert!(DATA + offset_of!(if_data64, ifi_collisions) == at::COLLISIONS);
    assert!(DATA + offset_of!(if_data64, ifi_ibytes) == at::IN_BYTES);
    assert!(DATA + offset_of!(if_data64, ifi_obytes) == at::OUT_BYTES);
    assert!(DATA + offset_of!(if_data64, ifi_imcasts) == at::IN_MULTICASTS);
    assert!(DATA + offset_of!(if_data64, ifi_iqdrops) == at::IN_DROPS);
};

/// `net.link.generic.ifalldata`, of all interfaces what all kinds have.
const ALL_DATA: [i32; 6] = [
    libc::CTL_NET,
    libc::PF_LINK,
    libc::NETLINK_GENERIC,
    libc::IFMIB_IFALLDATA,
    0,
    libc::IFDATA_GENERAL,
];

/// Reads interfaces and sockets.
pub(in crate::sampler) struct NetworkSource {
    media: Media,
}

impl NetworkSource {
    /// Touches nothing yet.
    pub(in crate::sampler) fn new(_: &HostRoot) -> Self {
        Self { media: Media::default() }
    }

    /// What the interfaces are, and their counters since boot.
    pub(in crate::sampler) fn interfaces(&mut self) -> Result<Vec<Interface>, SampleError> {
        const WHAT: &str = "net.link.generic.ifalldata";
        let rows = sysctl::by_number(ALL_DATA).map_err(|error| SampleError::read(WHAT, error))?;
        interface::parse(&rows).ok_or(SampleError::Malformed { what: WHAT.into() })
    }

    /// Fills in the carrier, where the interface knows of one.
    pub(in crate::sampler) fn describe(&mut self, interfaces: &mut [Interface]) {
        for interface in interfaces {
            let status = self.media.status(&names::unescape(&interface.name));
            // An error is how an interface says that it has no cable to be asked for.
            if let Ok(status) = status {
                interface::set_carrier(interface, status);
            }
        }
    }

    /// What TCP and UDP count, where the kernel tells it to this user.
    pub(in crate::sampler) fn protocols(&mut self) -> (Option<TcpTraffic>, Option<UdpTraffic>) {
        let tcp = sysctl::by_name(c"net.inet.tcp.stats").ok();
        let udp = sysctl::by_name(c"net.inet.udp.stats").ok();
        (
            tcp.and_then(|structure| statistics::tcp(&structure)),
            udp.and_then(|structure| statistics::udp(&structure)),
        )
    }

    /// This system has no such table.
    pub(in crate::sampler) fn conntrack(&mut self) -> Option<Conntrack> {
        None
    }

    /// TCP sockets by state.
    pub(in crate::sampler) fn tcp_states(&mut self) -> Result<TcpStates, SampleError> {
        sysctl::decoded(c"net.inet.tcp.pcblist_n", pcblist::tcp_states)
    }

    /// Open UDP sockets.
    pub(in crate::sampler) fn udp_sockets(&mut self) -> Result<u64, SampleError> {
        sysctl::decoded(c"net.inet.udp.pcblist_n", pcblist::sockets)
    }
}
