//! Whom we trust, and who we are: the configuration of TLS, from one file of authorities or the
//! system's, and from the files of a certificate of our own. Servers are always checked; there is no
//! switch to do without.

use std::{io, path::Path, sync::Arc};

use hyper_rustls::ConfigBuilderExt as _;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};

use super::http::{BuildError, ClientFiles};

/// TLS 1.2 and 1.3; trusts the authorities of `ca_file` alone when it is given, else the system's.
/// Shows the certificate of `client` to a server that asks for one.
pub(super) fn client_config(
    ca_file: Option<&Path>,
    client: Option<&ClientFiles>,
) -> Result<ClientConfig, BuildError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = match ca_file {
        Some(path) => {
            let roots = authorities(path)
                .map_err(|source| BuildError::Authorities { path: path.to_owned(), source })?;
            builder.with_root_certificates(roots)
        }
        None => builder.with_native_roots().map_err(BuildError::SystemRoots)?,
    };
    let Some(files) = client else { return Ok(builder.with_no_client_auth()) };
    let refused = |source| BuildError::Client { files: files.clone(), source };
    let (chain, key) = identity(files).map_err(refused)?;
    builder.with_client_auth_cert(chain, key).map_err(|error| refused(invalid(&error)))
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(files: &ClientFiles) -> io::Result<Identity> {
    let chain = certificates(&std::fs::read(&files.cert_file)?)?;
    let key = PrivateKeyDer::from_pem_slice(&std::fs::read(&files.key_file)?);
    Ok((chain, key.map_err(|error| invalid(&error))?))
}

/// Whether PEM holds certificates and nothing that isn't one; why not in words for a person.
pub(crate) fn judge_certificates(pem: &[u8]) -> Result<(), &'static str> {
    certificates(pem).map(drop).map_err(|_| "holds no certificates in PEM format")
}

/// Whether PEM holds a private key; why not in words for a person.
pub(crate) fn judge_key(pem: &[u8]) -> Result<(), &'static str> {
    let read = PrivateKeyDer::from_pem_slice(pem).map(drop);
    read.map_err(|_| "holds no private key in PEM format that isn't encrypted")
}

/// Whether certificate and key belong together, both in PEM; why not in words for a person.
pub(crate) fn judge_pair(certificate: &[u8], key: &[u8]) -> Result<(), &'static str> {
    const UNKNOWN: &str = "holds a private key of a kind that TLS doesn't use";
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| UNKNOWN)?;
    let chain = certificates(certificate).map_err(|_| "has no usable certificate beside it")?;
    let provider = rustls::crypto::ring::default_provider();
    match CertifiedKey::from_der(chain, key, &provider) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err("isn't the key of that certificate"),
        Err(_) => Err(UNKNOWN),
    }
}

fn invalid(error: &(dyn std::error::Error + 'static)) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

/// All certificates of PEM; one that isn't usable is an error, and so is none at all.
fn certificates(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| invalid(&error))?;
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it holds no certificate"));
    }
    Ok(found)
}

fn authorities(path: &Path) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&std::fs::read(path)?)? {
        roots.add(certificate).map_err(|error| invalid(&error))?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(content: &str) -> Result<ClientConfig, BuildError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        std::fs::write(&path, content).unwrap();
        client_config(Some(&path), None)
    }

    #[test]
    fn file_of_authorities_must_hold_certificates() {
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for content in ["", "no pem", garbage] {
            assert!(matches!(with(content), Err(BuildError::Authorities { .. })), "{content}");
        }
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        with(&made.cert.pem()).unwrap();
    }

    #[test]
    fn missing_file_of_authorities_is_an_error() {
        let missing = client_config(Some(Path::new("/nonexistent/ca.pem")), None);
        assert!(matches!(missing, Err(BuildError::Authorities { .. })));
    }
}
