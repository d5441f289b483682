//! The only client of HTTP servers: one connection, HTTP/1.1, plain or TLS.
//!
//! It never follows a redirect, never decodes an answer's body, and ignores proxies named in the
//! environment: the key goes to the configured host or nowhere.

use std::{io, path::PathBuf, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Uri,
    header::{
        CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT,
    },
};
use secrecy::SecretString;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use self::{
    answer::Answer,
    connection::{Connection, Connector},
    failure::Failure,
    key::Key,
};
use super::{Delivery, Late, Reason, Transport};
use crate::{
    clock::{Clock as _, SystemClock},
    encode::Request,
};

/// How often the key's file is looked at during a hold.
const WATCH_PAUSE: Duration = Duration::from_secs(2);

mod answer;
mod connection;
mod failure;
mod key;
mod wire;

/// Where and how requests are sent; checked by the configuration.
#[derive(Debug, Clone)]
pub struct Options {
    /// `http` or `https`, host, optional port, and always a path.
    pub url: Uri,
    /// The secret and the header that carries it.
    pub api_key: Option<ApiKey>,
    /// Extra request headers; reserved names were refused.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Bound on the whole exchange.
    pub timeout: Duration,
    /// Bound on connecting, name resolution and TLS included.
    pub connect_timeout: Duration,
    /// PEM file of the only certificate authorities to trust; system roots without it.
    pub ca_file: Option<PathBuf>,
}

/// The secret and the header that carries it.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// `X-API-Key`, say; `Authorization` gets `Bearer KEY`.
    pub header: HeaderName,
    /// Where the secret comes from.
    pub source: KeySource,
}

/// Where the secret comes from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// Given directly.
    Value(SecretString),
    /// A file, read at start and again after a 401 or 403.
    File(PathBuf),
}

/// Why a transport can't be built: the configuration names something that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The URL has no host, or one that can't stand in a header.
    #[error("the server's URL has no usable host")]
    Url,
    /// The key file can't be read, or holds no key.
    #[error("can't read the API key from {path}")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key can't stand in a header.
    #[error("the API key has characters that a header can't carry")]
    Key,
    /// The file of certificate authorities can't be used.
    #[error("can't use the certificate authorities of {path}")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system has no certificate authorities.
    #[error("no certificate authorities found on this system; name a ca_file")]
    SystemRoots(#[source] io::Error),
    /// The TLS library refuses the settings.
    #[error("can't set up TLS")]
    Tls(#[from] rustls::Error),
}

/// Sends over one connection that is kept while the server keeps it.
#[derive(Debug)]
pub struct HttpTransport {
    url: Uri,
    host: HeaderValue,
    headers: HeaderMap,
    timeout: Duration,
    connect_timeout: Duration,
    key: Option<Key>,
    connector: Connector,
    idle: Option<Connection>,
    drivers: JoinSet<()>,
}

impl HttpTransport {
    /// Prepares a transport: reads the key and the certificate authorities (for `https` alone) from
    /// disk, opens no connection. Blocks for as long as the files take.
    pub fn new(options: Options) -> Result<Self, BuildError> {
        let Options { url, api_key, headers, timeout, connect_timeout, ca_file } = options;
        let authority = url.authority().ok_or(BuildError::Url)?.as_str();
        // Whatever stands before an '@' is a secret and no part of the host.
        let host = authority.rsplit('@').next().unwrap_or(authority);
        let host = HeaderValue::from_str(host).map_err(|_| BuildError::Url)?;
        let key = api_key.map(Key::load).transpose()?;
        let connector = Connector::new(&url, connect_timeout, ca_file.as_deref())?;
        Ok(Self {
            url,
            host,
            headers: headers.into_iter().collect(),
            timeout,
            connect_timeout,
            key,
            connector,
            idle: None,
            drivers: JoinSet::new(),
        })
    }

    /// Tries the server without sending samples: connects, and asks for the `OPTIONS` of the path
    /// with the key. An answer other than a refusal of the key is a success, as few servers know
    /// `OPTIONS`; the text says what was answered.
    pub async fn probe(&mut self) -> Result<String, Reason> {
        let deadline = Instant::now() + self.timeout;
        let message = self.message(Method::OPTIONS, HeaderMap::new(), Bytes::new());
        let answer = self.exchange(message, deadline).await.map_err(Failure::into_reason)?;
        let reason = answer.reason(self.key.as_ref());
        match reason.status {
            Some(401 | 403 | 407) => Err(reason),
            _ => Ok(format!("{} answers OPTIONS with {reason}", self.url)),
        }
    }

    async fn deliver(&mut self, request: &Request, deadline: Instant) -> Delivery {
        let message = self.post(request);
        match self.exchange(message, deadline).await {
            Ok(answer) => answer.delivery(self.key.as_ref(), SystemClock.now()),
            Err(failure) => failure.into_delivery(),
        }
    }

    /// One request and its answer. A kept connection that ends before any byte of an answer was
    /// most likely closed by the server while it was idle: the same message goes once more, at
    /// once, over a fresh one.
    async fn exchange(
        &mut self,
        message: hyper::Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        while self.drivers.try_join_next().is_some() {}
        if let Some(kept) = self.kept(deadline).await {
            match self.attempt(kept, message.clone(), deadline).await {
                Err(failure) if failure.is_unanswered() => {}
                done => return done,
            }
        }
        let connect_deadline = deadline.min(Instant::now() + self.connect_timeout);
        let fresh = self.connector.connect(&self.url, connect_deadline, &mut self.drivers).await?;
        self.attempt(fresh, message, deadline).await
    }

    /// The kept connection, if it still is one.
    async fn kept(&mut self, deadline: Instant) -> Option<Connection> {
        let mut kept = self.idle.take()?;
        kept.is_idle(deadline).await.then_some(kept)
    }

    async fn attempt(
        &mut self,
        mut connection: Connection,
        message: hyper::Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let keep = answer::KEPT_BYTES + self.key.as_ref().map_or(0, Key::len);
        let (answer, reusable) = connection.exchange(message, deadline, keep).await?;
        self.idle = reusable.then_some(connection);
        Ok(answer)
    }

    fn post(&self, request: &Request) -> hyper::Request<Full<Bytes>> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(request.content_type));
        if let Some(encoding) = request.content_encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        if let Ok(key) = HeaderValue::from_str(&request.idempotency_key) {
            headers.insert(HeaderName::from_static("idempotency-key"), key);
        }
        self.message(Method::POST, headers, request.body.clone())
    }

    fn message(
        &self,
        method: Method,
        protocol: HeaderMap,
        body: Bytes,
    ) -> hyper::Request<Full<Bytes>> {
        // What the protocol needs comes last: a configured header never replaces it.
        let mut headers = self.headers.clone();
        headers.extend(protocol);
        headers.insert(HOST, self.host.clone());
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("collector/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        if let Some(key) = &self.key {
            headers.insert(key.header().clone(), key.value().clone());
        }
        let mut message = hyper::Request::new(Full::new(body));
        *message.method_mut() = method;
        *message.uri_mut() = self.url.path_and_query().cloned().map(Uri::from).unwrap_or_default();
        *message.headers_mut() = headers;
        message
    }
}

impl Transport for HttpTransport {
    async fn send(&mut self, request: &Request) -> Delivery {
        let deadline = Instant::now() + self.timeout;
        let delivery = self.deliver(request, deadline).await;
        let refused = matches!(&delivery, Delivery::Hold { reason } if matches!(reason.status, Some(401 | 403)));
        if refused && self.key.as_mut().is_some_and(Key::reload) {
            return self.deliver(request, deadline).await;
        }
        delivery
    }

    /// Ends when the key's file holds another key, which is in use then. Looks at the file's figures
    /// every two seconds and reads it only when they changed.
    async fn changed(&mut self) {
        let Some(key) = self.key.as_mut().filter(|key| key.is_in_a_file()) else {
            return std::future::pending().await;
        };
        while !key.reload_if_touched() {
            sleep(WATCH_PAUSE).await;
        }
    }
}
