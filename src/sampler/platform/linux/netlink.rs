//! Questions to the kernel and its answers through netlink (netlink(7)): the framing that inet_diag
//! and rtnetlink share. What the messages mean is theirs.

use std::io;

use rustix::{
    fd::OwnedFd,
    net::{
        AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send,
        socket_with,
    },
};

use crate::sampler::SampleError;

pub(super) const REQUEST: u16 = 0x1;
pub(super) const DUMP: u16 = 0x300;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// The kernel fills at most 32 KiB at a time.
const BUFFER_BYTES: usize = 64 * 1024;

/// A netlink socket, opened at the first question and anew after an error.
pub(super) struct Netlink {
    protocol: Option<Protocol>,
    what: &'static str,
    socket: Option<OwnedFd>,
    buffer: Vec<u8>,
}

/// How a datagram ends the answer.
#[derive(Debug)]
pub(super) enum End {
    NotYet,
    Done,
    Refused(io::Error),
}

impl Netlink {
    /// Touches nothing yet. Errors call it `what`.
    pub(super) const fn new(protocol: Option<Protocol>, what: &'static str) -> Self {
        Self { protocol, what, socket: None, buffer: Vec::new() }
    }

    /// Asks `request`, a dump, and tells `each` of every message of the answer: its type and payload.
    /// `None` from `each` means that it isn't as expected.
    pub(super) fn dump(
        &mut self,
        request: &[u8],
        mut each: impl FnMut(u16, &[u8]) -> Option<()>,
    ) -> Result<(), SampleError> {
        self.exchange(request, |netlink, socket| {
            loop {
                match netlink.receive(socket, &mut each)? {
                    End::NotYet => {}
                    End::Done => return Ok(()),
                    End::Refused(error) => return Err(SampleError::read(netlink.what, error)),
                }
            }
        })
    }

    /// Sends `requests` and lets `read` receive all of the answer: only a socket whose answer was
    /// read to the end can be asked again.
    pub(super) fn exchange<T>(
        &mut self,
        requests: &[u8],
        read: impl FnOnce(&mut Self, &OwnedFd) -> Result<T, SampleError>,
    ) -> Result<T, SampleError> {
        self.buffer.resize(BUFFER_BYTES, 0);
        let open = || {
            socket_with(
                AddressFamily::NETLINK,
                SocketType::RAW,
                SocketFlags::CLOEXEC,
                self.protocol,
            )
        };
        let socket = self.socket.take().map_or_else(open, Ok);
        let socket = socket.map_err(|error| SampleError::read(self.what, error))?;
        let sent = send(&socket, requests, SendFlags::empty());
        sent.map_err(|error| SampleError::read(self.what, error))?;
        let answer = read(self, &socket)?;
        self.socket = Some(socket);
        Ok(answer)
    }

    /// One datagram. The kernel answers within the calls, so there is nothing to wait for.
    pub(super) fn receive(
        &mut self,
        socket: &OwnedFd,
        each: impl FnMut(u16, &[u8]) -> Option<()>,
    ) -> Result<End, SampleError> {
        let received = recv(socket, &mut *self.buffer, RecvFlags::DONTWAIT);
        let (length, _) = received.map_err(|error| SampleError::read(self.what, error))?;
        let end = messages(&self.buffer[..length], each);
        end.ok_or(SampleError::Malformed { what: self.what.into() })
    }
}

/// Behind the header of length, type and flags lie two words of no concern.
#[expect(clippy::host_endian_bytes, reason = "netlink speaks the host's byte order")]
pub(super) fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_BYTES + body.len()).unwrap_or_default();
    let mut message = word(length).to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.resize(HEADER_BYTES, 0);
    message.extend(body);
    message
}

#[expect(clippy::host_endian_bytes, reason = "netlink speaks the host's byte order")]
pub(super) fn word(number: u32) -> [u8; 4] {
    number.to_ne_bytes()
}

/// Tells `each` of the messages of one datagram; `None` when it isn't netlink's or `each` says so.
#[expect(clippy::host_endian_bytes, reason = "netlink speaks the host's byte order")]
pub(super) fn messages(
    mut datagram: &[u8],
    mut each: impl FnMut(u16, &[u8]) -> Option<()>,
) -> Option<End> {
    while !datagram.is_empty() {
        let [l0, l1, l2, l3, k0, k1, ..] = *datagram.first_chunk::<HEADER_BYTES>()?;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
        let payload = datagram.get(HEADER_BYTES..length)?;
        match u16::from_ne_bytes([k0, k1]) {
            DONE => return Some(End::Done),
            ERROR => {
                let error = i32::from_ne_bytes(*payload.first_chunk()?);
                return Some(End::Refused(io::Error::from_raw_os_error(error.saturating_neg())));
            }
            kind => each(kind, payload)?,
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(End::NotYet)
}
