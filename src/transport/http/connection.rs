//! The one connection: how it is opened, whether it may be used again, and one exchange over it.

use std::{error::Error, future::poll_fn, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Uri,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tokio::{
    net::TcpStream,
    task::{AbortHandle, JoinSet},
    time::{Instant, timeout_at},
};
use tower_service::Service;

use super::{
    BuildError,
    answer::Answer,
    failure::Failure,
    wire::{Traffic, Wire},
};
use crate::transport::{Late, tls};

/// A server that sends a larger head of an answer is refused.
const MAX_HEAD: usize = 64 * 1024;
/// Most bytes of a body that are read to keep the connection.
const MAX_DRAIN: usize = 64 * 1024;
/// Longest wait for the rest of a body: the answer has been judged already.
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// A connection that was idle for longer is likely forgotten by something on the way.
const MAX_IDLE: Duration = Duration::from_mins(1);
/// Between the probes of a silent peer by TCP.
const KEEPALIVE: Duration = Duration::from_secs(30);

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Opens connections; a TLS configuration is held only when the URL asks for TLS.
#[derive(Debug, Clone)]
pub(super) enum Connector {
    Plain(HttpConnector),
    Tls(HttpsConnector<HttpConnector>),
}

impl Connector {
    pub(super) fn new(
        url: &Uri,
        timeout: Duration,
        ca_file: Option<&Path>,
    ) -> Result<Self, BuildError> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        // Divided among the addresses of a name, so that one black hole leaves time for the rest.
        tcp.set_connect_timeout(Some(timeout));
        if url.scheme_str() != Some("https") {
            return Ok(Self::Plain(tcp));
        }
        tcp.enforce_http(false);
        let tls = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config(ca_file)?)
            .https_only()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Self::Tls(tls))
    }

    /// Resolves, connects and, for TLS, checks the server's identity, all before `deadline`.
    pub(super) async fn connect(
        &mut self,
        url: &Uri,
        deadline: Instant,
        drivers: &mut JoinSet<()>,
    ) -> Result<Connection, Failure> {
        let begun = Instant::now();
        let stream = match timeout_at(deadline, self.open(url)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Failure::connect(url, &*error)),
            Err(_) => return Err(Failure::connect_timeout(url, deadline - begun)),
        };
        let traffic = Arc::new(Traffic::new());
        let wire = Wire::new(TokioIo::new(stream), Arc::clone(&traffic));
        let (sender, connection) = http1::Builder::new()
            .max_header_size(MAX_HEAD)
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(|error| Failure::connect(url, &error))?;
        let driver = drivers.spawn(async move {
            // Whatever ends the connection is told to the exchange that waits for an answer.
            drop(connection.await);
        });
        Ok(Connection { sender, traffic, driver, last_used: Instant::now() })
    }

    async fn open(&mut self, url: &Uri) -> Result<Stream, Box<dyn Error + Send + Sync>> {
        match self {
            Self::Plain(tcp) => {
                poll_fn(|cx| tcp.poll_ready(cx)).await?;
                Ok(MaybeHttpsStream::Http(tcp.call(url.clone()).await?))
            }
            Self::Tls(tls) => {
                poll_fn(|cx| tls.poll_ready(cx)).await?;
                tls.call(url.clone()).await
            }
        }
    }
}

/// An open connection; dropping it closes it.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    traffic: Arc<Traffic>,
    driver: AbortHandle,
    last_used: Instant,
}

impl Connection {
    /// Whether the connection may carry another request: it is open, its last exchange is over,
    /// and the server has sent nothing since.
    pub(super) async fn is_idle(&mut self, deadline: Instant) -> bool {
        if self.last_used.elapsed() > MAX_IDLE {
            return false;
        }
        settle_reads().await;
        matches!(timeout_at(deadline, self.sender.ready()).await, Ok(Ok(())))
            && !self.sender.is_closed()
    }

    /// Sends `message` and reads the answer, keeping up to `keep` bytes of its body; tells whether
    /// the connection may be used again.
    pub(super) async fn exchange(
        &mut self,
        message: Request<Full<Bytes>>,
        deadline: Instant,
        keep: usize,
    ) -> Result<(Answer, bool), Failure> {
        let begun = Instant::now();
        settle_reads().await;
        let (read, written) = (self.traffic.read(), self.traffic.written());
        let length = wire_length(&message);
        let sent = timeout_at(deadline, self.sender.send_request(message)).await;
        let unanswered = self.traffic.read() == read;
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(Failure::exchange(&error, unanswered)),
            Err(_) => {
                let late = self.late(written, deadline - begun);
                return Err(Failure::timeout(deadline - begun, late));
            }
        };
        let seen_whole = self.traffic.written() - written >= length;
        let (head, body) = response.into_parts();
        let (body, drained) = drain(body, deadline.min(Instant::now() + DRAIN_TIME), keep).await;
        self.last_used = Instant::now();
        Ok((Answer::new(head, body, seen_whole), drained && seen_whole))
    }

    /// What the link did with a request that ran out of its `time`; `written` is what it had taken
    /// before.
    fn late(&self, written: u64, time: Duration) -> Late {
        match self.traffic.quiet() {
            _ if self.traffic.written() == written => Late::No,
            quiet if quiet < time / 2 => Late::Moving,
            _ => Late::Silent,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Lets the driver see what the socket already holds. hyper closes a connection that receives
/// something nobody asked for; without this an unsolicited answer could be taken for the answer to
/// the request that follows it.
async fn settle_reads() {
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
}

/// Bytes that a message takes on the wire, head and body.
fn wire_length(message: &Request<Full<Bytes>>) -> u64 {
    const LINE: usize = " ".len() + " HTTP/1.1\r\n".len() + "\r\n".len();
    let line = LINE + message.method().as_str().len() + message.uri().path().len();
    let query = message.uri().query().map_or(0, |query| query.len() + "?".len());
    let headers: usize = message
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum();
    let body = hyper::body::Body::size_hint(message.body()).exact().unwrap_or(0);
    (line + query + headers) as u64 + body
}

/// Reads a body to its end within bounds: the first `keep` bytes, and whether the end was reached.
async fn drain(mut body: Incoming, deadline: Instant, keep: usize) -> (Vec<u8>, bool) {
    let mut kept = Vec::new();
    let mut total = 0;
    let read = async {
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            let data = frame.data_ref().map_or(&[][..], |data| data);
            total += data.len();
            kept.extend_from_slice(&data[..data.len().min(keep - kept.len())]);
            if total > MAX_DRAIN {
                return false;
            }
        }
        true
    };
    let ended = timeout_at(deadline, read).await.unwrap_or(false);
    (kept, ended)
}
