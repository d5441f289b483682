//! A TCP connection to the server, or to the proxy and through it: the addresses of a name tried
//! one after the other and both families at once, and a peer that fell silent noticed.

use std::{
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::Uri;
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tokio::net::TcpStream;
use tower_service::Service;

use super::{
    Options,
    proxy::{self, Proxy},
    resolver::Resolver,
};

/// An idle connection is probed by TCP after this time, again after each interval, so many times.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 3;

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// Opens TCP connections; clones share the lookup of a name that may be under way.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    tcp: HttpConnector<Resolver>,
    proxy: Option<Arc<Proxy>>,
}

impl Dialer {
    pub(super) fn new(options: &Options) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver::default());
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
        tcp.set_keepalive_retries(Some(KEEPALIVE_PROBES));
        // What isn't acknowledged in that time won't be answered in it.
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(options.timeout));
        // Divided among the addresses of a name, so that one black hole leaves time for the rest.
        tcp.set_connect_timeout(Some(options.connect_timeout));
        Self { tcp, proxy: options.proxy.clone().map(Arc::new) }
    }
}

/// Connects to a URL's host.
impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        ready!(self.tcp.poll_ready(cx))?;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let Some(proxy) = self.proxy.clone() else {
            let connecting = self.tcp.call(url);
            return Box::pin(async { Ok(connecting.await?) });
        };
        let connecting = self.tcp.call(proxy.url.clone());
        Box::pin(async move {
            let stream = connecting.await?;
            if !is_https(&url) {
                return Ok(stream);
            }
            Ok(TokioIo::new(proxy::tunnel(stream.into_inner(), &url, &proxy).await?))
        })
    }
}

pub(super) fn is_https(url: &Uri) -> bool {
    url.scheme_str() == Some("https")
}

/// Host and port, as they are dialled.
pub(super) fn address(url: &Uri) -> String {
    let default = if is_https(url) { 443 } else { 80 };
    format!("{}:{}", url.host().unwrap_or_default(), url.port_u16().unwrap_or(default))
}

/// The address, for a person, and the proxy's if there is one.
pub(super) fn route(url: &Uri, proxy: Option<&Proxy>) -> String {
    let to = address(url);
    proxy.map_or_else(|| to.clone(), |proxy| format!("{to} by the proxy {}", address(&proxy.url)))
}
