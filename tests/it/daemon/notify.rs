//! systemd's protocol from the side of the service manager: what comes through `NOTIFY_SOCKET`, and
//! when the watchdog isn't fed.

use std::{
    io::ErrorKind,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    process::{Home, SOON, let_pass, wait_for, wait_until},
    server::{Mode, Server},
};

/// The end of the service manager.
struct Manager(UnixDatagram);

impl Manager {
    fn at(address: &SocketAddr) -> Self {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    /// What has come meanwhile.
    fn news(&self) -> Vec<String> {
        let mut news = Vec::new();
        let mut bytes = [0; 4096];
        loop {
            match self.0.recv(&mut bytes) {
                Ok(length) => news.push(String::from_utf8(bytes[..length].to_vec()).unwrap()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return news,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// All up to the first one that begins so.
    #[track_caller]
    fn until(&self, begin: &str) -> Vec<String> {
        let mut all = Vec::new();
        wait_for(begin, SOON, || {
            all.extend(self.news());
            all.iter().any(|news| news.starts_with(begin)).then_some(())
        });
        all
    }
}

fn watched(socket: &str) -> [(&str, &str); 2] {
    [("NOTIFY_SOCKET", socket), ("WATCHDOG_USEC", "400000")]
}

#[test]
fn agent_tells_of_start_reload_state_and_stop() {
    let server = Server::start(Mode::Accept);
    server.want_key("another");
    let home = Home::new(&server.url(), &[("collector.api_key", json!("canary"))]);
    let path = home.path("notify");
    let manager = Manager::at(&SocketAddr::from_pathname(&path).unwrap());
    let daemon = home.daemon_with(&[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    let mut all = manager.until("READY=1\n");
    // Ready means that commands are answered.
    assert_eq!(home.stats()["running"], true);
    all.extend(manager.until("STATUS=held, the server refuses us: 401"));
    let held = all.last().unwrap();
    assert!(held.contains("queued") && held.ends_with('\n') && !held.contains("canary"), "{held}");
    daemon.signal(Signal::HUP);
    let reload = manager.until("READY=1\n");
    let begun = reload.iter().find(|news| news.starts_with("RELOADING=1\n")).unwrap();
    let since = begun.trim_end().strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now = u64::try_from(now.tv_sec).unwrap() * 1_000_000;
    assert!(now.abs_diff(since.parse().unwrap()) < 60_000_000, "{begun}");
    std::fs::write(home.path("config/collector-config.yaml"), "nonsense: 1\n").unwrap();
    daemon.signal(Signal::HUP);
    // A refused one has ended, too.
    manager.until("RELOADING=1\n");
    daemon.wait_for_log("refused");
    daemon.signal(Signal::TERM);
    let end = manager.until("STOPPING=1\n");
    assert!(end.contains(&"READY=1\n".to_owned()) || reload.len() > 1, "{end:?}");
    assert_eq!(daemon.end().code, Some(0));
    // Nobody asked for a watchdog.
    assert!(all.iter().chain(&reload).chain(&end).all(|news| !news.contains("WATCHDOG")));
}

#[test]
fn watchdog_is_fed_through_an_abstract_socket_while_idle_and_in_an_outage() {
    let server = Server::start(Mode::Accept);
    let home = Home::new(&server.url(), &[("collector.interval", json!("1d"))]);
    let name = format!("collector-test-{}", std::process::id());
    let manager = Manager::at(&SocketAddr::from_abstract_name(&name).unwrap());
    let daemon = home.daemon_with(&watched(&format!("@{name}")));
    manager.until("READY=1\n");
    let fed = |times: usize| {
        for _ in 0..times {
            manager.until("WATCHDOG=1\n");
        }
    };
    wait_until("the first tick is delivered", || server.count() >= 4);
    fed(5);
    for mode in [Mode::Hang, Mode::Answer(503), Mode::Answer(401)] {
        server.turn(mode);
        home.configure(&server.url(), &[("collector.tags.mode", json!(format!("{mode:?}")))]);
        daemon.signal(Signal::HUP);
        let before = server.attempts();
        wait_until("an attempt", || server.attempts() > before);
        fed(5);
    }
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn watchdog_is_not_fed_while_the_process_stands_still() {
    let home = Home::new("http://127.0.0.1:9", &[]);
    let path = home.path("notify");
    let manager = Manager::at(&SocketAddr::from_pathname(&path).unwrap());
    let daemon = home.daemon_with(&watched(path.to_str().unwrap()));
    manager.until("WATCHDOG=1\n");
    daemon.signal(Signal::STOP);
    // What was sent before it stood.
    let_pass(Duration::from_millis(300));
    manager.news();
    let_pass(Duration::from_secs(1));
    assert_eq!(manager.news(), [""; 0]);
    daemon.signal(Signal::CONT);
    manager.until("WATCHDOG=1\n");
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn manager_that_is_gone_is_no_reason_to_stop() {
    let server = Server::start(Mode::Accept);
    let home = Home::new(&server.url(), &[]);
    let path = home.path("nobody-listens");
    let daemon = home.daemon_with(&watched(path.to_str().unwrap()));
    wait_until("delivery", || server.count() >= 8);
    let log = daemon.stop().err;
    assert_eq!(log.matches("the service manager can't be told").count(), 1, "{log}");
}
