//! What became of one attempt to deliver a batch. Owns the judgement [`Delivery`] and the trait
//! [`Transport`]; never touches the queue.

use std::{fmt, time::Duration};

use crate::encode::Request;

pub mod http;
pub(crate) mod tls;

/// What a delivery attempt means for the batch. A refused delivery is a value, not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The server has taken the batch: its entries may be removed.
    Accepted,
    /// Not now: keep the entries, send the same bytes under the same key later.
    Retry {
        /// What the server asked for in `Retry-After`, clamped.
        after: Option<Duration>,
        /// Why, for status and log; never shows a secret.
        reason: Reason,
        /// Whether time ran out, and what the link did meanwhile.
        late: Late,
    },
    /// The server refuses *us* (key, path, identity): keep the entries, probe slowly.
    Hold {
        /// Why, for status and log; never shows a secret.
        reason: Reason,
    },
    /// The batch is too large for the server (413).
    TooLarge {
        /// Why, for status and log; never shows a secret.
        reason: Reason,
        /// The beginning of the answer's body, at most 1 KiB; the key is masked.
        answer: String,
    },
    /// The server refuses the *data* (400, 422, other 4xx).
    Rejected {
        /// Why, for status and log; never shows a secret.
        reason: Reason,
        /// The beginning of the answer's body, at most 1 KiB; the key is masked.
        answer: String,
    },
}

/// Whether a request ran out of time, and what the link did meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// It didn't, or it never left this process.
    No,
    /// Time ran out after nothing had moved for long: a server that doesn't answer.
    Silent,
    /// Time ran out while bytes still moved: a link that is too slow for the request.
    Moving,
}

/// Why a delivery failed, in one line that never shows a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The status code, when there was a complete answer.
    pub status: Option<u16>,
    /// One line for a person.
    pub text: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Sends one request and judges the answer. Two implementations: HTTP, and a scripted one in tests.
pub trait Transport: Send {
    /// Sends `request` once; ends within the configured timeout.
    ///
    /// Cancel-safe in the sense of the queue: a dropped call may or may not have reached the
    /// server, so the same request must be repeated.
    fn send(&mut self, request: &Request) -> impl Future<Output = Delivery> + Send;

    /// Ends when something has changed that may end a hold, as the file of the key; never for a
    /// transport that has nothing of the kind. Cancel-safe.
    fn changed(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}
