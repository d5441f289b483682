//! A Unix socket, 0600, for its owner and root. Whoever holds the queue's lock owns its path: a
//! socket that lies there and that nobody listens on is a left-over. Anything else is left alone.

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketType},
    process::geteuid,
};
use tokio::net::{UnixListener, UnixStream, unix::UCred};

pub(in crate::control) type Stream = UnixStream;

/// The listening end; removes its socket when it is dropped.
pub(in crate::control) struct Listener {
    socket: UnixListener,
    path: PathBuf,
    identity: (u64, u64),
    has_warned: bool,
}

impl Listener {
    pub(in crate::control) fn bind(path: &Path) -> io::Result<Self> {
        clear(path)?;
        let socket = UnixListener::bind(path)?;
        let identity = identity(path)?;
        let this = Self { socket, path: path.to_owned(), identity, has_warned: false };
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(this)
    }

    /// The next client that may ask. Others are turned away, with one warning for all of them.
    pub(in crate::control) async fn accept(&mut self) -> io::Result<Stream> {
        loop {
            let (stream, _) = self.socket.accept().await?;
            let peer = stream.peer_cred()?;
            if is_allowed(&peer) {
                return Ok(stream);
            }
            if !self.has_warned {
                self.has_warned = true;
                tracing::warn!(uid = peer.uid(), "the control socket turns another user away");
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // What has taken its place is somebody else's. If it is gone already, all the better.
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            fs::remove_file(&self.path).ok();
        }
    }
}

/// Connects to the daemon. A socket that another user listens on isn't the daemon's.
pub(in crate::control) async fn connect(path: &Path) -> io::Result<Stream> {
    let stream = UnixStream::connect(path).await?;
    // Root meets daemons of every user.
    if geteuid().is_root() || is_allowed(&stream.peer_cred()?) {
        return Ok(stream);
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "another user listens there"))
}

/// The owner of this process, and root.
fn is_allowed(peer: &UCred) -> bool {
    peer.uid() == 0 || peer.uid() == geteuid().as_raw()
}

/// The file itself, whatever its name leads to.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Removes a socket that was left at `path`, and nothing else. A link is never followed.
fn clear(path: &Path) -> io::Result<()> {
    let refuse = |text| Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return refuse("something that isn't a socket lies there");
    }
    if is_listened_on(path)? {
        return refuse("another process listens there; give each agent its own control.socket");
    }
    fs::remove_file(path)
}

fn is_listened_on(path: &Path) -> io::Result<bool> {
    let address = SocketAddrUnix::new(path)?;
    let socket: OwnedFd = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    // A listener whose queue is full must not hold us up.
    rustix::io::ioctl_fionbio(&socket, true)?;
    match rustix::net::connect(&socket, &address) {
        // The last one: a datagram socket that somebody has bound.
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS | Errno::PROTOTYPE) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener as Foreign};

    use super::*;

    fn refusal(path: &Path) -> String {
        Listener::bind(path).err().map(|error| error.to_string()).expect("it must be refused")
    }

    #[tokio::test]
    async fn left_over_socket_is_replaced_and_goes_with_the_listener() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("s");
        drop(Foreign::bind(&path).unwrap());
        let listener = Listener::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        connect(&path).await.unwrap();
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn socket_that_somebody_listens_on_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let (path, datagram) = (home.path().join("s"), home.path().join("d"));
        let _stream = Foreign::bind(&path).unwrap();
        let _datagram = UnixDatagram::bind(&datagram).unwrap();
        for path in [path, datagram] {
            assert!(refusal(&path).starts_with("another process listens there"));
            assert!(path.exists());
        }
    }

    #[tokio::test]
    async fn whatever_is_no_socket_is_left_alone_and_no_link_is_followed() {
        let home = tempfile::tempdir().unwrap();
        let target = home.path().join("target");
        fs::write(&target, "precious").unwrap();
        let dead = home.path().join("dead");
        drop(Foreign::bind(&dead).unwrap());
        let link = |name: &str, to: &Path| {
            let path = home.path().join(name);
            std::os::unix::fs::symlink(to, &path).unwrap();
            path
        };
        let (hard, directory) = (home.path().join("hard"), home.path().join("directory"));
        fs::hard_link(&target, &hard).unwrap();
        fs::create_dir(&directory).unwrap();
        let to_nothing = link("to-nothing", &home.path().join("nothing"));
        let to_file = link("to-file", &target);
        let to_socket = link("to-socket", &dead);
        for path in [&target, &hard, &directory, &to_nothing, &to_file, &to_socket] {
            assert_eq!(refusal(path), "something that isn't a socket lies there");
            assert!(fs::symlink_metadata(path).is_ok(), "{} is gone", path.display());
        }
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        assert!(dead.exists() && !home.path().join("nothing").exists());
    }

    #[tokio::test]
    async fn socket_that_has_taken_our_place_is_not_removed() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("s");
        let listener = Listener::bind(&path).unwrap();
        fs::rename(&path, home.path().join("ours")).unwrap();
        let _other = Foreign::bind(&path).unwrap();
        drop(listener);
        assert!(path.exists());
    }
}
