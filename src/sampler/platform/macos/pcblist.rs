//! Parses the lists of sockets that `sysctl net.inet.*.pcblist_n` gives (xnu's
//! bsd/netinet/in_pcblist.c): records of a length and a kind, several for each socket, between a
//! head and a tail.

use crate::sample::TcpStates;

/// `sizeof(struct xinpgen)`: the head's and the tail's length.
const XINPGEN_BYTES: usize = 24;
const XSO_INPCB: u32 = 0x10;
const XSO_TCPCB: u32 = 0x20;
/// Where `t_state` lies in `struct xtcpcb_n`.
const T_STATE: usize = 36;

/// TCP sockets by state; `None` when the bytes aren't such a list.
pub(super) fn tcp_states(list: &[u8]) -> Option<TcpStates> {
    let mut states = TcpStates::default();
    for (kind, record) in records(list)? {
        if kind == XSO_TCPCB {
            add(word(record, T_STATE)?, &mut states);
        }
    }
    Some(states)
}

/// How many sockets the list has.
pub(super) fn sockets(list: &[u8]) -> Option<u64> {
    Some(records(list)?.filter(|(kind, _)| *kind == XSO_INPCB).count() as u64)
}

fn records(list: &[u8]) -> Option<impl Iterator<Item = (u32, &[u8])>> {
    let mut rest = after(list, length(list)?);
    Some(std::iter::from_fn(move || {
        let length = length(rest).filter(|&length| length > XINPGEN_BYTES)?;
        let record = (word(rest, 4)?, rest.get(..length)?);
        rest = after(rest, length);
        Some(record)
    }))
}

fn length(list: &[u8]) -> Option<usize> {
    usize::try_from(word(list, 0)?).ok()
}

/// Records begin at multiples of eight bytes.
fn after(list: &[u8], length: usize) -> &[u8] {
    list.get(length.next_multiple_of(8)..).unwrap_or_default()
}

#[expect(clippy::host_endian_bytes, reason = "the kernel's structures have the host's byte order")]
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Adds one socket of the kernel's state `number` (bsd/netinet/tcp_fsm.h).
fn add(number: u32, to: &mut TcpStates) {
    let count = match number {
        0 => &mut to.close,
        1 => &mut to.listen,
        2 => &mut to.syn_sent,
        3 => &mut to.syn_recv,
        4 => &mut to.established,
        5 => &mut to.close_wait,
        6 => &mut to.fin_wait1,
        7 => &mut to.closing,
        8 => &mut to.last_ack,
        9 => &mut to.fin_wait2,
        10 => &mut to.time_wait,
        _ => return,
    };
    *count += 1;
}

#[cfg(test)]
#[expect(clippy::host_endian_bytes, reason = "the kernel's structures have the host's byte order")]
mod tests {
    use super::*;

    fn record(kind: u32, length: u32, state: u32) -> Vec<u8> {
        let mut record = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        record.resize(T_STATE, 0);
        record.extend(state.to_ne_bytes());
        record.resize(usize::try_from(length).unwrap().next_multiple_of(8), 0);
        record
    }

    fn list(records: &[Vec<u8>]) -> Vec<u8> {
        let mut end = 24_u32.to_ne_bytes().to_vec();
        end.resize(XINPGEN_BYTES, 0);
        [end.clone(), records.concat(), end].concat()
    }

    #[test]
    fn sockets_are_counted_by_state() {
        let list = list(&[
            record(XSO_INPCB, 104, 0),
            record(0x1, 60, 9),
            record(XSO_TCPCB, 204, 4),
            record(XSO_INPCB, 104, 0),
            record(XSO_TCPCB, 204, 1),
        ]);
        let states = tcp_states(&list).unwrap();
        assert_eq!(states, TcpStates { established: 1, listen: 1, ..TcpStates::default() });
        assert_eq!(sockets(&list), Some(2));
    }

    #[test]
    fn empty_list_has_no_sockets_and_nonsense_is_refused() {
        assert_eq!(sockets(&list(&[])), Some(0));
        assert_eq!(tcp_states(&[1, 2]), None);
        assert_eq!(sockets(&[255; 40]), Some(0));
    }
}
