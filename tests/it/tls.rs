//! Whom the transport trusts: a server whose identity is refused never sees a byte of the key.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    thread::JoinHandle,
};

use collector::transport::{Delivery, Transport as _, http::HttpTransport};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};
use tempfile::TempDir;

use crate::delivery::{options, request};

/// An authority that the transport trusts, and its file.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
    _directory: TempDir,
}

fn authority() -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, certificate.pem()).unwrap();
    Authority { issuer: Issuer::new(params, key), file, _directory: directory }
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

/// Serves one TLS connection and returns what it was sent inside of TLS.
fn serve(certificate: &Certificate, key: &KeyPair) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), tcp);
        let mut seen = Vec::new();
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = tls.read(&mut chunk) {
            seen.extend_from_slice(&chunk[..read]);
            if seen.ends_with(b"body 1") {
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
    let (address, served) = serve(certificate, key);
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
    let mut early = params("localhost");
    early.not_before = date_time_ymd(2999, 1, 1);
    let cases = [
        ("expired", expired.signed_by(&key, &authority.issuer).unwrap()),
        ("not yet valid", early.signed_by(&key, &authority.issuer).unwrap()),
        ("wrong host", params("example.org").signed_by(&key, &authority.issuer).unwrap()),
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
