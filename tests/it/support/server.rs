//! A receiver for whole daemons: it takes requests of the native format, remembers every sample, and
//! can refuse, stall, stop and come back at the same address. Threads and plain sockets: it shares
//! no code with the crate.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde_json::Value;

/// What the server does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Takes it: 204.
    Accept,
    /// Answers this status and takes nothing.
    Answer(u16),
    /// Takes nothing and never answers.
    Hang,
    /// Takes requests of at most so many samples; larger ones get 413.
    AtMost(usize),
    /// Answers this status, takes the request if it is a 2xx, and then a body that drips without end.
    Drip(u16),
}

/// One sample as it came in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Received {
    pub(crate) agent: String,
    pub(crate) seq: u64,
    pub(crate) sample: Value,
}

/// Everything that was seen.
#[derive(Debug, Default)]
struct Seen {
    requests: Vec<(String, Value)>,
    received: Vec<Received>,
    /// Requests by what was answered; 0: nothing.
    answers: BTreeMap<u16, u64>,
}

struct Shared {
    mode: Mutex<Mode>,
    key: Mutex<Option<String>>,
    /// Samples for which a request gets 400.
    bad: Mutex<BTreeSet<u64>>,
    seen: Mutex<Seen>,
    open: Mutex<Vec<TcpStream>>,
}

/// See the module.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on a loopback address of its own, so that nobody takes its port while it is away.
    pub(crate) fn start(mode: Mode) -> Self {
        let shared = Shared {
            mode: Mutex::new(mode),
            key: Mutex::default(),
            bad: Mutex::default(),
            seen: Mutex::default(),
            open: Mutex::default(),
        };
        let listener = TcpListener::bind((own_address(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = Self { address, shared: Arc::new(shared), accepting: None };
        server.listen(listener);
        server
    }

    fn listen(&mut self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        self.accepting = Some(std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // The one that `stop` makes says nothing: it is told by its port being ours.
                let mut open = shared.open.lock().unwrap();
                let Ok(clone) = stream.try_clone() else { continue };
                open.push(clone);
                drop(open);
                if *shared.mode.lock().unwrap() == STOPPED {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || drop(serve(stream, &shared)));
            }
        }));
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on requests are treated so; requests that hang are cut off.
    pub(crate) fn turn(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
        self.cut();
    }

    /// From now on requests need this key; others get 401.
    pub(crate) fn want_key(&self, key: &str) {
        *self.shared.key.lock().unwrap() = Some(key.to_owned());
    }

    /// From now on a request with this sample gets 400.
    pub(crate) fn refuse(&self, seq: u64) {
        self.shared.bad.lock().unwrap().insert(seq);
    }

    /// How many requests were answered this status in all; 0: no answer.
    pub(crate) fn answered(&self, status: u16) -> u64 {
        self.shared.seen.lock().unwrap().answers.get(&status).copied().unwrap_or_default()
    }

    /// What was accepted since the last time; the requests are forgotten with it.
    pub(crate) fn take(&self) -> Vec<Received> {
        let mut seen = self.shared.seen.lock().unwrap();
        seen.requests.clear();
        std::mem::take(&mut seen.received)
    }

    fn cut(&self) {
        for stream in self.shared.open.lock().unwrap().drain(..) {
            // The peer may have gone first.
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Stops listening: connections are refused until [`Self::resume`].
    pub(crate) fn stop(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        *self.shared.mode.lock().unwrap() = STOPPED;
        drop(TcpStream::connect(self.address));
        accepting.join().unwrap();
        self.cut();
    }

    /// Listens at the same address again.
    pub(crate) fn resume(&mut self, mode: Mode) {
        self.stop();
        let listener = TcpListener::bind(self.address).unwrap();
        *self.shared.mode.lock().unwrap() = mode;
        self.listen(listener);
    }

    /// Requests that were read so far, whatever was answered: the head in lower case, the body.
    pub(crate) fn requests(&self) -> Vec<(String, Value)> {
        self.shared.seen.lock().unwrap().requests.clone()
    }

    /// How many requests were read so far.
    pub(crate) fn attempts(&self) -> usize {
        self.shared.seen.lock().unwrap().requests.len()
    }

    /// Samples that were accepted, in the order in which they came, repeats included.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.seen.lock().unwrap().received.clone()
    }

    /// How many different samples were accepted.
    pub(crate) fn count(&self) -> usize {
        let seen = self.shared.seen.lock().unwrap();
        let all = seen.received.iter().map(|received| (&received.agent, received.seq));
        all.collect::<BTreeSet<_>>().len()
    }

    /// Checks what must hold of all that ever came: one agent, the numbers 1 to the last without a
    /// gap, first seen in order, and never two contents under one number. Returns the last number.
    #[track_caller]
    pub(crate) fn assert_whole(&self) -> u64 {
        let mut first: BTreeMap<u64, Value> = BTreeMap::new();
        let received = self.received();
        for Received { agent, seq, sample } in &received {
            assert_eq!(*agent, received[0].agent, "two agents");
            if let Some(before) = first.get(seq) {
                assert_eq!(before, sample, "two contents under number {seq}");
            } else {
                assert_eq!(*seq, first.len() as u64 + 1, "a gap, or out of order");
                first.insert(*seq, sample.clone());
            }
        }
        first.len() as u64
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// No request is answered with it: the server is about to stop listening.
const STOPPED: Mode = Mode::Answer(0);

/// A loopback address that no other test uses. Systems that have only one get that.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    if !cfg!(target_os = "linux") {
        return Ipv4Addr::LOCALHOST;
    }
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let [.., number] = NEXT.fetch_add(1, Relaxed).to_be_bytes();
    Ipv4Addr::new(127, high.max(1), low, number)
}

fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut answers = stream.try_clone()?;
    let mut requests = BufReader::new(stream);
    while let Some((head, body)) = read_request(&mut requests)? {
        match judge(&head, &body, shared) {
            Answer::None => {
                // Until it is cut off, or the peer has had enough.
                let mut sink = [0; 1024];
                while requests.read(&mut sink)? > 0 {}
                return Ok(());
            }
            Answer::Whole(204) => answers.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?,
            Answer::Whole(status) => {
                let answer = format!("HTTP/1.1 {status} Because\r\nContent-Length: 2\r\n\r\nno");
                answers.write_all(answer.as_bytes())?;
            }
            Answer::Dripping(status) => {
                let head = format!("HTTP/1.1 {status} Because\r\nContent-Length: 9999\r\n\r\n");
                answers.write_all(head.as_bytes())?;
                loop {
                    answers.write_all(b"x")?;
                    std::thread::park_timeout(Duration::from_millis(50));
                }
            }
        }
    }
    Ok(())
}

/// What becomes of a request.
enum Answer {
    None,
    Whole(u16),
    Dripping(u16),
}

fn judge(head: &str, body: &Value, shared: &Shared) -> Answer {
    let mode = *shared.mode.lock().unwrap();
    let samples = body["samples"].as_array().map_or(&[][..], Vec::as_slice);
    let answer = match mode {
        Mode::Hang => Answer::None,
        Mode::Answer(status) => Answer::Whole(status),
        Mode::AtMost(most) if samples.len() > most => Answer::Whole(413),
        Mode::Drip(status) => Answer::Dripping(status),
        Mode::Accept | Mode::AtMost(_) => Answer::Whole(verdict(head, samples, shared)),
    };
    let status = match answer {
        Answer::None => 0,
        Answer::Whole(status) | Answer::Dripping(status) => status,
    };
    let mut seen = shared.seen.lock().unwrap();
    seen.requests.push((head.to_owned(), body.clone()));
    *seen.answers.entry(status).or_default() += 1;
    if (200..300).contains(&status) {
        let agent = body["agent"]["id"].as_str().unwrap_or_default();
        let received = samples.iter().map(|sample| Received {
            agent: agent.to_owned(),
            seq: sample["seq"].as_u64().unwrap_or_default(),
            sample: sample.clone(),
        });
        seen.received.extend(received);
    }
    answer
}

/// Of a server that works.
fn verdict(head: &str, samples: &[Value], shared: &Shared) -> u16 {
    let key = shared.key.lock().unwrap();
    if key.as_ref().is_some_and(|key| !head.contains(&format!("x-api-key: {key}\r\n"))) {
        return 401;
    }
    let bad = shared.bad.lock().unwrap();
    let is_bad = |sample: &Value| sample["seq"].as_u64().is_some_and(|seq| bad.contains(&seq));
    if samples.iter().any(is_bad) { 400 } else { 204 }
}

/// The head in lower case and the body; `None` at the end of the connection.
fn read_request(from: &mut BufReader<TcpStream>) -> std::io::Result<Option<(String, Value)>> {
    let mut head = String::new();
    loop {
        let start = head.len();
        if from.read_line(&mut head)? == 0 {
            return Ok(None);
        }
        if &head[start..] == "\r\n" {
            break;
        }
    }
    head.make_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    from.read_exact(&mut body)?;
    Ok(Some((head, serde_json::from_slice(&body).unwrap_or_default())))
}
