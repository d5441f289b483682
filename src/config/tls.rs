//! `forwarder.tls`: the files that say whom we trust and who we are. They are read and judged here,
//! so that what can't be used is a fault of the configuration and not of a later handshake.

use std::path::{Path, PathBuf};

use super::{file, reader::Reader};
use crate::transport::{http::ClientFiles, tls};

const CA: &str = "forwarder.tls.ca_file";
const CERT: &str = "forwarder.tls.cert_file";
const KEY: &str = "forwarder.tls.key_file";

/// The authorities to trust, and the certificate of our own.
pub(super) fn files(reader: &mut Reader<'_>) -> (Option<PathBuf>, Option<ClientFiles>) {
    let ca_file = reader.text(CA).map(PathBuf::from);
    if let Some(path) = &ca_file {
        judged(reader, CA, path, tls::judge_certificates);
    }
    (ca_file, client(reader))
}

/// Notes that TLS files mean nothing for a URL without TLS.
pub(super) fn warn_of_plain(
    reader: &mut Reader<'_>,
    ca_file: Option<&Path>,
    client: Option<&ClientFiles>,
) {
    let idle = [ca_file.map(|_| CA), client.map(|_| CERT)].into_iter().flatten();
    reader.warnings.extend(idle.map(|path| format!("{path}: has no effect on an http URL")));
}

fn client(reader: &mut Reader<'_>) -> Option<ClientFiles> {
    let cert_file = reader.text(CERT).map(PathBuf::from);
    let key_file = reader.text(KEY).map(PathBuf::from);
    let (cert_file, key_file) = match (cert_file, key_file) {
        (Some(cert_file), Some(key_file)) => (cert_file, key_file),
        (None, None) => return None,
        (Some(_), None) => {
            reader.refuse(CERT, format!("needs {KEY} beside it"));
            return None;
        }
        (None, Some(_)) => {
            reader.refuse(KEY, format!("needs {CERT} beside it"));
            return None;
        }
    };
    let cert = judged(reader, CERT, &cert_file, tls::judge_certificates);
    let key = judged(reader, KEY, &key_file, tls::judge_key);
    if let (Some(cert), Some(key)) = (cert, key) {
        if key.others_may_read {
            let file = key_file.display();
            reader
                .warnings
                .push(format!("{file}: is a private key and every user may read it; chmod o-r it"));
        }
        if let Err(message) = tls::judge_pair(cert.content.as_bytes(), key.content.as_bytes()) {
            let files = format!("{} and {}", cert_file.display(), key_file.display());
            reader.refuse(KEY, format!("{files}: the key file {message}"));
        }
    }
    Some(ClientFiles { cert_file, key_file })
}

/// The content of a file that passed its judge; `None` after a fault was noted.
fn judged(
    reader: &mut Reader<'_>,
    key: &str,
    path: &Path,
    judge: fn(&[u8]) -> Result<(), &'static str>,
) -> Option<file::Text> {
    let message = match file::read(path, file::MOST_BYTES) {
        Err(fault) => fault.message,
        Ok(read) => match judge(read.content.as_bytes()) {
            Ok(()) => return Some(read),
            Err(message) => message.to_owned(),
        },
    };
    let shown = reader.unless_from_outside(key, path.display().to_string());
    reader.refuse(key, format!("{shown}: {message}"));
    None
}
