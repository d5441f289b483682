//! Where and how requests are sent: plain values, checked by the configuration. No `Debug` of them
//! shows a secret.

use std::{path::PathBuf, time::Duration};

use hyper::{
    Uri,
    header::{HeaderName, HeaderValue},
};
use secrecy::SecretString;

use super::Proxy;

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
    /// What shows a server who we are, besides the key.
    pub client: Option<ClientFiles>,
    /// The way out; directly without it.
    pub proxy: Option<Proxy>,
}

/// PEM files of a certificate of our own (with those up to its authority) and of its private key.
#[derive(Debug, Clone)]
pub struct ClientFiles {
    /// The certificates, our own first.
    pub cert_file: PathBuf,
    /// The private key, not encrypted.
    pub key_file: PathBuf,
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
