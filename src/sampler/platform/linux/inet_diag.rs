//! TCP sockets by state through netlink's inet_diag (sock_diag(7)), without any privilege.
//!
//! It asks with the message of old, `TCPDIAG_GETSOCK`, because that one lists IPv4 and IPv6 in one
//! walk over the kernel's table of connections; the walk is what costs (0.15 ms on a host of 24
//! GB), and the newer message takes one for each family.

use std::io;

use rustix::{
    fd::OwnedFd,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
        socket_with,
    },
};

use super::sockets;
use crate::{sample::TcpStates, sampler::SampleError};

const TCPDIAG_GETSOCK: u16 = 18;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER_BYTES: usize = 16;
/// `struct nlmsghdr` and `struct inet_diag_req`.
const REQUEST_BYTES: usize = HEADER_BYTES + 60;
/// Where `idiag_states` lies: behind the header, four bytes and a socket's identity.
const STATES_AT: usize = HEADER_BYTES + 4 + 48;
/// All states from ESTABLISHED (1) to CLOSING (11).
const ALL_STATES: u32 = 0xffe;
/// The kernel fills at most 32 KiB at a time.
const BUFFER_BYTES: usize = 64 * 1024;
const WHAT: &str = "netlink's inet_diag";

/// A netlink socket, opened at the first question and anew after an error.
pub(super) struct InetDiag {
    socket: Option<OwnedFd>,
    buffer: Vec<u8>,
}

impl InetDiag {
    /// Touches nothing yet.
    pub(super) const fn new() -> Self {
        Self { socket: None, buffer: Vec::new() }
    }

    /// TCP sockets of this network namespace by state.
    pub(super) fn tcp_states(&mut self) -> Result<TcpStates, SampleError> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => open().map_err(|error| SampleError::read(WHAT, error))?,
        };
        self.buffer.resize(BUFFER_BYTES, 0);
        let states = dump(&socket, &mut self.buffer)?;
        // Only a socket whose answer was read to the end can be asked again.
        self.socket = Some(socket);
        Ok(states)
    }
}

fn open() -> rustix::io::Result<OwnedFd> {
    let protocol = Some(netlink::SOCK_DIAG);
    socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)
}

fn dump(socket: &OwnedFd, buffer: &mut [u8]) -> Result<TcpStates, SampleError> {
    let failed = |error| SampleError::read(WHAT, error);
    send(socket, &request(), SendFlags::empty()).map_err(failed)?;
    let mut states = TcpStates::default();
    loop {
        // The kernel answers within the calls, so there is nothing to wait for.
        let (length, _) = recv(socket, &mut *buffer, RecvFlags::DONTWAIT).map_err(failed)?;
        match add_messages(&buffer[..length], &mut states) {
            Some(Progress::More) => {}
            Some(Progress::Done) => return Ok(states),
            Some(Progress::Refused(error)) => return Err(SampleError::read(WHAT, error)),
            None => return Err(SampleError::Malformed { what: WHAT }),
        }
    }
}

#[derive(Debug)]
enum Progress {
    More,
    Done,
    Refused(io::Error),
}

#[expect(clippy::host_endian_bytes, reason = "netlink speaks the host's byte order")]
fn request() -> [u8; REQUEST_BYTES] {
    let mut request = [0; REQUEST_BYTES];
    let length = u32::try_from(REQUEST_BYTES).unwrap_or_default();
    request[..4].copy_from_slice(&length.to_ne_bytes());
    request[4..6].copy_from_slice(&TCPDIAG_GETSOCK.to_ne_bytes());
    request[6..8].copy_from_slice(&NLM_F_REQUEST_DUMP.to_ne_bytes());
    request[STATES_AT..STATES_AT + 4].copy_from_slice(&ALL_STATES.to_ne_bytes());
    request
}

/// Counts the sockets of one datagram; `None` when it isn't netlink's.
#[expect(clippy::host_endian_bytes, reason = "netlink speaks the host's byte order")]
fn add_messages(mut datagram: &[u8], to: &mut TcpStates) -> Option<Progress> {
    while !datagram.is_empty() {
        let header = datagram.first_chunk::<HEADER_BYTES>()?;
        let [l0, l1, l2, l3, k0, k1, ..] = *header;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
        let payload = datagram.get(HEADER_BYTES..length)?;
        match u16::from_ne_bytes([k0, k1]) {
            NLMSG_DONE => return Some(Progress::Done),
            NLMSG_ERROR => {
                let error = i32::from_ne_bytes(*payload.first_chunk()?);
                return Some(Progress::Refused(io::Error::from_raw_os_error(-error)));
            }
            // `struct inet_diag_msg`: the family, then the state.
            _ => sockets::add(*payload.get(1)?, to),
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(Progress::More)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER_BYTES + payload.len()).unwrap();
        let mut message = length.to_le_bytes().to_vec();
        message.extend(kind.to_le_bytes());
        message.resize(HEADER_BYTES, 0);
        message.extend(payload);
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn messages_are_counted_up_to_the_end_of_the_answer() {
        let mut states = TcpStates::default();
        let sockets = [message(20, &[2, 1, 0]), message(18, &[10, 10, 0, 0, 9])].concat();
        assert!(matches!(add_messages(&sockets, &mut states), Some(Progress::More)));
        let end = [message(20, &[2, 1]), message(NLMSG_DONE, &[0; 4])].concat();
        assert!(matches!(add_messages(&end, &mut states), Some(Progress::Done)));
        assert_eq!((states.established, states.listen), (2, 1));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn refusal_and_nonsense_are_told_apart() {
        let mut states = TcpStates::default();
        let refusal = message(NLMSG_ERROR, &(-1i32).to_le_bytes());
        assert!(matches!(add_messages(&refusal, &mut states), Some(Progress::Refused(_))));
        for nonsense in [&[0; 16][..], &[7; 5], &[255; 40], &message(20, &[])] {
            assert!(add_messages(nonsense, &mut states).is_none(), "{nonsense:?}");
        }
    }

    #[test]
    fn sockets_of_both_families_are_counted() {
        let mut diag = InetDiag::new();
        let before = diag.tcp_states().unwrap();
        let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(v4.local_addr().unwrap()).unwrap();
        let v6 = TcpListener::bind("[::1]:0");
        let after = diag.tcp_states().unwrap();
        // Other tests open sockets too, so these are lower bounds.
        assert!(after.listen > before.listen + u64::from(v6.is_ok()) - 1);
        assert!(after.established >= 2, "both ends of {client:?}");
    }
}
