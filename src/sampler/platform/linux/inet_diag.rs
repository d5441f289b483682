//! TCP sockets through netlink's inet_diag (sock_diag(7)), without any privilege: all of them, or
//! the states of a few known ones.
//!
//! To list all it asks with the message of old, `TCPDIAG_GETSOCK`, because that one lists IPv4 and
//! IPv6 in one walk over the kernel's table of connections, and the newer one takes a walk each.

use std::io;

use rustix::{
    fd::OwnedFd,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
        socket_with,
    },
};

use crate::sampler::SampleError;

const TCPDIAG_GETSOCK: u16 = 18;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const IPPROTO_TCP: u8 = 6;
/// `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// `struct inet_diag_sockid`: ports, addresses, interface, cookie.
const ID_BYTES: usize = 48;
/// All states from ESTABLISHED (1) to CLOSING (11).
const ALL_STATES: u32 = 0xffe;
/// The kernel fills at most 32 KiB at a time.
const BUFFER_BYTES: usize = 64 * 1024;
const WHAT: &str = "netlink's inet_diag";

/// One socket as the kernel tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Socket {
    family: u8,
    /// Include/net/tcp_states.h of the kernel.
    pub(super) state: u8,
    id: [u8; ID_BYTES],
}

/// A netlink socket, opened at the first question and anew after an error.
pub(super) struct InetDiag {
    socket: Option<OwnedFd>,
    buffer: Vec<u8>,
}

#[cfg(test)]
impl Socket {
    /// A socket that no kernel has.
    pub(super) fn gone() -> Self {
        Self { family: 2, state: 1, id: [0xff; ID_BYTES] }
    }
}

impl InetDiag {
    /// Touches nothing yet.
    pub(super) const fn new() -> Self {
        Self { socket: None, buffer: Vec::new() }
    }

    /// Tells `each` of every TCP socket of this network namespace. Walks the kernel's whole table:
    /// 0.2 to 0.4 ms on a host of 24 GB, however few sockets there are.
    pub(super) fn list(&mut self, mut each: impl FnMut(Socket)) -> Result<(), SampleError> {
        let socket = self.take_socket()?;
        send_all(&socket, &request_for_all())?;
        loop {
            match messages(receive(&socket, &mut self.buffer)?, &mut each) {
                Some(End::NotYet) => {}
                Some(End::Done) => break,
                Some(End::Refused(error)) => return Err(SampleError::read(WHAT, error)),
                None => return Err(SampleError::Malformed { what: WHAT.into() }),
            }
        }
        // Only a socket whose answer was read to the end can be asked again.
        self.socket = Some(socket);
        Ok(())
    }

    /// Brings the states of `known` up to date; false when one of them is gone.
    pub(super) fn update(&mut self, known: &mut [Socket]) -> Result<bool, SampleError> {
        if known.is_empty() {
            return Ok(true);
        }
        let socket = self.take_socket()?;
        send_all(&socket, &known.iter().flat_map(request_for_one).collect::<Vec<_>>())?;
        let mut all_there = true;
        for known in known {
            let mut answer = None;
            match messages(receive(&socket, &mut self.buffer)?, |socket| answer = Some(socket)) {
                Some(End::NotYet) => {}
                Some(End::Refused(_)) => all_there = false,
                Some(End::Done) | None => return Err(SampleError::Malformed { what: WHAT.into() }),
            }
            if let Some(answer) = answer {
                known.state = answer.state;
            }
        }
        self.socket = Some(socket);
        Ok(all_there)
    }

    fn take_socket(&mut self) -> Result<OwnedFd, SampleError> {
        self.buffer.resize(BUFFER_BYTES, 0);
        let open = || {
            let protocol = Some(netlink::SOCK_DIAG);
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)
        };
        let socket = self.socket.take().map_or_else(open, Ok);
        socket.map_err(|error| SampleError::read(WHAT, error))
    }
}

fn send_all(socket: &OwnedFd, requests: &[u8]) -> Result<(), SampleError> {
    let sent = send(socket, requests, SendFlags::empty());
    sent.map(|_| ()).map_err(|error| SampleError::read(WHAT, error))
}

/// The kernel answers within the calls, so there is nothing to wait for.
fn receive<'a>(socket: &OwnedFd, buffer: &'a mut [u8]) -> Result<&'a [u8], SampleError> {
    let received = recv(socket, &mut *buffer, RecvFlags::DONTWAIT);
    let (length, _) = received.map_err(|error| SampleError::read(WHAT, error))?;
    Ok(&buffer[..length])
}

/// `struct inet_diag_req`: family, lengths and extensions of no concern, socket, states, 0.
fn request_for_all() -> Vec<u8> {
    let mut body = vec![0; 4 + ID_BYTES];
    body.extend(word(ALL_STATES));
    body.extend(word(0));
    message(TCPDIAG_GETSOCK, NLM_F_REQUEST | NLM_F_DUMP, &body)
}

/// `struct inet_diag_req_v2`: family, protocol, extensions, padding, states, socket.
fn request_for_one(socket: &Socket) -> Vec<u8> {
    let mut body = vec![socket.family, IPPROTO_TCP, 0, 0];
    body.extend(word(ALL_STATES));
    body.extend(socket.id);
    message(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, &body)
}

/// Behind the header of length, type and flags lie two words of no concern.
#[expect(clippy::host_endian_bytes, reason = "netlink speaks the host's byte order")]
fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_BYTES + body.len()).unwrap_or_default();
    let mut message = word(length).to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.resize(HEADER_BYTES, 0);
    message.extend(body);
    message
}

#[expect(clippy::host_endian_bytes, reason = "netlink speaks the host's byte order")]
fn word(number: u32) -> [u8; 4] {
    number.to_ne_bytes()
}

/// How a datagram ends the answer.
#[derive(Debug)]
enum End {
    NotYet,
    Done,
    Refused(io::Error),
}

/// Tells `each` of the sockets of one datagram; `None` when it isn't netlink's.
#[expect(clippy::host_endian_bytes, reason = "netlink speaks the host's byte order")]
fn messages(mut datagram: &[u8], mut each: impl FnMut(Socket)) -> Option<End> {
    while !datagram.is_empty() {
        let [l0, l1, l2, l3, k0, k1, ..] = *datagram.first_chunk::<HEADER_BYTES>()?;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
        let payload = datagram.get(HEADER_BYTES..length)?;
        match u16::from_ne_bytes([k0, k1]) {
            NLMSG_DONE => return Some(End::Done),
            NLMSG_ERROR => {
                let error = i32::from_ne_bytes(*payload.first_chunk()?);
                return Some(End::Refused(io::Error::from_raw_os_error(error.saturating_neg())));
            }
            // `struct inet_diag_msg`: family, state, timer, retransmits, socket.
            _ => {
                let (&[family, state, _, _], rest) = payload.split_first_chunk()?;
                each(Socket { family, state, id: *rest.first_chunk()? });
            }
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(End::NotYet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(state: u8) -> Vec<u8> {
        let body = [&[2, state, 0, 0][..], &[7; ID_BYTES], &[0; 20]].concat();
        message(SOCK_DIAG_BY_FAMILY, 0, &body)
    }

    fn states(datagram: &[u8]) -> (Option<End>, Vec<u8>) {
        let mut states = Vec::new();
        let end = messages(datagram, |socket| states.push(socket.state));
        (end, states)
    }

    #[test]
    fn messages_are_read_up_to_the_end_of_the_answer() {
        let (end, seen) = states(&[answer(1), answer(10)].concat());
        assert!(matches!(end, Some(End::NotYet)));
        assert_eq!(seen, [1, 10]);
        let (end, seen) = states(&[answer(6), message(NLMSG_DONE, 0, &[0; 4])].concat());
        assert!(matches!(end, Some(End::Done)));
        assert_eq!(seen, [6]);
    }

    #[test]
    fn refusal_and_nonsense_are_told_apart() {
        let refusal = message(NLMSG_ERROR, 0, &[0xfe, 0xff, 0xff, 0xff]);
        assert!(matches!(states(&refusal).0, Some(End::Refused(_))));
        for nonsense in [&[0; 16][..], &[7; 5], &[255; 40], &message(20, 0, &[2, 1])] {
            assert!(states(nonsense).0.is_none(), "{nonsense:?}");
        }
    }
}
