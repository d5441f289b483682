//! Interfaces from `GetIfTable2`; TCP sockets from `GetExtendedTcpTable`, UDP sockets from
//! `GetUdpStatisticsEx`.

use std::{io, ptr, slice};

use windows_sys::Win32::{
    Foundation::ERROR_INSUFFICIENT_BUFFER,
    NetworkManagement::IpHelper::{
        FreeMibTable, GetExtendedTcpTable, GetIfTable2, GetUdpStatisticsEx, MIB_IF_ROW2,
        MIB_IF_TABLE2, MIB_UDPSTATS, TCP_TABLE_OWNER_PID_ALL,
    },
    Networking::WinSock::{AF_INET, AF_INET6},
};

use super::tcp_table::{self, Family};
use crate::{
    sample::{Conntrack, Interface, TcpStates, TcpTraffic, Traffic, UdpTraffic},
    sampler::{SampleError, root::HostRoot},
};

/// The second bit of `InterfaceAndOperStatusFlags`: a filter that repeats the counts of the
/// interface below it.
const FILTER_INTERFACE: u8 = 2;

/// Reads interfaces and sockets.
pub(in crate::sampler) struct NetworkSource {
    table: Vec<u32>,
}

impl NetworkSource {
    /// Touches nothing yet.
    pub(in crate::sampler) fn new(_: &HostRoot) -> Self {
        Self { table: vec![0; 1024] }
    }

    /// Counters since boot.
    pub(in crate::sampler) fn interfaces(&mut self) -> Result<Vec<Interface>, SampleError> {
        let mut table: *mut MIB_IF_TABLE2 = ptr::null_mut();
        // SAFETY: the result is ours; it is written only on success.
        let result = unsafe { GetIfTable2(&raw mut table) };
        check(result).map_err(|error| SampleError::read("GetIfTable2", error))?;
        // SAFETY: the system has allocated that many rows; they are copied, then freed, once.
        unsafe {
            let count = usize::try_from((*table).NumEntries).unwrap_or_default();
            let rows = slice::from_raw_parts((&raw const (*table).Table).cast(), count);
            let interfaces = rows.iter().filter(|row| !is_filter(row)).map(interface).collect();
            FreeMibTable(table.cast());
            Ok(interfaces)
        }
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

    /// TCP sockets by state.
    pub(in crate::sampler) fn tcp_states(&mut self) -> Result<TcpStates, SampleError> {
        let mut states = TcpStates::default();
        for (number, family) in [(AF_INET, Family::V4), (AF_INET6, Family::V6)] {
            self.fill(number.into())
                .map_err(|error| SampleError::read("GetExtendedTcpTable", error))?;
            tcp_table::add(&self.table, family, &mut states);
        }
        Ok(states)
    }

    /// Open UDP sockets.
    pub(in crate::sampler) fn udp_sockets(&mut self) -> Result<u64, SampleError> {
        let mut sockets = 0;
        for family in [AF_INET, AF_INET6] {
            let mut statistics = MIB_UDPSTATS::default();
            // SAFETY: the result is ours.
            let result = unsafe { GetUdpStatisticsEx(&raw mut statistics, family.into()) };
            check(result).map_err(|error| SampleError::read("GetUdpStatisticsEx", error))?;
            sockets += u64::from(statistics.dwNumAddrs);
        }
        Ok(sockets)
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

fn check(result: u32) -> io::Result<()> {
    match i32::try_from(result) {
        Ok(0) => Ok(()),
        Ok(code) => Err(io::Error::from_raw_os_error(code)),
        Err(_) => Err(io::Error::other(format!("error {result}"))),
    }
}

fn is_filter(row: &MIB_IF_ROW2) -> bool {
    row.InterfaceAndOperStatusFlags._bitfield & FILTER_INTERFACE != 0
}

fn interface(row: &MIB_IF_ROW2) -> Interface {
    let length = row.Alias.iter().position(|&unit| unit == 0).unwrap_or(row.Alias.len());
    Interface {
        name: String::from_utf16_lossy(&row.Alias[..length]),
        receive: Traffic {
            bytes: row.InOctets,
            packets: row.InUcastPkts.saturating_add(row.InNUcastPkts),
            errors: Some(row.InErrors),
            dropped: Some(row.InDiscards),
            ..Traffic::default()
        },
        transmit: Traffic {
            bytes: row.OutOctets,
            packets: row.OutUcastPkts.saturating_add(row.OutNUcastPkts),
            errors: Some(row.OutErrors),
            dropped: Some(row.OutDiscards),
            ..Traffic::default()
        },
        ..Interface::default()
    }
}
