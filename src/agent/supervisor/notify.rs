//! systemd's protocol, `sd_notify(3)`: a datagram of `NAME=value` lines to the socket that
//! `NOTIFY_SOCKET` names. Its own few lines, because the crates for it wait for a manager that
//! hangs, and don't know abstract sockets.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        net::{SocketAddr, UnixDatagram},
    },
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

use super::{News, Supervisor};

/// A manager that hangs doesn't hold up sampling for longer.
const PATIENCE: Duration = Duration::from_millis(500);
/// A status is one line for a person.
const LONGEST_STATUS: usize = 500;

/// The manager that these variables name. What can't be used is said and left alone: a service
/// that runs unsupervised is better than none.
pub(super) fn supervisor(variable: impl Fn(&str) -> Option<OsString>) -> Option<Supervisor> {
    let name = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty())?;
    let opened = address(&name).and_then(|address| Ok((address, socket()?)));
    let (address, socket) = opened
        .inspect_err(|error| tracing::warn!(%error, "the socket in NOTIFY_SOCKET can't be used"))
        .ok()?;
    let failing = AtomicBool::new(false);
    let tell = move |news: News| {
        let sent = socket.send_to_addr(message(&news).as_bytes(), &address);
        match sent {
            Ok(_) => failing.store(false, Relaxed),
            // Once: the watchdog would say it for ever.
            Err(error) if !failing.swap(true, Relaxed) => {
                tracing::warn!(%error, "the service manager can't be told");
            }
            Err(_) => {}
        }
    };
    Some(Supervisor::new(tell, watchdog(variable)))
}

fn socket() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// A path, or `@` and the name of an abstract socket.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name),
        [b'@', name @ ..] => named(name),
        _ => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor an abstract name"))
        }
    }
}

#[cfg(target_os = "linux")]
fn named(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn named(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no abstract sockets"))
}

/// `WATCHDOG_USEC`, if it is meant for this process.
fn watchdog(variable: impl Fn(&str) -> Option<OsString>) -> Option<Duration> {
    let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
    if variable("WATCHDOG_PID").is_some()
        && number("WATCHDOG_PID") != Some(std::process::id().into())
    {
        return None;
    }
    number("WATCHDOG_USEC").filter(|&time| time > 0).map(Duration::from_micros)
}

fn message(news: &News) -> String {
    match news {
        News::Ready => "READY=1\n".into(),
        News::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}\n", monotonic().as_micros()),
        News::Stopping => "STOPPING=1\n".into(),
        News::Status(text) => {
            let one_line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
            format!("STATUS={}\n", one_line.take(LONGEST_STATUS).collect::<String>())
        }
        News::Alive => "WATCHDOG=1\n".into(),
    }
}

fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(set: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> + Copy {
        move |name| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        }
    }

    #[test]
    fn without_a_socket_there_is_no_manager() {
        for set in [&[][..], &[("NOTIFY_SOCKET", "")], &[("NOTIFY_SOCKET", "relative")]] {
            assert!(supervisor(variables(set)).is_none(), "{set:?}");
        }
    }

    #[test]
    fn watchdog_of_another_process_is_not_ours() {
        let own = std::process::id().to_string();
        for (pid, usec, expected) in [
            (None, Some("30000000"), Some(Duration::from_secs(30))),
            (Some(own.as_str()), Some("1"), Some(Duration::from_micros(1))),
            (Some("1"), Some("30000000"), None),
            (Some("x"), Some("30000000"), None),
            (None, Some("0"), None),
            (None, Some("-1"), None),
            (None, None, None),
        ] {
            let variable = |name: &str| match name {
                "WATCHDOG_PID" => pid.map(OsString::from),
                _ => usec.map(OsString::from),
            };
            assert_eq!(watchdog(variable), expected, "{pid:?} {usec:?}");
        }
    }

    #[test]
    fn status_is_one_line_and_no_second_variable() {
        let told = message(&News::Status("held: no\nMAINPID=1\u{1b}".into()));
        assert_eq!(told, "STATUS=held: no MAINPID=1 \n");
    }

    #[test]
    fn manager_that_does_not_read_is_not_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("notify");
        let reader = UnixDatagram::bind(&path).unwrap();
        let filler = UnixDatagram::unbound().unwrap();
        filler.set_nonblocking(true).unwrap();
        while filler.send_to(b"X=1", &path).is_ok() {}
        let name = path.to_str().unwrap();
        let supervisor = supervisor(variables(&[("NOTIFY_SOCKET", name)])).unwrap();
        // It would wait here for ever.
        supervisor.tell(News::Alive);
        let mut bytes = [0; 100];
        assert_eq!(reader.recv(&mut bytes).unwrap(), 3);
        supervisor.tell(News::Ready);
        reader.set_nonblocking(true).unwrap();
        let rest =
            std::iter::from_fn(|| reader.recv(&mut bytes).ok().map(|read| bytes[..read].to_vec()));
        let rest: Vec<_> = rest.collect();
        assert_eq!(rest.last().unwrap(), b"READY=1\n");
        assert!(!rest.contains(&b"WATCHDOG=1\n".to_vec()));
    }
}
