//! TCP sockets through netlink's inet_diag (sock_diag(7)), without any privilege: all of them, or
//! the states of a few known ones.
//!
//! To list all it asks with the message of old, `TCPDIAG_GETSOCK`, because that one lists IPv4 and
//! IPv6 in one walk over the kernel's table of connections, and the newer one takes a walk each.

use rustix::net::netlink;

use super::netlink::{DUMP, End, Netlink, REQUEST, message, word};
use crate::sampler::SampleError;

const TCPDIAG_GETSOCK: u16 = 18;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const IPPROTO_TCP: u8 = 6;
/// `struct inet_diag_sockid`: ports, addresses, interface, cookie.
const ID_BYTES: usize = 48;
/// All states from ESTABLISHED (1) to CLOSING (11).
pub(super) const ALL_STATES: u32 = 0xffe;
pub(super) const ALL_BUT_ESTABLISHED: u32 = ALL_STATES & !(1 << 1);
const SYN_RECV: u8 = 3;
/// What the kernel tells as the timer of what is left of a socket in TIME_WAIT or FIN_WAIT2.
const TIMER_OF_REMAINS: u8 = 3;
const WHAT: &str = "netlink's inet_diag";

/// One socket as the kernel tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Socket {
    family: u8,
    /// Include/net/tcp_states.h of the kernel.
    pub(super) state: u8,
    /// A whole socket, which the kernel counts as in use, and not what comes before or remains of one.
    pub(super) is_whole: bool,
    id: [u8; ID_BYTES],
}

/// Asks for TCP sockets.
pub(super) struct InetDiag(Netlink);

#[cfg(test)]
impl Socket {
    /// A socket that no kernel has.
    pub(super) fn gone() -> Self {
        Self { family: 2, state: 1, is_whole: true, id: [0xff; ID_BYTES] }
    }
}

impl InetDiag {
    /// Touches nothing yet.
    pub(super) const fn new() -> Self {
        Self(Netlink::new(Some(netlink::SOCK_DIAG), WHAT))
    }

    /// Tells `each` of every TCP socket of this network namespace in one of `states`. Walks the kernel's whole table:
    /// 0.2 to 0.4 ms on a host of 24 GB, however few sockets there are, and 0.6 µs for
    /// each that it tells of.
    pub(super) fn list(
        &mut self,
        states: u32,
        mut each: impl FnMut(Socket),
    ) -> Result<(), SampleError> {
        self.0.dump(&request_for_all(states), |_, payload| socket(payload).map(&mut each))
    }

    /// Brings the states of `known` up to date; false when one of them is gone.
    pub(super) fn update(&mut self, known: &mut [Socket]) -> Result<bool, SampleError> {
        if known.is_empty() {
            return Ok(true);
        }
        let requests: Vec<u8> = known.iter().flat_map(request_for_one).collect();
        self.0.exchange(&requests, |netlink, answers| {
            let mut all_there = true;
            for known in known {
                let told = |_, payload: &[u8]| socket(payload).map(|told| known.state = told.state);
                match netlink.receive(answers, told)? {
                    End::NotYet => {}
                    End::Refused(_) => all_there = false,
                    End::Done => return Err(SampleError::Malformed { what: WHAT.into() }),
                }
            }
            Ok(all_there)
        })
    }
}

/// `struct inet_diag_req`: family, lengths and extensions of no concern, socket, states, 0.
fn request_for_all(states: u32) -> Vec<u8> {
    let mut body = vec![0; 4 + ID_BYTES];
    body.extend(word(states));
    body.extend(word(0));
    message(TCPDIAG_GETSOCK, REQUEST | DUMP, &body)
}

/// `struct inet_diag_req_v2`: family, protocol, extensions, padding, states, socket.
fn request_for_one(socket: &Socket) -> Vec<u8> {
    let mut body = vec![socket.family, IPPROTO_TCP, 0, 0];
    body.extend(word(ALL_STATES));
    body.extend(socket.id);
    message(SOCK_DIAG_BY_FAMILY, REQUEST, &body)
}

/// `struct inet_diag_msg`: family, state, timer, retransmits, socket; `None` for anything else.
fn socket(payload: &[u8]) -> Option<Socket> {
    let (&[family, state, timer, _], rest) = payload.split_first_chunk()?;
    let is_whole = state != SYN_RECV && timer != TIMER_OF_REMAINS;
    Some(Socket { family, state, is_whole, id: *rest.first_chunk()? })
}

#[cfg(test)]
mod tests {
    use super::{super::netlink::messages, *};

    fn answer(state: u8) -> Vec<u8> {
        let body = [&[2, state, 0, 0][..], &[7; ID_BYTES], &[0; 20]].concat();
        message(SOCK_DIAG_BY_FAMILY, 0, &body)
    }

    fn states(datagram: &[u8]) -> (Option<End>, Vec<u8>) {
        let mut states = Vec::new();
        let end = messages(datagram, |_, payload| {
            states.push(socket(payload)?.state);
            Some(())
        });
        (end, states)
    }

    #[test]
    fn messages_are_read_up_to_the_end_of_the_answer() {
        let (end, seen) = states(&[answer(1), answer(10)].concat());
        assert!(matches!(end, Some(End::NotYet)));
        assert_eq!(seen, [1, 10]);
        let (end, seen) = states(&[answer(6), message(3, 0, &[0; 4])].concat());
        assert!(matches!(end, Some(End::Done)));
        assert_eq!(seen, [6]);
    }

    #[test]
    fn what_comes_before_a_socket_or_remains_of_one_is_not_whole() {
        let is_whole = |state, timer| {
            let payload = [&[2, state, timer, 0][..], &[7; ID_BYTES]].concat();
            socket(&payload).unwrap().is_whole
        };
        assert!(is_whole(1, 0) && is_whole(5, 2) && is_whole(10, 0));
        assert!(!is_whole(SYN_RECV, 1));
        assert!(!is_whole(5, TIMER_OF_REMAINS) && !is_whole(6, TIMER_OF_REMAINS));
    }

    #[test]
    fn refusal_and_nonsense_are_told_apart() {
        let refusal = message(2, 0, &[0xfe, 0xff, 0xff, 0xff]);
        assert!(matches!(states(&refusal).0, Some(End::Refused(_))));
        for nonsense in [&[0; 16][..], &[7; 5], &[255; 40], &message(20, 0, &[2, 1])] {
            assert!(states(nonsense).0.is_none(), "{nonsense:?}");
        }
    }
}
