//! The way through an HTTP proxy: a tunnel by `CONNECT` for https, the absolute form for http. Its
//! credentials go to the proxy alone; the API key never goes into a `CONNECT`.

use std::{fmt, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    Method, Request, Response, Uri,
    body::Incoming,
    client::conn::http1,
    header::{HOST, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT},
    http::uri::Authority,
};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpStream;

use super::{
    AGENT,
    answer::{Answer, Verdict},
    dial::{BoxError, address},
    masks::Masks,
    wire::{MAX_HEAD, Traffic, Wire},
};
use crate::clock::{Clock as _, SystemClock};

/// An HTTP proxy that the configuration names; nothing else makes the transport use one.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// `http`, host and optional port (80 without one), no user information.
    pub url: Uri,
    /// What it asks of us.
    pub credentials: Option<Credentials>,
}

/// User and password for a proxy; its `Debug` shows neither.
#[derive(Debug, Clone)]
pub struct Credentials {
    password: SecretString,
    encoded: SecretString,
}

impl Proxy {
    /// What must be in nothing that a person sees.
    pub(super) fn secrets(&self) -> Vec<SecretString> {
        let credentials = self.credentials.iter();
        credentials.flat_map(|known| [known.password.clone(), known.encoded.clone()]).collect()
    }

    fn masks(&self) -> Masks {
        Masks::of(&self.secrets())
    }
}

impl Credentials {
    /// For the `Basic` scheme. A user's name can't hold a colon.
    #[must_use]
    pub fn basic(user: &str, password: &str) -> Self {
        let encoded = BASE64_STANDARD.encode(format!("{user}:{password}"));
        Self { password: password.into(), encoded: encoded.into() }
    }

    /// The value of `Proxy-Authorization`; its `Debug` shows nothing.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let text = format!("Basic {}", self.encoded.expose_secret());
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// The proxy answered `CONNECT` with something else than a tunnel.
#[derive(Debug)]
pub(super) struct Refusal {
    /// In one line.
    text: String,
    /// Whether it refuses us, rather than this attempt.
    pub(super) is_final: bool,
    /// What it asks for in `Retry-After`.
    pub(super) after: Option<Duration>,
}

impl Refusal {
    fn new(answer: &Answer, masks: &Masks, now: Timestamp) -> Self {
        Self {
            text: format!("the proxy answers {}", answer.reason(masks)),
            is_final: answer.verdict() != Verdict::Retry,
            after: answer.retry_after(now),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}

/// Has the proxy at the other end of `stream` connect to the host of `url`.
pub(super) async fn tunnel(
    stream: TcpStream,
    url: &Uri,
    proxy: &Proxy,
) -> Result<TcpStream, BoxError> {
    let wire = Wire::new(stream, Traffic::bounded(MAX_HEAD as u64));
    let (mut sender, connection) = http1::Builder::new()
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(wire))
        .await?;
    let asking = sender.send_request(connect(url, proxy)?);
    let (mut asking, mut connection) =
        (std::pin::pin!(asking), std::pin::pin!(connection.without_shutdown()));
    let mut parts = None;
    let answer = loop {
        tokio::select! {
            biased;
            answer = &mut asking => break answer?,
            ended = &mut connection, if parts.is_none() => parts = Some(ended?),
        }
    };
    judge(answer, proxy)?;
    let parts = match parts {
        Some(parts) => parts,
        None => connection.await?,
    };
    if !parts.read_buf.is_empty() {
        // In TLS the client speaks first.
        return Err("the proxy sent more than an answer".into());
    }
    Ok(parts.io.into_inner().into_inner())
}

fn connect(url: &Uri, proxy: &Proxy) -> Result<Request<Empty<Bytes>>, BoxError> {
    let target: Authority = address(url).parse()?;
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(Uri::from(target.clone()))
        .header(HOST, target.as_str())
        .header(USER_AGENT, AGENT);
    if let Some(value) = proxy.credentials.as_ref().and_then(Credentials::header) {
        request = request.header(PROXY_AUTHORIZATION, value);
    }
    Ok(request.body(Empty::new())?)
}

fn judge(answer: Response<Incoming>, proxy: &Proxy) -> Result<(), Refusal> {
    let (head, _) = answer.into_parts();
    if head.status.is_success() {
        return Ok(());
    }
    let answer = Answer::new(head, Vec::new(), true);
    Err(Refusal::new(&answer, &proxy.masks(), SystemClock.now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_show_in_no_debug_output() {
        let proxy = Proxy {
            url: "http://proxy:3128".parse().unwrap(),
            credentials: Some(Credentials::basic("user", "p4ss")),
        };
        let header = proxy.credentials.as_ref().unwrap().header().unwrap();
        assert_eq!(header, "Basic dXNlcjpwNHNz");
        let shown = format!("{proxy:?} {header:?}");
        assert!(!shown.contains("p4ss") && !shown.contains("dXNlcjpwNHNz"), "{shown}");
    }

    #[test]
    fn tunnel_is_asked_for_with_host_and_port_and_nothing_of_the_path() {
        let proxy = Proxy { url: "http://proxy".parse().unwrap(), credentials: None };
        for (url, target) in
            [("https://h/secret/path", "h:443"), ("https://[::1]:8443/x", "[::1]:8443")]
        {
            let request = connect(&url.parse().unwrap(), &proxy).unwrap();
            assert_eq!(request.uri().to_string(), target);
            assert_eq!(request.headers()[HOST], target);
            assert_eq!(request.headers().len(), 2);
        }
    }
}
