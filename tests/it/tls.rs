//! Whom the transport trusts: a server whose identity is refused never sees a byte of the key.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    thread::JoinHandle,
};

use collector::transport::{
    Delivery, Transport as _,
    http::{ClientFiles, HttpTransport},
};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tempfile::TempDir;

use crate::delivery::{options, request};

/// An authority that the transport trusts, and its file.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
    pub(crate) file: PathBuf,
    _directory: TempDir,
}

pub(crate) fn authority() -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, certificate.pem()).unwrap();
    Authority { issuer: Issuer::new(params, key), certificate, file, _directory: directory }
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

/// A server that `authority` vouches for; as [`serve`].
pub(crate) fn serve_trusted(authority: &Authority) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let key = KeyPair::generate().unwrap();
    let certificate = params("localhost").signed_by(&key, &authority.issuer).unwrap();
    serve(&certificate, &key, Arc::new(NoClientAuth))
}

/// Serves one TLS connection and returns what it was sent inside of TLS.
fn serve(
    certificate: &Certificate,
    key: &KeyPair,
    clients: Arc<dyn ClientCertVerifier>,
) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    serve_at(SocketAddr::from(([127, 0, 0, 1], 0)), certificate, key, clients)
}

fn serve_at(
    address: SocketAddr,
    certificate: &Certificate,
    key: &KeyPair,
    clients: Arc<dyn ClientCertVerifier>,
) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), tcp);
        let mut seen = Vec::new();
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = tls.read(&mut chunk) {
            seen.extend_from_slice(&chunk[..read]);
            if seen.ends_with(b"body 1") || seen.ends_with(b"body 2") {
                tls.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
                tls.flush().unwrap();
            }
        }
        seen
    });
    (address, served)
}

/// Delivers to a server with this certificate, trusting `authority`.
async fn deliver(
    authority: &Authority,
    certificate: &Certificate,
    key: &KeyPair,
) -> (Delivery, Vec<u8>) {
    let (address, served) = serve(certificate, key, Arc::new(NoClientAuth));
    let mut options = options(&format!("https://localhost:{}/api/v1/metrics", address.port()));
    options.ca_file = Some(authority.file.clone());
    let mut transport = HttpTransport::new(options).unwrap();
    let delivery = transport.send(&request(1)).await;
    drop(transport);
    let seen = tokio::task::spawn_blocking(|| served.join().unwrap()).await.unwrap();
    (delivery, seen)
}

#[tokio::test]
async fn trusted_server_gets_the_batch_and_the_key() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let certificate = params("localhost").signed_by(&key, &authority.issuer).unwrap();
    let (delivery, seen) = deliver(&authority, &certificate, &key).await;
    assert_eq!(delivery, Delivery::Accepted);
    assert!(String::from_utf8(seen).unwrap().contains("x-api-key: canary-k3y\r\n"));
}

#[tokio::test]
async fn refused_identity_holds_and_no_byte_is_sent() {
    let authority = authority();
    let stranger = self::authority();
    let key = KeyPair::generate().unwrap();
    let mut expired = params("localhost");
    expired.not_after = date_time_ymd(2020, 1, 1);
    // Names in the common name have meant nothing for a decade.
    let mut by_common_name = CertificateParams::new(vec![]).unwrap();
    by_common_name.distinguished_name.push(DnType::CommonName, "localhost");
    let mut early = params("localhost");
    early.not_before = date_time_ymd(2999, 1, 1);
    let cases = [
        ("expired", expired.signed_by(&key, &authority.issuer).unwrap()),
        ("not yet valid", early.signed_by(&key, &authority.issuer).unwrap()),
        ("wrong host", params("example.org").signed_by(&key, &authority.issuer).unwrap()),
        ("common name only", by_common_name.signed_by(&key, &authority.issuer).unwrap()),
        ("wildcard of nothing", params("*.localhost").signed_by(&key, &authority.issuer).unwrap()),
        ("address", params("127.0.0.1").signed_by(&key, &authority.issuer).unwrap()),
        ("unknown authority", params("localhost").signed_by(&key, &stranger.issuer).unwrap()),
        ("self-signed", params("localhost").self_signed(&key).unwrap()),
    ];
    for (what, certificate) in cases {
        let (delivery, seen) = deliver(&authority, &certificate, &key).await;
        let Delivery::Hold { reason } = delivery else { panic!("{what}: {delivery:?}") };
        assert!(reason.text.contains("certificate"), "{what}: {reason}");
        assert!(seen.is_empty(), "{what}");
    }
}

#[tokio::test]
async fn broken_handshake_is_retried() {
    for banner in ["", "HTTP/1.1 400 Bad Request\r\n\r\n", "\x15\x03\x01\x00\x02\x02\x28"] {
        let steps = vec![crate::support::say(banner), crate::support::Step::Reset];
        let server = crate::support::Scripted::start(vec![steps]).await;
        let authority = authority();
        let mut options = options(&server.url().replace("http:", "https:"));
        options.ca_file = Some(authority.file.clone());
        let delivery = HttpTransport::new(options).unwrap().send(&request(1)).await;
        assert!(matches!(delivery, Delivery::Retry { .. }), "{banner:?}: {delivery:?}");
    }
}

#[tokio::test]
async fn stalled_handshake_ends_at_the_connect_timeout() {
    let server = crate::support::Scripted::start(vec![vec![crate::support::Step::Wait]]).await;
    let authority = authority();
    let mut options = options(&server.url().replace("http:", "https:"));
    options.ca_file = Some(authority.file.clone());
    let delivery = HttpTransport::new(options).unwrap().send(&request(1)).await;
    let Delivery::Retry { reason, .. } = delivery else { panic!("{delivery:?}") };
    assert!(reason.text.starts_with("connecting timed out after 1 s"), "{reason}");
}

/// Delivers to a server that asks for a certificate of `authority`, with one of `issuer`'s or none.
async fn introduce(authority: &Authority, issuer: Option<&Authority>) -> (Delivery, Vec<u8>) {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params("localhost").signed_by(&key, &authority.issuer).unwrap();
    let (address, served) = serve(&certificate, &key, verifier);
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, pem: String| {
        std::fs::write(directory.path().join(name), pem).unwrap();
        directory.path().join(name)
    };
    let mut options = options(&format!("https://localhost:{}/", address.port()));
    options.ca_file = Some(authority.file.clone());
    options.client = issuer.map(|issuer| {
        let key = KeyPair::generate().unwrap();
        let own = params("agent").signed_by(&key, &issuer.issuer).unwrap();
        ClientFiles {
            cert_file: file("cert", own.pem()),
            key_file: file("key", key.serialize_pem()),
        }
    });
    let mut transport = HttpTransport::new(options).unwrap();
    let delivery = transport.send(&request(1)).await;
    drop(transport);
    (delivery, tokio::task::spawn_blocking(|| served.join().unwrap()).await.unwrap())
}

#[tokio::test]
async fn server_that_asks_for_a_certificate_gets_ours() {
    let authority = authority();
    let (delivery, seen) = introduce(&authority, Some(&authority)).await;
    assert_eq!(delivery, Delivery::Accepted);
    assert!(seen.ends_with(b"body 1"));
}

#[tokio::test]
async fn server_that_refuses_our_certificate_or_misses_one_holds_us() {
    let (authority, stranger) = (authority(), self::authority());
    for issuer in [None, Some(&stranger)] {
        let (delivery, seen) = introduce(&authority, issuer).await;
        let Delivery::Hold { reason } = delivery else { panic!("{delivery:?}") };
        assert!(reason.text.contains("alert"), "{reason}");
        assert!(seen.is_empty());
    }
}

#[tokio::test]
async fn delivery_goes_on_when_the_certificate_is_mended() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let mut expired = params("localhost");
    expired.not_after = date_time_ymd(2020, 1, 1);
    let expired = expired.signed_by(&key, &authority.issuer).unwrap();
    let good = params("localhost").signed_by(&key, &authority.issuer).unwrap();
    let (address, served) = serve(&expired, &key, Arc::new(NoClientAuth));
    let mut options = options(&format!("https://localhost:{}/", address.port()));
    options.ca_file = Some(authority.file.clone());
    let mut transport = HttpTransport::new(options).unwrap();
    let delivery = transport.send(&request(1)).await;
    assert!(matches!(delivery, Delivery::Hold { .. }), "{delivery:?}");
    assert!(tokio::task::spawn_blocking(|| served.join().unwrap()).await.unwrap().is_empty());
    let (_, served) = serve_at(address, &good, &key, Arc::new(NoClientAuth));
    assert_eq!(transport.send(&request(1)).await, Delivery::Accepted);
    drop(transport);
    let seen = tokio::task::spawn_blocking(|| served.join().unwrap()).await.unwrap();
    assert!(seen.ends_with(b"body 1"));
}
