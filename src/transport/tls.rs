//! Whom we trust: the configuration of TLS, from one file of authorities or the system's. Servers
//! are always checked; there is no switch to do without.

use std::{io, path::Path, sync::Arc};

use hyper_rustls::ConfigBuilderExt as _;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::http::BuildError;

/// TLS 1.2 and 1.3; trusts the authorities of `ca_file` alone when it is given, else the system's.
pub(super) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, BuildError> {
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
    Ok(builder.with_no_client_auth())
}

/// All certificates of a PEM file; one that isn't usable is an error, and so is none at all.
fn authorities(path: &Path) -> io::Result<RootCertStore> {
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(path)?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| invalid(error.to_string()))?;
        roots.add(certificate).map_err(|error| invalid(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(invalid("it holds no certificate".to_owned()));
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
        client_config(Some(&path))
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
        let missing = client_config(Some(Path::new("/nonexistent/ca.pem")));
        assert!(matches!(missing, Err(BuildError::Authorities { .. })));
    }
}
