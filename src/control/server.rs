//! The daemon's end of the control socket. It never touches the store: it owns watched figures, a
//! nudge for the forwarder and, for the tools, an inspector. Requests are bounded in size, time and number.

use std::{convert::Infallible, io, path::Path, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{
    BodyExt, Full, Limited,
    channel::{Channel, Sender},
    combinators::UnsyncBoxBody,
};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::de::DeserializeOwned;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
};

use super::{
    DEAD_LETTERS, FLUSH, FlushEvent, FlushRequest, PAGE, PURGE, Report, STATS, VERIFY, endpoint,
};
use crate::{
    forward::{self, Nudge, flush},
    queue,
};

mod inspect;

/// Clients that are served at once; more wait.
const CLIENTS: usize = 16;
/// A request's body is no longer than this.
const MAX_BODY: usize = 32 << 10;
/// A request's head has to be there within this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest flush.
const MAX_FLUSH: Duration = Duration::from_hours(24);

/// What goes on while an answer is being read.
type Job = Pin<Box<dyn Future<Output = ()> + Send>>;
type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What the server may look at and nudge.
#[derive(Debug, Clone)]
pub struct View {
    /// The queue's figures.
    pub stats: watch::Receiver<queue::Stats>,
    /// What the forwarder is doing.
    pub forwarder: watch::Receiver<forward::Status>,
    /// Ends the forwarder's wait.
    pub nudge: Nudge,
    /// Looks into the queue and purges.
    pub inspector: queue::Inspector,
}

/// The bound control socket.
pub struct Server {
    listener: endpoint::Listener,
    view: View,
}

impl Server {
    /// Binds the socket at `path`, for the owner only. The caller holds the queue's lock.
    pub fn bind(path: &Path, view: View) -> io::Result<Self> {
        Ok(Self { listener: endpoint::Listener::bind(path)?, view })
    }

    /// Serves until it is dropped. Cancel-safe: connections end with it.
    pub async fn serve(mut self) {
        let places = Arc::new(Semaphore::new(CLIENTS));
        let mut clients = JoinSet::new();
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            while clients.try_join_next().is_some() {}
            match self.listener.accept().await {
                Ok(stream) => {
                    let view = self.view.clone();
                    clients.spawn(async move {
                        serve_client(stream, view).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket refused a client");
                    // Out of descriptors, say: it must not become a busy loop.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

async fn serve_client(stream: endpoint::Stream, view: View) {
    let (jobs, mut asked) = mpsc::channel(1);
    let service = service_fn(move |request| {
        let (view, jobs) = (view.clone(), jobs.clone());
        async move { Ok::<_, Infallible>(answer(request, view, jobs).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    // What an answer takes ends with its connection.
    let mut running = JoinSet::new();
    let served = loop {
        tokio::select! {
            served = &mut served => break served,
            Some(job) = asked.recv() => { running.spawn(job); }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a client of the control socket went away");
    }
}

async fn answer(request: Request<Incoming>, view: View, jobs: mpsc::Sender<Job>) -> Response<Body> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, STATS) => {
            let report = Report::new(&view.stats.borrow(), view.forwarder.borrow().clone(), true);
            json(StatusCode::OK, &report)
        }
        (&Method::POST, FLUSH) => flush(request, view, jobs).await,
        (&Method::POST, PAGE) => inspect::page(request, &view).await,
        (&Method::POST, VERIFY) => inspect::verify(view, jobs).await,
        (&Method::POST, PURGE) => inspect::purge(request, view, jobs).await,
        (&Method::POST, DEAD_LETTERS) => inspect::dead_letters(request, &view).await,
        (_, STATS | FLUSH | PAGE | VERIFY | PURGE | DEAD_LETTERS) => {
            text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n")
        }
        _ => text(StatusCode::NOT_FOUND, "no such resource\n"),
    }
}

async fn flush(request: Request<Incoming>, view: View, jobs: mpsc::Sender<Job>) -> Response<Body> {
    let asked: Option<FlushRequest> = asked(request).await;
    let timeout = asked.and_then(|asked| Duration::try_from_secs_f64(asked.timeout).ok());
    let Some(timeout) = timeout else {
        return text(StatusCode::BAD_REQUEST, "expected {\"timeout\": seconds}\n");
    };
    stream(jobs, |lines| deliver(view, timeout.min(MAX_FLUSH), lines)).await
}

/// What a request's body asks; `None` if that can't be read.
async fn asked<T: DeserializeOwned>(request: Request<Incoming>) -> Option<T> {
    let body = Limited::new(request.into_body(), MAX_BODY).collect();
    let body = tokio::time::timeout(HEAD_TIMEOUT, body).await.ok()?.ok()?;
    serde_json::from_slice(&body.to_bytes()).ok()
}

/// Answers with the lines that a job writes as it goes on. It ends with the connection.
async fn stream<F: Future<Output = ()> + Send + 'static>(
    jobs: mpsc::Sender<Job>,
    job: impl FnOnce(Sender<Bytes, Infallible>) -> F,
) -> Response<Body> {
    let (lines, body) = Channel::<Bytes, Infallible>::new(64);
    if jobs.send(Box::pin(job(lines))).await.is_err() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the connection is closing\n");
    }
    ndjson(body.boxed_unsync())
}

fn ndjson(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}

/// Flushes, and writes a line for each step and one for the end.
async fn deliver(view: View, timeout: Duration, lines: Sender<Bytes, Infallible>) {
    let work = |steps: watch::Sender<_>| async move {
        let progress = |step| {
            steps.send_replace(Some(FlushEvent::Progress(step)));
        };
        let View { stats, forwarder, nudge, .. } = view;
        FlushEvent::Done(flush::drain(stats, forwarder, nudge, timeout, progress).await)
    };
    narrate(work, lines).await;
}

/// Does `work` and writes a line for each of its steps, as far as the client keeps up, and one for
/// its end. It is given up when the client goes away.
async fn narrate<T: serde::Serialize, F: Future<Output = T>>(
    work: impl FnOnce(watch::Sender<Option<T>>) -> F,
    mut lines: Sender<Bytes, Infallible>,
) {
    let (steps, mut taken) = watch::channel(None);
    let work = work(steps);
    tokio::pin!(work);
    let end = loop {
        tokio::select! {
            end = &mut work => break end,
            Ok(()) = taken.changed() => {
                let Some(step) = taken.borrow_and_update().as_ref().map(line) else { continue };
                if lines.send_data(step).await.is_err() {
                    return;
                }
            }
        }
    };
    // A client that went away has no use for the end.
    lines.send_data(line(&end)).await.ok();
}

fn line<T: serde::Serialize>(event: &T) -> Bytes {
    let mut line = serde_json::to_vec(event).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

fn json<T: serde::Serialize>(status: StatusCode, value: &T) -> Response<Body> {
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Full::from(body).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Full::from(text).boxed_unsync());
    *response.status_mut() = status;
    response
}
