//! Interfaces from sysinfo (`sysctl NET_RT_IFLIST2`); sockets from `sysctl
//! net.inet.{tcp,udp}.pcblist_n`, which list IPv4 and IPv6 together.

use std::{ffi::CStr, io, ptr};

use sysinfo::Networks;

use super::pcblist;
use crate::{
    sample::{Conntrack, Interface, TcpStates, TcpTraffic, Traffic, UdpTraffic},
    sampler::{SampleError, root::HostRoot},
};

/// Reads interfaces and sockets.
pub(in crate::sampler) struct NetworkSource {
    networks: Option<Networks>,
}

impl NetworkSource {
    /// Touches nothing yet.
    pub(in crate::sampler) fn new(_: &HostRoot) -> Self {
        Self { networks: None }
    }

    /// Counters since boot; sysinfo doesn't tell of dropped packets.
    pub(in crate::sampler) fn interfaces(&mut self) -> Result<Vec<Interface>, SampleError> {
        let mut networks = match self.networks.take() {
            Some(networks) => networks,
            None => Networks::new().map_err(|error| {
                SampleError::read("the interfaces", io::Error::other(error.to_string()))
            })?,
        };
        networks.refresh(true);
        let traffic = |bytes, packets, errors| Traffic {
            bytes,
            packets,
            errors: Some(errors),
            ..Traffic::default()
        };
        let interface = |(name, data): (&std::ffi::OsString, &sysinfo::NetworkData)| Interface {
            name: name.to_string_lossy().into_owned(),
            receive: traffic(
                data.total_received(),
                data.total_packets_received(),
                data.total_errors_on_received(),
            ),
            transmit: traffic(
                data.total_transmitted(),
                data.total_packets_transmitted(),
                data.total_errors_on_transmitted(),
            ),
            ..Interface::default()
        };
        let mut interfaces: Vec<_> = networks.iter().map(interface).collect();
        interfaces.sort_by(|a, b| a.name.cmp(&b.name));
        self.networks = Some(networks);
        Ok(interfaces)
    }

    /// Traffic is all that is read of them here.
    pub(in crate::sampler) fn describe(&mut self, _: &mut [Interface]) {}

    /// Not read on this system.
    pub(in crate::sampler) fn protocols(&mut self) -> (Option<TcpTraffic>, Option<UdpTraffic>) {
        (None, None)
    }

    /// This system has no such table.
    pub(in crate::sampler) fn conntrack(&mut self) -> Option<Conntrack> {
        None
    }

    /// TCP sockets by state; `net.inet.tcp.pcblist_n`.
    pub(in crate::sampler) fn tcp_states(&mut self) -> Result<TcpStates, SampleError> {
        let list = sysctl(c"net.inet.tcp.pcblist_n");
        let list = list.map_err(|error| SampleError::read("net.inet.tcp.pcblist_n", error))?;
        pcblist::tcp_states(&list)
            .ok_or(SampleError::Malformed { what: "net.inet.tcp.pcblist_n".into() })
    }

    /// Open UDP sockets; `net.inet.udp.pcblist_n`.
    pub(in crate::sampler) fn udp_sockets(&mut self) -> Result<u64, SampleError> {
        let list = sysctl(c"net.inet.udp.pcblist_n");
        let list = list.map_err(|error| SampleError::read("net.inet.udp.pcblist_n", error))?;
        pcblist::sockets(&list)
            .ok_or(SampleError::Malformed { what: "net.inet.udp.pcblist_n".into() })
    }
}

fn sysctl(name: &CStr) -> io::Result<Vec<u8>> {
    let mut length = 0;
    call(name, ptr::null_mut(), &mut length)?;
    // Room for sockets that are opened in between.
    let mut bytes = vec![0_u8; length + length / 8 + 4096];
    length = bytes.len();
    call(name, bytes.as_mut_ptr(), &mut length)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// `to` is null, or has room for `length` bytes.
fn call(name: &CStr, to: *mut u8, length: &mut usize) -> io::Result<()> {
    // SAFETY: the name is a C string; the caller vouches for the buffer; nothing is set.
    let result =
        unsafe { libc::sysctlbyname(name.as_ptr(), to.cast(), length, ptr::null_mut(), 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
