//! The only client of HTTP servers: one connection, HTTP/1.1, plain or TLS.
//!
//! It never follows a redirect, never decodes an answer's body, and takes a way through a proxy only
//! when it is configured: the key goes to the configured host or nowhere.

use std::{io, path::PathBuf, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Uri,
    header::{
        CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue,
        PROXY_AUTHORIZATION, USER_AGENT,
    },
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use self::{
    answer::Answer,
    connection::{Connection, Connector},
    dial::is_https,
    failure::Failure,
    key::Key,
    masks::Masks,
};
pub use self::{
    options::{ApiKey, ClientFiles, KeySource, Options},
    proxy::{Credentials, Proxy},
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
mod dial;
mod failure;
mod key;
mod masks;
mod options;
mod proxy;
mod resolver;
mod wire;

/// A configured header's shorter value is a word rather than a secret.
const LEAST_SECRET: usize = 8;
/// What we call ourselves.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("collector/", env!("CARGO_PKG_VERSION")));

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
    /// The files of our own certificate can't be used.
    #[error("can't use the client certificate of {} with the key of {}", .files.cert_file.display(), .files.key_file.display())]
    Client {
        /// The files.
        files: ClientFiles,
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
    masks: Masks,
    proxy: Option<Proxy>,
    connector: Connector,
    idle: Option<Connection>,
    drivers: JoinSet<()>,
}

impl HttpTransport {
    /// Prepares a transport: reads the key and the certificate authorities (for `https` alone) from
    /// disk, opens no connection. Blocks for as long as the files take.
    pub fn new(options: Options) -> Result<Self, BuildError> {
        let connector = Connector::new(&options)?;
        let Options { url, api_key, headers, timeout, connect_timeout, proxy, .. } = options;
        let authority = url.authority().ok_or(BuildError::Url)?.as_str();
        // Whatever stands before an '@' is a secret and no part of the host.
        let host = authority.rsplit('@').next().unwrap_or(authority);
        let host = HeaderValue::from_str(host).map_err(|_| BuildError::Url)?;
        let key = api_key.map(Key::load).transpose()?;
        let mut transport = Self {
            url,
            host,
            headers: headers.into_iter().collect(),
            timeout,
            connect_timeout,
            masks: Masks::default(),
            key,
            proxy,
            connector,
            idle: None,
            drivers: JoinSet::new(),
        };
        transport.mask();
        Ok(transport)
    }

    /// What is to be taken out of everything that a server or the proxy says.
    fn mask(&mut self) {
        let mut secrets = self.proxy.as_ref().map(Proxy::secrets).unwrap_or_default();
        secrets.extend(self.key.as_ref().map(|key| key.secret().clone()));
        let values = self.headers.values().filter(|value| value.len() >= LEAST_SECRET);
        secrets.extend(values.filter_map(|value| Some(value.to_str().ok()?.into())));
        self.masks = Masks::of(&secrets);
    }

    /// Tries the server without sending samples: connects, and asks for the `OPTIONS` of the path
    /// with the key. Few servers know `OPTIONS`, so an answer that may only be about the method is a
    /// success; one that would keep samples back as well isn't. The text says what was answered.
    pub async fn probe(&mut self) -> Result<String, Reason> {
        let deadline = Instant::now() + self.timeout;
        let message = self.message(Method::OPTIONS, HeaderMap::new(), Bytes::new());
        let answer = self.exchange(message, deadline).await.map_err(Failure::into_reason)?;
        let reason = answer.reason(&self.masks);
        match reason.status {
            // The method isn't known; samples don't come by it.
            Some(405 | 501) => {}
            Some(401..=404 | 407 | 410 | 421 | 451 | 300..=399 | 500..) => return Err(reason),
            _ => {}
        }
        Ok(format!("{} answers OPTIONS with {reason}", self.url))
    }

    async fn deliver(&mut self, request: &Request, deadline: Instant) -> Delivery {
        let message = self.post(request);
        match self.exchange(message, deadline).await {
            Ok(answer) => answer.delivery(&self.masks, SystemClock.now()),
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
        let fresh = self.connector.connect(connect_deadline, &mut self.drivers).await?;
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
        let keep = answer::KEPT_BYTES + self.masks.longest();
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
        // What the protocol needs comes last: a configured header never replaces it. Who we say we
        // are is for the operator to choose.
        let mut headers = HeaderMap::from_iter([(USER_AGENT, AGENT)]);
        headers.extend(self.headers.clone());
        headers.extend(protocol);
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        if let Some(key) = &self.key {
            headers.insert(key.header().clone(), key.value().clone());
        }
        let mut message = hyper::Request::new(Full::new(body));
        *message.method_mut() = method;
        *message.uri_mut() = self.url.path_and_query().cloned().map(Uri::from).unwrap_or_default();
        *message.headers_mut() = headers;
        self.address_to_proxy(&mut message);
        message
    }

    /// A proxy for plain HTTP reads the whole URL; in a tunnel there is none to read it.
    fn address_to_proxy(&self, message: &mut hyper::Request<Full<Bytes>>) {
        let Some(proxy) = self.proxy.as_ref().filter(|_| !is_https(&self.url)) else { return };
        *message.uri_mut() = self.url.clone();
        if let Some(value) = proxy.credentials.as_ref().and_then(Credentials::header) {
            message.headers_mut().insert(PROXY_AUTHORIZATION, value);
        }
    }

    /// Reads the key's file again; whether it holds another key.
    fn reload_key(&mut self) -> bool {
        let reloaded = self.key.as_mut().is_some_and(Key::reload);
        if reloaded {
            self.mask();
        }
        reloaded
    }
}

impl Transport for HttpTransport {
    async fn send(&mut self, request: &Request) -> Delivery {
        let deadline = Instant::now() + self.timeout;
        let delivery = self.deliver(request, deadline).await;
        let refused = matches!(&delivery, Delivery::Hold { reason } if matches!(reason.status, Some(401 | 403)));
        if refused && self.reload_key() {
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
