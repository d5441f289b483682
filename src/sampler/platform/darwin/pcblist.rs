//! Parses the lists of sockets that `sysctl net.inet.*.pcblist_n` gives (xnu's
//! bsd/netinet/in_pcblist.c): records of a length and a kind, several for each socket, between a
//! head and a tail.

use super::super::bytes::word;
use crate::sample::TcpStates;

/// `sizeof(struct xinpgen)`: the head's and the tail's length.
const XINPGEN_BYTES: usize = 24;
const XSO_INPCB: u32 = 0x10;
const XSO_TCPCB: u32 = 0x20;
/// Where `t_state` lies in `struct xtcpcb_n`.
const T_STATE: usize = 36;

/// TCP sockets by state; `None` when the bytes aren't such a list.
pub(in crate::sampler) fn tcp_states(list: &[u8]) -> Option<TcpStates> {
    let mut states = TcpStates::default();
    for_each(list, |kind, record| {
        if kind == XSO_TCPCB {
            add(word(record, T_STATE)?, &mut states);
        }
        Some(())
    })?;
    Some(states)
}

/// How many sockets the list has; `None` when the bytes aren't such a list.
pub(in crate::sampler) fn sockets(list: &[u8]) -> Option<u64> {
    let mut sockets = 0;
    for_each(list, |kind, _| {
        sockets += u64::from(kind == XSO_INPCB);
        Some(())
    })?;
    Some(sockets)
}

/// Visits the records between head and tail. Without any socket there is no tail; with one, a list
/// that ends before it was cut.
fn for_each(list: &[u8], mut visit: impl FnMut(u32, &[u8]) -> Option<()>) -> Option<()> {
    let mut rest = after(list, length(list).filter(|&length| length >= XINPGEN_BYTES)?)?;
    let mut any = false;
    while let Some(length) = length(rest).filter(|&length| length > XINPGEN_BYTES) {
        visit(word(rest, 4)?, rest.get(..length)?)?;
        rest = after(rest, length)?;
        any = true;
    }
    (!any || length(rest) == Some(XINPGEN_BYTES)).then_some(())
}

fn length(list: &[u8]) -> Option<usize> {
    usize::try_from(word(list, 0)?).ok()
}

/// Records begin at multiples of eight bytes.
fn after(list: &[u8], length: usize) -> Option<&[u8]> {
    list.get(length.checked_next_multiple_of(8)?..)
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
mod tests {
    use super::*;
    use crate::sampler::platform::bytes::structure;

    fn record(kind: u32, length: u32, state: u32) -> Vec<u8> {
        let bytes = usize::try_from(length).unwrap().next_multiple_of(8);
        structure(bytes, &[(0, length), (4, kind), (T_STATE, state)], &[])
    }

    fn list(records: &[Vec<u8>]) -> Vec<u8> {
        let end = structure(XINPGEN_BYTES, &[(0, 24)], &[]);
        [end.clone(), records.concat(), end].concat()
    }

    fn two_sockets() -> Vec<u8> {
        list(&[
            record(XSO_INPCB, 104, 0),
            record(0x1, 60, 9),
            record(XSO_TCPCB, 204, 4),
            record(XSO_INPCB, 104, 0),
            record(XSO_TCPCB, 204, 1),
        ])
    }

    #[test]
    fn sockets_are_counted_by_state() {
        let states = tcp_states(&two_sockets()).unwrap();
        assert_eq!(states, TcpStates { established: 1, listen: 1, ..TcpStates::default() });
        assert_eq!(sockets(&two_sockets()), Some(2));
    }

    #[test]
    fn empty_list_has_no_sockets_with_and_without_a_tail() {
        assert_eq!(sockets(&list(&[])), Some(0));
        assert_eq!(sockets(&list(&[])[..XINPGEN_BYTES]), Some(0));
    }

    #[test]
    fn list_that_was_cut_is_refused_wherever_that_was() {
        let whole = two_sockets();
        for length in XINPGEN_BYTES + 4..whole.len() - 20 {
            assert_eq!(sockets(&whole[..length]), None, "{length}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!((tcp_states(&[1, 2]), tcp_states(&[])), (None, None));
        assert_eq!((sockets(&[255; 40]), sockets(&[0; 40])), (None, None));
    }
}
