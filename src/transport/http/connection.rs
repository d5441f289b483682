//! The one connection: how it is opened, whether it may be used again, and one exchange over it.

use std::{future::poll_fn, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Uri,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::oneshot,
    task::{AbortHandle, JoinSet},
    time::{Instant, timeout_at},
};
use tower_service::Service;

use super::{
    BuildError, Options,
    answer::Answer,
    dial::{BoxError, Dialer, is_https, route},
    failure::Failure,
    wire::{MAX_HEAD, Traffic, Wire},
};
use crate::transport::{Late, tls};

/// Most bytes of a body that are read to keep the connection.
const MAX_DRAIN: usize = 64 * 1024;
/// Longest wait for the rest of a body: the answer has been judged already.
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// A connection that was idle for longer is likely forgotten by something on the way.
const MAX_IDLE: Duration = Duration::from_mins(1);

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Opens connections to one server.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    url: Uri,
    /// Where it connects to, for a person.
    route: String,
    scheme: Scheme,
}

/// A TLS configuration is held only when the URL asks for TLS.
#[derive(Debug, Clone)]
enum Scheme {
    Plain(Dialer),
    Tls(HttpsConnector<Dialer>),
}

impl Connector {
    pub(super) fn new(options: &Options) -> Result<Self, BuildError> {
        let (url, dialer) = (options.url.clone(), Dialer::new(options));
        let route = route(&url, options.proxy.as_ref());
        if !is_https(&url) {
            return Ok(Self { url, route, scheme: Scheme::Plain(dialer) });
        }
        let config = tls::client_config(options.ca_file.as_deref(), options.client.as_ref())?;
        let tls = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_only()
            .enable_http1()
            .wrap_connector(dialer);
        Ok(Self { url, route, scheme: Scheme::Tls(tls) })
    }

    /// Resolves, connects and, for TLS, checks the server's identity, all before `deadline`.
    pub(super) async fn connect(
        &mut self,
        deadline: Instant,
        drivers: &mut JoinSet<()>,
    ) -> Result<Connection, Failure> {
        let begun = Instant::now();
        let stream = match timeout_at(deadline, self.open()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Failure::connect(&self.route, &*error)),
            Err(_) => return Err(Failure::connect_timeout(&self.route, deadline - begun)),
        };
        let traffic = Traffic::bounded(0);
        let wire = Wire::new(TokioIo::new(stream), Arc::clone(&traffic));
        let (sender, connection) = http1::Builder::new()
            .max_header_size(MAX_HEAD)
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(|error| Failure::connect(&self.route, &error))?;
        let (tell, end) = oneshot::channel();
        let driver = drivers.spawn(async move {
            if let Err(error) = connection.await {
                // Nobody may be waiting.
                drop(tell.send(error));
            }
        });
        Ok(Connection { sender, traffic, driver, end, last_used: Instant::now() })
    }

    async fn open(&mut self) -> Result<Stream, BoxError> {
        let url = self.url.clone();
        match &mut self.scheme {
            Scheme::Plain(dialer) => {
                poll_fn(|cx| dialer.poll_ready(cx)).await?;
                Ok(MaybeHttpsStream::Http(dialer.call(url).await?))
            }
            Scheme::Tls(tls) => {
                poll_fn(|cx| tls.poll_ready(cx)).await?;
                tls.call(url).await
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
    /// What broke it while no exchange was under way.
    end: oneshot::Receiver<hyper::Error>,
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
        self.traffic.allow((MAX_HEAD + MAX_DRAIN) as u64);
        let (read, written) = (self.traffic.read(), self.traffic.written());
        let length = wire_length(&message);
        let sent = timeout_at(deadline, self.sender.send_request(message)).await;
        let unanswered = self.traffic.read() == read;
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.broken(error, unanswered).await),
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

impl Connection {
    /// Why an exchange failed. A connection that broke before the request reached it says only that
    /// it isn't ready; its driver knows why: a server that refuses our certificate, say.
    async fn broken(&mut self, error: hyper::Error, unanswered: bool) -> Failure {
        let told = if error.is_canceled() { (&mut self.end).await.ok() } else { None };
        Failure::exchange(&told.unwrap_or(error), unanswered)
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
    let line = LINE + message.method().as_str().len() + message.uri().to_string().len();
    let headers: usize = message
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum();
    let body = hyper::body::Body::size_hint(message.body()).exact().unwrap_or(0);
    (line + headers) as u64 + body
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
