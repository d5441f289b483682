//! The command line's end of the control socket.

use std::{io, path::Path, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, body::Incoming, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::{
    DEAD_LETTERS, DeadLettersAsked, DeadLettersEvent, FLUSH, FlushEvent, FlushRequest, PAGE, PURGE,
    PageEvent, PageRequest, PurgeEvent, PurgeRequest, Report, STATS, ShownLetter, ShownPage,
    VERIFY, VerifyEvent, endpoint,
};
use crate::{
    forward::flush::{Outcome, Progress},
    queue::{Amount, Part, Verdict},
};

mod events;

use events::Events;

/// A daemon that doesn't answer within this time doesn't answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// One step of a longer work, on a slow disk.
const STEP: Duration = Duration::from_mins(1);
/// A large queue is read whole before it is known how much a purge takes.
const MEASURING: Duration = Duration::from_mins(30);
const MAX_ANSWER: usize = 1 << 20;

/// Why the daemon couldn't be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no daemon listens on the control socket")]
    Absent(#[source] io::Error),
    /// It doesn't answer in time: stopped, or too busy. Worth trying again.
    #[error("the daemon doesn't answer on the control socket")]
    Silent,
    /// It ended before it had answered. Worth trying again.
    #[error("the daemon ended before it had answered")]
    Ended,
    /// Somebody listens and doesn't answer as expected.
    #[error("the daemon's answer on the control socket is no use: {0}")]
    Answer(String),
    /// The daemon couldn't do it.
    #[error("the daemon couldn't do it: {0}")]
    Failed(String),
}

/// A connection to the daemon.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

impl Client {
    /// Connects to the daemon that listens at `path`.
    pub async fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = endpoint::connect(path).await.map_err(ClientError::Absent)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| ClientError::Answer(error.to_string()))?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // The request in flight reports the failure.
            connection.await.ok();
        });
        Ok(Self { sender, _driver: driver })
    }

    /// The daemon's figures.
    pub async fn stats(&mut self) -> Result<Report, ClientError> {
        let asked = async {
            let response = self.ask("GET", STATS, Bytes::new()).await?;
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|error| ClientError::Answer(error.to_string()))?.to_bytes();
            serde_json::from_slice(&body).map_err(|error| ClientError::Answer(error.to_string()))
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or(Err(ClientError::Silent))
    }

    /// Tells the daemon to deliver now, and waits for the end; `progress` hears of every step. A
    /// daemon that ends meanwhile ends the flush as well: what was queued stays so.
    pub async fn flush(
        &mut self,
        timeout: Duration,
        mut progress: impl FnMut(Progress),
    ) -> Result<Outcome, ClientError> {
        let request = FlushRequest { timeout: timeout.as_secs_f64() };
        let events = self.post(FLUSH, &request).await?;
        let mut events = events.within(timeout + PATIENCE);
        let mut last = None;
        loop {
            match (events.next().await, last) {
                (Ok(FlushEvent::Progress(step)), _) => {
                    progress(step);
                    last = Some(step);
                }
                (Ok(FlushEvent::Done(outcome)), _) => return Ok(outcome),
                (Err(ClientError::Ended), Some(Progress { delivered, remaining })) => {
                    return Ok(Outcome::Stopped { delivered, remaining });
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// The queued entries from `from` on, as many as a page holds and at most `max_samples`.
    pub async fn page(&mut self, from: u64, max_samples: usize) -> Result<ShownPage, ClientError> {
        let mut events = self.post(PAGE, &PageRequest { from, max_samples }).await?;
        let mut samples = Vec::new();
        loop {
            match events.next().await? {
                PageEvent::Sample(sample) => samples.push(sample),
                PageEvent::End { next, damaged } => {
                    return Ok(ShownPage { samples, next, damaged });
                }
                PageEvent::Failed(why) => return Err(ClientError::Failed(why)),
            }
        }
    }

    /// Has the daemon examine its queue; `each` hears of its parts.
    pub async fn verify(&mut self, mut each: impl FnMut(&Part)) -> Result<Verdict, ClientError> {
        let events = self.post(VERIFY, &()).await?;
        let mut events = events.silent_for(STEP);
        loop {
            match events.next().await? {
                VerifyEvent::Part(part) => each(&part),
                VerifyEvent::Done(verdict) => return Ok(verdict),
                VerifyEvent::Failed(why) => return Err(ClientError::Failed(why)),
            }
        }
    }

    /// Has the daemon purge, or measure what a purge would take.
    pub async fn purge(
        &mut self,
        request: PurgeRequest,
        mut progress: impl FnMut(Amount),
    ) -> Result<Amount, ClientError> {
        let events = self.post(PURGE, &request).await?;
        let mut events = events.silent_for(if request.commit { STEP } else { MEASURING });
        loop {
            match events.next().await? {
                PurgeEvent::Progress(gone) => progress(gone),
                PurgeEvent::Done(amount) => return Ok(amount),
                PurgeEvent::Failed(why) => return Err(ClientError::Failed(why)),
            }
        }
    }

    /// Shows dead letters, has them sent again or thrown away: those that are shown, and how many they
    /// were.
    pub async fn dead_letters(
        &mut self,
        asked: &DeadLettersAsked,
    ) -> Result<(Vec<ShownLetter>, u64), ClientError> {
        let mut events = self.post(DEAD_LETTERS, asked).await?;
        let mut letters = Vec::new();
        loop {
            match events.next().await? {
                DeadLettersEvent::Letter(letter) => letters.push(*letter),
                DeadLettersEvent::Done(count) => return Ok((letters, count)),
                DeadLettersEvent::Failed(why) => return Err(ClientError::Failed(why)),
            }
        }
    }

    async fn post<Q: serde::Serialize, T>(
        &mut self,
        path: &str,
        request: &Q,
    ) -> Result<Events<T>, ClientError> {
        let body = serde_json::to_vec(request).unwrap_or_default();
        Ok(Events::new(self.ask("POST", path, body.into()).await?))
    }

    async fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        let request = Request::builder().method(method).uri(path).header("host", "collector");
        let request = request
            .body(Full::new(body))
            .map_err(|error| ClientError::Answer(error.to_string()))?;
        let sent = tokio::time::timeout(PATIENCE, self.sender.send_request(request)).await;
        let response =
            sent.map_err(|_| ClientError::Silent)?.map_err(|error| unanswered(&error))?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(ClientError::Answer(response.status().to_string()))
        }
    }
}

/// Why there is no answer: what came is no HTTP, or the connection ended.
fn unanswered(error: &hyper::Error) -> ClientError {
    if error.is_parse() { ClientError::Answer(error.to_string()) } else { ClientError::Ended }
}
