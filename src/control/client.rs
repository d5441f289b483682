//! The command line's end of the control socket.

use std::{io, path::Path, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, body::Incoming, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::{FLUSH, FlushEvent, FlushRequest, Report, STATS, endpoint};
use crate::forward::flush::{Outcome, Progress};

/// A daemon that doesn't answer within this time doesn't answer.
const PATIENCE: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 1 << 20;

/// Why the daemon couldn't be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no daemon listens on the control socket")]
    Absent(#[source] io::Error),
    /// Somebody listens and doesn't answer as expected.
    #[error("the daemon's answer on the control socket is no use: {0}")]
    Answer(String),
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
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(late()))
    }

    /// Tells the daemon to deliver now, and waits for the end; `progress` hears
    /// of every step.
    pub async fn flush(
        &mut self,
        timeout: Duration,
        mut progress: impl FnMut(Progress),
    ) -> Result<Outcome, ClientError> {
        let request = FlushRequest { timeout: timeout.as_secs_f64() };
        let body = serde_json::to_vec(&request).unwrap_or_default();
        let mut response = self.ask("POST", FLUSH, body.into()).await?;
        let mut lines = Vec::new();
        let deadline = tokio::time::Instant::now() + timeout + PATIENCE;
        loop {
            let frame =
                tokio::time::timeout_at(deadline, response.frame()).await.map_err(|_| late())?;
            let Some(Ok(frame)) = frame else {
                return Err(ClientError::Answer("it ended early".into()));
            };
            lines.extend(frame.into_data().unwrap_or_default());
            while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = lines.drain(..=end).collect();
                match serde_json::from_slice(&line)
                    .map_err(|error| ClientError::Answer(error.to_string()))?
                {
                    FlushEvent::Progress(step) => progress(step),
                    FlushEvent::Done(outcome) => return Ok(outcome),
                }
            }
        }
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
            sent.map_err(|_| late())?.map_err(|error| ClientError::Answer(error.to_string()))?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(ClientError::Answer(response.status().to_string()))
        }
    }
}

fn late() -> ClientError {
    ClientError::Answer("it doesn't come".into())
}
