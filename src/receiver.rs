//! The built-in reference receiver: takes the native format, removes duplicates by (agent id,
//! sequence number), and writes what it accepted to a file. For trying out and for tests; it is no
//! database, and forgets at its end what it has seen.

use std::{fmt, future::pending, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use hyper::{header::HeaderName, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::SecretString;
use serde::Serialize;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use self::{
    service::{Expected, Service},
    store::Store,
};
use crate::encode::json;

mod batch;
mod ranges;
mod service;
mod store;

/// Open connections; more wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 256;
/// Longest wait for the head of a request, and so for the next request of a kept connection.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long requests in flight may take after the stop.
const STOP_TIME: Duration = Duration::from_secs(3);
/// Pause after a failed accept, as when no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where the receiver listens and what it does with samples.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The path that samples are posted to.
    pub path: String,
    /// The key that requests must carry, in `key_header` or as `Authorization: Bearer`.
    pub api_key: Option<SecretString>,
    /// The header that carries the bare key.
    pub key_header: HeaderName,
    /// File to which accepted samples are appended, one JSON object a line.
    pub output: Option<PathBuf>,
}

impl Options {
    /// As agents send by default: without a key, to the protocol's path. Keeps no samples.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        let key_header = HeaderName::from_static("x-api-key");
        Self { listen, path: json::DEFAULT_PATH.into(), api_key: None, key_header, output: None }
    }
}

/// What was received since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    /// Requests, refused ones included.
    pub requests: u64,
    /// Samples that were seen for the first time.
    pub accepted: u64,
    /// Samples that had been seen before.
    pub duplicates: u64,
    /// Requests that were refused.
    pub rejected: u64,
    /// Agent ids.
    pub agents: u64,
    /// Sequence numbers that are missing between the first and the last of each agent id.
    pub gaps: u64,
    /// Those of them that no agent has told to be lost.
    pub unexplained: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, accepted, duplicates, rejected, agents, gaps, unexplained } = self;
        write!(
            f,
            "requests={requests} accepted={accepted} duplicates={duplicates} \
             rejected={rejected} agents={agents} gaps={gaps} unexplained={unexplained}"
        )
    }
}

/// Why the receiver can't start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address can't be listened on.
    #[error("can't listen on {address}")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The output file can't be opened.
    #[error("can't append to {path}")]
    Output {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A receiver that listens.
#[derive(Debug)]
pub struct Receiver {
    listener: TcpListener,
    local_addr: SocketAddr,
    service: Arc<Service>,
    totals: watch::Receiver<Totals>,
}

impl Receiver {
    /// Opens the output file and listens; serves nobody yet.
    pub async fn bind(options: Options) -> Result<Self, BindError> {
        let Options { listen, path, api_key, key_header, output } = options;
        let refused = |source| BindError::Listen { address: listen, source };
        let (totals_sender, totals) = watch::channel(Totals::default());
        let store = Store::open(output.as_deref(), totals_sender)
            .map_err(|source| BindError::Output { path: output.unwrap_or_default(), source })?;
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let local_addr = listener.local_addr().map_err(refused)?;
        let service = Arc::new(Service::new(Expected { path, api_key, key_header }, store));
        Ok(Self { listener, local_addr, service, totals })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Totals as they change.
    #[must_use]
    pub fn totals(&self) -> watch::Receiver<Totals> {
        self.totals.clone()
    }

    /// Serves until `shutdown` is ready, then lets requests in flight end for at most 3 s.
    /// Cancel-safe: when dropped it stops at once, and what was answered stays accepted.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Totals {
        let (stop, stopped) = watch::channel(());
        let mut connections = JoinSet::new();
        tokio::select! {
            () = shutdown => {}
            () = self.accept(&mut connections, &stopped) => {}
        }
        drop(stop);
        // What takes longer is dropped with the set, unanswered: the sender repeats it.
        let ended = async { while connections.join_next().await.is_some() {} };
        drop(timeout(STOP_TIME, ended).await);
        *self.totals.borrow()
    }

    async fn accept(&self, connections: &mut JoinSet<()>, stopped: &watch::Receiver<()>) {
        loop {
            while connections.try_join_next().is_some() {}
            while connections.len() >= MAX_CONNECTIONS {
                connections.join_next().await;
            }
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let service = Arc::clone(&self.service);
                    connections.spawn(serve_connection(stream, service, stopped.clone()));
                }
                Err(error) => {
                    tracing::debug!(%error, "can't accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn serve_connection(
    stream: TcpStream,
    service: Arc<Service>,
    mut stopped: watch::Receiver<()>,
) {
    let answer = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { service.answer(request).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    let stop = async {
        // The sender is dropped at the stop and never sends.
        if stopped.changed().await.is_ok() {
            pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}
