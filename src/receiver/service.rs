//! One request to one answer: key, path, method, type, bounded body, batch.

use std::{
    convert::Infallible,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body as _, Incoming},
    header::{
        ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue,
        WWW_AUTHENTICATE,
    },
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use subtle::ConstantTimeEq as _;
use tokio::{sync::Semaphore, time::timeout};

use super::{
    batch::{self, Batch, MAX_BODY, Refusal},
    store::{Store, Taken},
};
use crate::encode::json;

/// Longest wait for a body, its turn included.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Bodies that are read at a time: with the bound of each it bounds the memory.
const MAX_BODIES: usize = 16;

/// What every request must have.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) path: String,
    pub(super) api_key: Option<SecretString>,
    pub(super) key_header: HeaderName,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Service {
    expected: Expected,
    bodies: Semaphore,
    store: Mutex<Store>,
}

impl Service {
    pub(super) fn new(expected: Expected, store: Store) -> Self {
        Self { expected, bodies: Semaphore::new(MAX_BODIES), store: Mutex::new(store) }
    }

    /// Answers a request. When the answer is 2xx, its samples are written and remembered.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        Ok(match self.take(request).await {
            Ok(taken) => respond(StatusCode::OK, &json!(taken)),
            Err(refusal) => {
                self.store.lock().unwrap_or_else(PoisonError::into_inner).refuse();
                tracing::debug!(status = refusal.status.as_u16(), refusal.text, "refused");
                respond(refusal.status, &json!({ "error": refusal.text }))
            }
        })
    }

    async fn take(&self, request: Request<Incoming>) -> Result<Taken, Refusal> {
        self.check_head(&request)?;
        let (head, body) = request.into_parts();
        let body = self.read(body).await?;
        // From here on nothing waits: one body is unpacked at a time.
        let body = batch::unpack(body, text(&head.headers, &CONTENT_ENCODING))?;
        let batch = Batch::read(&body)?;
        if let Some(key) = head.headers.get("idempotency-key") {
            batch.check_key(&String::from_utf8_lossy(key.as_bytes()), &body)?;
        }
        self.store.lock().unwrap_or_else(PoisonError::into_inner).take(&batch)
    }

    fn check_head(&self, request: &Request<Incoming>) -> Result<(), Refusal> {
        let refuse = |status, text: &str| Err(Refusal::new(status, text));
        if !self.has_key(request.headers()) {
            return refuse(StatusCode::UNAUTHORIZED, "the API key is missing or wrong");
        }
        let path = &self.expected.path;
        if request.uri().path() != path {
            return refuse(StatusCode::NOT_FOUND, &format!("samples go to {path}"));
        }
        if request.method() != Method::POST {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "samples come by POST");
        }
        let media_type = text(request.headers(), &CONTENT_TYPE).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case(json::CONTENT_TYPE) {
            let text = "the content type must be application/json";
            return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
        }
        Ok(())
    }

    /// Whether the request may pass: no key is asked for, or it carries it. How long the comparison
    /// takes tells nothing but the length.
    fn has_key(&self, headers: &HeaderMap) -> bool {
        let Some(expected) = &self.expected.api_key else { return true };
        let expected = expected.expose_secret().as_bytes();
        let bearer = headers.get(AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
            scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
        });
        let plain = headers.get(&self.expected.key_header).map(HeaderValue::as_bytes);
        [plain, bearer].into_iter().flatten().any(|given| bool::from(given.ct_eq(expected)))
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, Refusal> {
        let too_large = || {
            let text = format!("more than {MAX_BODY} bytes");
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text)
        };
        if body.size_hint().lower() > MAX_BODY as u64 {
            return Err(too_large());
        }
        let read = async {
            // The semaphore is never closed; a turn that fails would only be one body more.
            let _turn = self.bodies.acquire().await;
            Limited::new(body, MAX_BODY).collect().await
        };
        match timeout(BODY_TIME, read).await {
            Ok(Ok(whole)) => Ok(whole.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(error)) => Err(Refusal::new(StatusCode::BAD_REQUEST, error.to_string())),
            Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body came too slowly")),
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    // A value that is no text must not pass for an absent one.
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

fn respond(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(json::CONTENT_TYPE));
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
    response
}
