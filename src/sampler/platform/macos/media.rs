//! Whether an interface has a carrier: the request SIOCGIFMEDIA, which only network cards know.

use std::io;

use rustix::{
    fd::OwnedFd,
    ioctl::{Opcode, Updater, ioctl, opcode},
    net::{AddressFamily, SocketType, socket},
};

/// `struct ifmediareq` (net/if.h).
#[repr(C, packed(4))]
struct Request {
    name: [u8; 16],
    current: i32,
    mask: i32,
    status: u32,
    active: i32,
    count: i32,
    list: usize,
}

const SIOCGIFMEDIA: Opcode = opcode::read_write::<Request>(b'i', 56);
const _: () = assert!(SIOCGIFMEDIA == 0xc02c_6938);

/// A socket to ask through, opened at the first use.
#[derive(Default)]
pub(super) struct Media(Option<OwnedFd>);

impl Media {
    /// `ifm_status`; an error for an interface that knows no media.
    pub(super) fn status(&mut self, interface: &[u8]) -> io::Result<u32> {
        let socket = match self.0.take() {
            Some(socket) => socket,
            None => socket(AddressFamily::INET, SocketType::DGRAM, None)?,
        };
        let socket = self.0.insert(socket);
        let mut name = [0; 16];
        let room = name.get_mut(..interface.len()).filter(|room| room.len() < 16);
        room.ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(interface);
        let mut request =
            Request { name, current: 0, mask: 0, status: 0, active: 0, count: 0, list: 0 };
        // SAFETY: the request is the structure that this number asks for; without room for a list
        // the kernel writes none.
        unsafe { ioctl(socket, Updater::<SIOCGIFMEDIA, Request>::new(&mut request))? };
        Ok(request.status)
    }
}
