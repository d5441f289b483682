//! Where the control socket is, for its server and its client, and who may use it.

#[cfg(unix)]
pub(super) use unix::{Listener, Stream, connect};
#[cfg(windows)]
pub(super) use windows::{Listener, Stream, connect};

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;
