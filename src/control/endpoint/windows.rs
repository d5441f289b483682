//! A named pipe. The default access list lets everyone read, so the pipe gets one that knows
//! only its owner and the system.
use std::{
    ffi::{OsString, c_void},
    io,
    path::Path,
};

use tokio::net::windows::named_pipe::{
    ClientOptions, NamedPipeClient, NamedPipeServer, ServerOptions,
};
use windows_sys::Win32::{
    Foundation::LocalFree,
    Security::{
        Authorization::{ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1},
        PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES,
    },
};

pub(in crate::control) type Stream = NamedPipeServer;

/// Protected; full access for the system, the administrators and the owner, nobody else.
const OWNER_ONLY: &str = "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)";

/// The listening end: the instance that waits for the next client.
pub(in crate::control) struct Listener {
    name: OsString,
    waiting: NamedPipeServer,
}

impl Listener {
    pub(in crate::control) fn bind(path: &Path) -> io::Result<Self> {
        let name = pipe_name(path);
        let waiting = instance(&name, true)?;
        Ok(Self { name, waiting })
    }

    pub(in crate::control) async fn accept(&mut self) -> io::Result<Stream> {
        self.waiting.connect().await?;
        let next = instance(&self.name, false)?;
        Ok(std::mem::replace(&mut self.waiting, next))
    }
}

pub(in crate::control) async fn connect(path: &Path) -> io::Result<NamedPipeClient> {
    // A client for whom no instance waits right now would be refused: it is tried again by
    // the caller, which retries anyway.
    std::future::ready(ClientOptions::new().open(pipe_name(path))).await
}

/// The pipe that stands for a path: pipes live in a flat name space of their own.
fn pipe_name(path: &Path) -> OsString {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, path.as_os_str().as_encoded_bytes());
    OsString::from(format!(r"\\.\pipe\collector-{id}"))
}

#[expect(unsafe_code, reason = "an access list for a pipe can only be given by pointer")]
fn instance(name: &OsString, first: bool) -> io::Result<NamedPipeServer> {
    let text: Vec<u16> = OWNER_ONLY.encode_utf16().chain([0]).collect();
    let mut descriptor: PSECURITY_DESCRIPTOR = std::ptr::null_mut();
    // SAFETY: `text` ends with 0; on success `descriptor` is a block that we free below.
    let converted = unsafe {
        ConvertStringSecurityDescriptorToSecurityDescriptorW(
            text.as_ptr(),
            SDDL_REVISION_1,
            &mut descriptor,
            std::ptr::null_mut(),
        )
    };
    if converted == 0 {
        return Err(io::Error::last_os_error());
    }
    let mut attributes = SECURITY_ATTRIBUTES {
        nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).unwrap_or(u32::MAX),
        lpSecurityDescriptor: descriptor,
        bInheritHandle: 0,
    };
    let mut options = ServerOptions::new();
    options.first_pipe_instance(first).reject_remote_clients(true);
    // SAFETY: `attributes` and what it points to live until the call has returned.
    let server = unsafe {
        options.create_with_security_attributes_raw(name, (&raw mut attributes).cast::<c_void>())
    };
    // SAFETY: allocated by the conversion above, not used any more.
    unsafe { LocalFree(descriptor) };
    server
}
