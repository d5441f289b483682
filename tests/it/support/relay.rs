//! A stretch of bad network: a TCP relay between the daemon and a receiver, whose weather changes
//! while connections are open. Threads and plain sockets.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// What becomes of bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    Clear,
    /// Each piece arrives so much later.
    Latency(Duration),
    /// So many bytes a second in each direction.
    Bandwidth(u32),
    /// Bytes vanish, connections stay.
    BlackHole,
    /// Answers vanish, requests arrive.
    AnswersVanish,
    /// The next byte in any direction resets both ends.
    Reset,
    /// The first byte of an answer resets both ends: the request has arrived.
    ResetAnswers,
}

struct Shared {
    target: SocketAddr,
    weather: Mutex<Weather>,
    connections: AtomicUsize,
    /// Pieces that the weather did something to.
    struck: AtomicU64,
    stopped: AtomicBool,
}

/// See the module.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Relay {
    pub(crate) fn to(target: SocketAddr) -> Self {
        Self::between(SocketAddr::from(([127, 0, 0, 1], 0)), target)
    }

    /// One that listens at an address.
    pub(crate) fn between(listen: SocketAddr, target: SocketAddr) -> Self {
        let listener = TcpListener::bind(listen).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target,
            weather: Mutex::new(Weather::Clear),
            connections: AtomicUsize::new(0),
            struck: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        let accepting = Some(std::thread::spawn(move || accept(&listener, &of_thread)));
        Self { address, shared, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, open connections included.
    pub(crate) fn turn(&self, weather: Weather) {
        *self.shared.weather.lock().unwrap() = weather;
    }

    /// How many connections were opened.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Relaxed)
    }

    /// How many pieces the weather did something to.
    pub(crate) fn struck(&self) -> u64 {
        self.shared.struck.load(Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Relaxed);
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            accepting.join().ok();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming().map_while(Result::ok) {
        if shared.stopped.load(Relaxed) {
            return;
        }
        shared.connections.fetch_add(1, Relaxed);
        let Ok(server) = TcpStream::connect(shared.target) else { continue };
        for (from, to, answers) in [(&client, &server, false), (&server, &client, true)] {
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let shared = Arc::clone(shared);
            std::thread::spawn(move || {
                // An end that went away ends the pair.
                pump(&from, &to, answers, &shared).ok();
                from.shutdown(Shutdown::Both).ok();
                to.shutdown(Shutdown::Both).ok();
            });
        }
    }
}

fn pump(
    mut from: &TcpStream,
    mut to: &TcpStream,
    answers: bool,
    shared: &Shared,
) -> std::io::Result<()> {
    let mut piece = [0; 2048];
    loop {
        let read = from.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        let weather = *shared.weather.lock().unwrap();
        if weather != Weather::Clear {
            shared.struck.fetch_add(1, Relaxed);
        }
        match weather {
            Weather::Latency(time) => pass(time),
            Weather::Bandwidth(per_second) => {
                let bytes = u32::try_from(read).unwrap();
                pass(Duration::from_secs(1) * bytes / per_second);
            }
            Weather::BlackHole => continue,
            Weather::AnswersVanish if answers => continue,
            Weather::Reset => return reset(from, to),
            Weather::ResetAnswers if answers => return reset(from, to),
            Weather::Clear | Weather::AnswersVanish | Weather::ResetAnswers => {}
        }
        to.write_all(&piece[..read])?;
    }
}

/// Closing with a linger of 0 is a reset; the socket is closed when its last clone is.
fn reset(from: &TcpStream, to: &TcpStream) -> std::io::Result<()> {
    for stream in [from, to] {
        rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
        stream.shutdown(Shutdown::Read)?;
    }
    Err(std::io::ErrorKind::ConnectionReset.into())
}

fn pass(time: Duration) {
    let start = Instant::now();
    while let Some(left) = time.checked_sub(start.elapsed()) {
        std::thread::park_timeout(left);
    }
}
