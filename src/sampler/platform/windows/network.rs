//! Interfaces from `GetIfTable2`; TCP sockets from `GetExtendedTcpTable`, UDP sockets and what both
//! have done from `GetTcpStatisticsEx` and `GetUdpStatisticsEx`.

use std::{io, mem::offset_of, ptr, slice};

use windows_sys::Win32::{
    Foundation::{ERROR_INSUFFICIENT_BUFFER, ERROR_NOT_SUPPORTED},
    NetworkManagement::IpHelper::{
        FreeMibTable, GetExtendedTcpTable, GetIfTable2, GetTcpStatisticsEx, GetUdpStatisticsEx,
        MIB_IF_ROW2, MIB_IF_TABLE2, MIB_TCPSTATS_LH, MIB_UDPSTATS, TCP_TABLE_OWNER_PID_ALL,
    },
    Networking::WinSock::{AF_INET, AF_INET6},
};

use super::{
    super::nt::{
        interface, statistics,
        tcp_table::{self, Family},
    },
    query,
};
use crate::{
    sample::{Conntrack, Interface, TcpStates, TcpTraffic, UdpTraffic},
    sampler::{SampleError, root::HostRoot},
};

const _: () = {
    use interface::at;
    assert!(size_of::<MIB_IF_ROW2>() == interface::ROW_BYTES);
    assert!(offset_of!(MIB_IF_ROW2, Alias) == at::ALIAS);
    assert!(offset_of!(MIB_IF_ROW2, Description) == at::DESCRIPTION);
    assert!(offset_of!(MIB_IF_ROW2, Mtu) == at::MTU);
    assert!(offset_of!(MIB_IF_ROW2, Type) == at::TYPE);
    assert!(offset_of!(MIB_IF_ROW2, InterfaceAndOperStatusFlags) == at::FLAGS);
    assert!(offset_of!(MIB_IF_ROW2, OperStatus) == at::OPER_STATUS);
    assert!(offset_of!(MIB_IF_ROW2, AdminStatus) == at::ADMIN_STATUS);
    assert!(offset_of!(MIB_IF_ROW2, MediaConnectState) == at::MEDIA_STATE);
    assert!(offset_of!(MIB_IF_ROW2, TransmitLinkSpeed) == at::SPEED);
    assert!(offset_of!(MIB_IF_ROW2, InOctets) == at::IN_OCTETS);
    assert!(offset_of!(MIB_IF_ROW2, InErrors) == at::IN_OCTETS + 32);
    assert!(offset_of!(MIB_IF_ROW2, OutOctets) == at::OUT_OCTETS);
    assert!(offset_of!(MIB_IF_ROW2, OutErrors) == at::OUT_OCTETS + 32);
    assert!(size_of::<MIB_TCPSTATS_LH>() == statistics::TCP_BYTES);
    assert!(offset_of!(MIB_TCPSTATS_LH, dwActiveOpens) == 4 * 4);
    assert!(offset_of!(MIB_TCPSTATS_LH, dwOutRsts) == 4 * 13);
    assert!(size_of::<MIB_UDPSTATS>() == statistics::UDP_BYTES);
    assert!(offset_of!(MIB_UDPSTATS, dwNumAddrs) == 4 * 4);
};

/// Reads interfaces and sockets.
pub(in crate::sampler) struct NetworkSource {
    table: Vec<u32>,
}

impl NetworkSource {
    /// Touches nothing yet.
    pub(in crate::sampler) fn new(_: &HostRoot) -> Self {
        Self { table: vec![0; 1024] }
    }

    /// What the interfaces are, and their counters since boot.
    pub(in crate::sampler) fn interfaces(&mut self) -> Result<Vec<Interface>, SampleError> {
        let mut table: *mut MIB_IF_TABLE2 = ptr::null_mut();
        // SAFETY: the result is ours; it is written only on success.
        let result = unsafe { GetIfTable2(&raw mut table) };
        check(result).map_err(|error| SampleError::read("GetIfTable2", error))?;
        // SAFETY: the system has allocated that many rows; they are copied, then freed, once.
        unsafe {
            let count = usize::try_from((*table).NumEntries).unwrap_or_default();
            let rows: &[MIB_IF_ROW2] =
                slice::from_raw_parts((&raw const (*table).Table).cast(), count);
            let rows = query::bytes(rows).chunks_exact(interface::ROW_BYTES);
            let interfaces = rows.filter_map(interface::parse).collect();
            FreeMibTable(table.cast());
            Ok(interfaces)
        }
    }

    /// The table has told all.
    pub(in crate::sampler) fn describe(&mut self, _: &mut [Interface]) {}

    /// What TCP and UDP count, of both IP versions.
    pub(in crate::sampler) fn protocols(&mut self) -> (Option<TcpTraffic>, Option<UdpTraffic>) {
        let tcp = versions(|family| {
            let mut statistics = MIB_TCPSTATS_LH::default();
            // SAFETY: the result is ours.
            check(unsafe { GetTcpStatisticsEx(&raw mut statistics, family) })?;
            Ok(query::bytes(&[statistics]).to_vec())
        });
        let tcp = tcp.ok().and_then(|versions| statistics::tcp(&versions));
        (tcp, udp_statistics().ok().and_then(|versions| statistics::udp(&versions)))
    }

    /// This system has no such table.
    pub(in crate::sampler) fn conntrack(&mut self) -> Option<Conntrack> {
        None
    }

    /// TCP sockets by state.
    pub(in crate::sampler) fn tcp_states(&mut self) -> Result<TcpStates, SampleError> {
        let mut states = TcpStates::default();
        for (number, family) in [(AF_INET, Family::V4), (AF_INET6, Family::V6)] {
            match self.fill(number.into()) {
                Ok(()) => tcp_table::add(&self.table, family, &mut states),
                Err(error) if is_off(&error) => {}
                Err(error) => return Err(SampleError::read("GetExtendedTcpTable", error)),
            }
        }
        Ok(states)
    }

    /// Open UDP sockets.
    pub(in crate::sampler) fn udp_sockets(&mut self) -> Result<u64, SampleError> {
        const WHAT: &str = "GetUdpStatisticsEx";
        let versions = udp_statistics().map_err(|error| SampleError::read(WHAT, error))?;
        statistics::udp_sockets(&versions).ok_or(SampleError::Malformed { what: WHAT.into() })
    }

    /// Fills the table, growing it for as long as sockets are opened faster than it grows.
    fn fill(&mut self, family: u32) -> io::Result<()> {
        for _ in 0..8 {
            let mut bytes = u32::try_from(self.table.len() * 4).unwrap_or(u32::MAX);
            let table = self.table.as_mut_ptr().cast();
            // SAFETY: the table has room for `bytes` bytes of plain numbers.
            let result = unsafe {
                GetExtendedTcpTable(table, &raw mut bytes, 0, family, TCP_TABLE_OWNER_PID_ALL, 0)
            };
            if result != ERROR_INSUFFICIENT_BUFFER {
                return check(result);
            }
            self.table.resize(usize::try_from(bytes).unwrap_or_default() / 4 + 1024, 0);
        }
        check(ERROR_INSUFFICIENT_BUFFER)
    }
}

fn udp_statistics() -> io::Result<Vec<Vec<u8>>> {
    versions(|family| {
        let mut statistics = MIB_UDPSTATS::default();
        // SAFETY: the result is ours.
        check(unsafe { GetUdpStatisticsEx(&raw mut statistics, family) })?;
        Ok(query::bytes(&[statistics]).to_vec())
    })
}

/// What `ask` says of each IP version that is switched on.
fn versions(ask: impl Fn(u32) -> io::Result<Vec<u8>>) -> io::Result<Vec<Vec<u8>>> {
    let answers = [AF_INET, AF_INET6].map(|family| ask(family.into()));
    answers.into_iter().filter(|answer| !answer.as_ref().is_err_and(is_off)).collect()
}

/// An IP version that isn't there has no figures; anything else is an error.
fn is_off(error: &io::Error) -> bool {
    error.raw_os_error().and_then(|code| u32::try_from(code).ok()) == Some(ERROR_NOT_SUPPORTED)
}

fn check(result: u32) -> io::Result<()> {
    match i32::try_from(result) {
        Ok(0) => Ok(()),
        Ok(code) => Err(io::Error::from_raw_os_error(code)),
        Err(_) => Err(io::Error::other(format!("error {result}"))),
    }
}
