//! An answer of the daemon that comes line by line.

use std::{marker::PhantomData, time::Duration};

use http_body_util::BodyExt;
use hyper::{Response, body::Incoming};
use memchr::memchr;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::{ClientError, PATIENCE};

/// No line is longer: one holds at most one sample.
const MAX_LINE: usize = 256 << 20;

/// The lines of an answer, read as they come.
pub(super) struct Events<T> {
    response: Response<Incoming>,
    bytes: Vec<u8>,
    /// How many of `bytes` were taken.
    taken: usize,
    silence: Duration,
    deadline: Option<Instant>,
    line: PhantomData<T>,
}

impl<T> Events<T> {
    pub(super) fn new(response: Response<Incoming>) -> Self {
        let (bytes, line) = (Vec::new(), PhantomData);
        Self { response, bytes, taken: 0, silence: PATIENCE, deadline: None, line }
    }

    /// Waits so long between two lines.
    pub(super) fn silent_for(self, silence: Duration) -> Self {
        Self { silence, ..self }
    }

    /// Waits so long for all lines together.
    pub(super) fn within(self, time: Duration) -> Self {
        Self { deadline: Some(Instant::now() + time), ..self }
    }
}

impl<T: DeserializeOwned> Events<T> {
    /// The next line.
    pub(super) async fn next(&mut self) -> Result<T, ClientError> {
        let mut searched = 0;
        loop {
            let rest = &self.bytes[self.taken..];
            if let Some(end) = memchr(b'\n', &rest[searched..]) {
                let line = &rest[..searched + end];
                let event = serde_json::from_slice(line);
                self.taken += searched + end + 1;
                return event.map_err(|error| ClientError::Answer(error.to_string()));
            }
            self.bytes.drain(..self.taken);
            self.taken = 0;
            searched = self.bytes.len();
            if searched > MAX_LINE {
                return Err(ClientError::Answer("a line of it has no end".into()));
            }
            let more = self.more().await?;
            self.bytes.extend_from_slice(&more);
        }
    }

    async fn more(&mut self) -> Result<bytes::Bytes, ClientError> {
        let deadline = self.deadline.unwrap_or(Instant::now() + self.silence);
        let frame =
            timeout_at(deadline, self.response.frame()).await.map_err(|_| ClientError::Silent)?;
        match frame {
            Some(Ok(frame)) => Ok(frame.into_data().unwrap_or_default()),
            _ => Err(ClientError::Ended),
        }
    }
}
