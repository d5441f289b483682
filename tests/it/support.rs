//! The scripted receiver: a socket that plays raw bytes and records what it was sent. It knows
//! nothing of the crate's own HTTP code, so that both can't be wrong in the same way.

pub(crate) mod faults;
#[cfg(unix)]
pub(crate) mod process;
#[cfg(unix)]
#[allow(dead_code, reason = "the soak uses the rest")]
pub(crate) mod relay;
#[cfg(unix)]
#[allow(dead_code, reason = "the soak uses the rest")]
pub(crate) mod server;

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinHandle,
};

/// What a connection does next.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Reads and records one whole request.
    Read,
    /// Reads the beginning of a request, records nothing.
    Begin,
    /// Sends these bytes.
    Say(Vec<u8>),
    /// Sends these bytes again and again until the peer has had enough.
    Repeat(Vec<u8>),
    /// Sends these bytes one by one, with a pause behind each, then closes.
    Drip(Vec<u8>, Duration),
    /// Keeps silent until [`Scripted::proceed`].
    Gate,
    /// Keeps silent until the peer closes.
    Wait,
    /// Closes with a reset.
    Reset,
}

/// `Step::Say` of a text.
pub(crate) fn say(text: &str) -> Step {
    Step::Say(text.into())
}

/// `Step::Repeat` of a text.
pub(crate) fn repeat(text: &str) -> Step {
    Step::Repeat(text.into())
}

/// A request as it was on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Which connection it came over, from 0.
    pub(crate) connection: usize,
    /// Request line and headers.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// The value of a header, looked up by its lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        lines
            .filter_map(|line| line.split_once(": "))
            .find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }
}

/// Plays one script a connection; the last one is played for all that follow.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Connections that were opened, and steps that were played in all.
    progress: watch::Receiver<(usize, usize)>,
    gate: Arc<Semaphore>,
    server: JoinHandle<()>,
}

impl Scripted {
    pub(crate) async fn start(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, progress) = watch::channel((0, 0));
        let (seen, gate) = (Arc::default(), Arc::new(Semaphore::new(0)));
        let stage = Stage { seen: Arc::clone(&seen), tell, gate: Arc::clone(&gate) };
        let server = tokio::spawn(accept(listener, scripts, Arc::new(stage)));
        Self { address, seen, progress, gate, server }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/api/v1/metrics", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.progress.borrow().0
    }

    /// Lets one connection pass its gate.
    pub(crate) fn proceed(&self) {
        self.gate.add_permits(1);
    }

    /// Until so many steps were played, over all connections.
    pub(crate) async fn played(&mut self, steps: usize) {
        let reached = self.progress.wait_for(|(_, played)| *played >= steps);
        tokio::time::timeout(Duration::from_secs(10), reached).await.unwrap().unwrap();
    }
}

/// A scripted server on a thread of its own, for a test that blocks; it ends with the test process.
#[cfg(unix)]
pub(crate) fn hold_on(scripts: Vec<Vec<Step>>) -> Scripted {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tell.send(Scripted::start(scripts).await).ok();
            std::future::pending::<()>().await;
        });
    });
    told.recv().unwrap()
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// What all connections share.
struct Stage {
    seen: Arc<Mutex<Vec<Seen>>>,
    tell: watch::Sender<(usize, usize)>,
    gate: Arc<Semaphore>,
}

async fn accept(listener: TcpListener, scripts: Vec<Vec<Step>>, stage: Arc<Stage>) {
    for connection in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        stage.tell.send_modify(|(opened, _)| *opened += 1);
        let script = scripts.get(connection).or(scripts.last()).cloned().unwrap();
        tokio::spawn(play(stream, connection, script, Arc::clone(&stage)));
    }
}

async fn play(mut stream: TcpStream, connection: usize, script: Vec<Step>, stage: Arc<Stage>) {
    for step in script {
        match step {
            Step::Read => match read_request(&mut stream).await {
                Some((head, body)) => {
                    stage.seen.lock().unwrap().push(Seen { connection, head, body });
                }
                None => return,
            },
            Step::Begin => {
                if stream.read(&mut [0; 4096]).await.is_err() {
                    return;
                }
            }
            Step::Say(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Step::Drip(bytes, pause) => {
                let mut pace = tokio::time::interval(pause);
                for byte in bytes {
                    pace.tick().await;
                    if stream.write_all(&[byte]).await.is_err() {
                        return;
                    }
                }
            }
            Step::Repeat(bytes) => while stream.write_all(&bytes).await.is_ok() {},
            Step::Gate => stage.gate.acquire().await.unwrap().forget(),
            Step::Wait => {
                let mut sink = [0; 4096];
                while stream.read(&mut sink).await.is_ok_and(|read| read > 0) {}
            }
            Step::Reset => {
                stream.set_zero_linger().unwrap();
                return;
            }
        }
        stage.tell.send_modify(|(_, played)| *played += 1);
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.ok()?;
        if read == 0 {
            return None;
        }
        bytes.extend_from_slice(&chunk[..read]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let seen = Seen { connection: 0, head, body: Vec::new() };
        let length: usize =
            seen.header("content-length").map_or(0, |length| length.parse().unwrap());
        if bytes.len() >= end + 4 + length {
            return Some((seen.head, bytes.split_off(end + 4)));
        }
    }
}

/// Copies a directory with all below it.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}
