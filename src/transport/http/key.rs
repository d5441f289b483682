//! The API key: read, put into a header that is never logged.

use std::{
    fs::{File, Metadata},
    io,
    io::Read as _,
    path::Path,
    time::SystemTime,
};

use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};

use super::{ApiKey, BuildError, KeySource};

/// A key file beyond this isn't a key file.
const MAX_BYTES: u64 = 16 * 1024;

impl KeySource {
    fn secret(&self) -> Result<SecretString, BuildError> {
        match self {
            Self::Value(secret) => Ok(secret.clone()),
            Self::File(path) => {
                read(path).map_err(|source| BuildError::KeyFile { path: path.clone(), source })
            }
        }
    }
}

impl ApiKey {
    /// The secret itself, read from its file if it lies in one. Blocks for as long as a small file
    /// takes.
    pub fn secret(&self) -> Result<SecretString, BuildError> {
        self.source.secret()
    }
}

/// The key in use and where it came from.
#[derive(Debug)]
pub(super) struct Key {
    header: HeaderName,
    source: KeySource,
    secret: SecretString,
    value: HeaderValue,
    /// The file as it was when it was looked at last.
    seen: Option<Figures>,
}

/// What tells a file that was written or replaced from one that wasn't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Figures {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Figures {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        // A file that replaces another has another time of creation there.
        #[cfg(not(unix))]
        let inode = metadata.created().map_or(0, |at| {
            let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            since.as_secs() ^ u64::from(since.subsec_nanos()) << 34
        });
        Self { modified: metadata.modified().ok(), length: metadata.len(), inode }
    }
}

impl Key {
    /// Takes the key from its source.
    pub(super) fn load(ApiKey { header, source }: ApiKey) -> Result<Self, BuildError> {
        let secret = source.secret()?;
        let value = header_value(&header, &secret).ok_or(BuildError::Key)?;
        let mut key = Self { header, source, secret, value, seen: None };
        key.seen = key.figures();
        Ok(key)
    }

    fn figures(&self) -> Option<Figures> {
        let KeySource::File(path) = &self.source else { return None };
        path.metadata().ok().as_ref().map(Figures::of)
    }

    pub(super) fn is_in_a_file(&self) -> bool {
        matches!(self.source, KeySource::File(_))
    }

    /// Like [`Self::reload`], but looks only at the file's figures unless they changed.
    pub(super) fn reload_if_touched(&mut self) -> bool {
        let figures = self.figures();
        if figures == self.seen {
            return false;
        }
        self.seen = figures;
        self.reload()
    }

    /// Reads the file again. True when it holds another key that can be used; otherwise the old
    /// one stays. Blocks for as long as a small file takes.
    pub(super) fn reload(&mut self) -> bool {
        let KeySource::File(path) = &self.source else { return false };
        let Ok(secret) = read(path) else { return false };
        if secret.expose_secret() == self.secret.expose_secret() {
            return false;
        }
        let Some(value) = header_value(&self.header, &secret) else { return false };
        (self.secret, self.value) = (secret, value);
        true
    }

    pub(super) fn header(&self) -> &HeaderName {
        &self.header
    }

    /// Marked as sensitive: its `Debug` shows nothing.
    pub(super) fn value(&self) -> &HeaderValue {
        &self.value
    }

    /// To be masked in what a server says.
    pub(super) fn secret(&self) -> &SecretString {
        &self.secret
    }
}

/// Reads a key without the white space around it, so that an editor's last newline is no part.
fn read(path: &Path) -> io::Result<SecretString> {
    // A pipe would block for ever.
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut text = String::new();
    let size = File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    let secret = text.trim();
    match size as u64 {
        _ if secret.is_empty() => Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty")),
        size if size > MAX_BYTES => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large for a key"))
        }
        _ => Ok(SecretString::from(secret)),
    }
}

fn header_value(header: &HeaderName, secret: &SecretString) -> Option<HeaderValue> {
    let secret = secret.expose_secret();
    let mut value = if header == AUTHORIZATION {
        HeaderValue::from_str(&format!("Bearer {secret}"))
    } else {
        HeaderValue::from_str(secret)
    }
    .ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(header: HeaderName, secret: &str) -> Result<Key, BuildError> {
        Key::load(ApiKey { header, source: KeySource::Value(secret.into()) })
    }

    #[test]
    fn authorization_carries_a_bearer_and_other_headers_the_bare_key() {
        assert_eq!(key(AUTHORIZATION, "k3y").unwrap().value(), "Bearer k3y");
        assert_eq!(key(HeaderName::from_static("x-api-key"), "k3y").unwrap().value(), "k3y");
    }

    #[test]
    fn key_shows_in_no_debug_output() {
        let key = key(AUTHORIZATION, "k3y").unwrap();
        assert!(!format!("{key:?}").contains("k3y"));
    }

    #[test]
    fn key_with_control_characters_is_refused() {
        assert!(matches!(key(AUTHORIZATION, "a\r\nX: y"), Err(BuildError::Key)));
    }

    #[test]
    fn file_is_trimmed_and_a_changed_one_is_taken_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "first\n").unwrap();
        let header = HeaderName::from_static("x-api-key");
        let mut key = Key::load(ApiKey { header, source: KeySource::File(path.clone()) }).unwrap();
        assert_eq!(key.value(), "first");
        assert!(!key.reload());
        std::fs::write(&path, "second\r\n").unwrap();
        assert!(key.reload());
        assert!(!key.reload());
        for useless in ["", " \n", "a\u{7}b"] {
            std::fs::write(&path, useless).unwrap();
            assert!(!key.reload());
        }
        assert_eq!(key.value(), "second");
        assert!(key.value().is_sensitive());
    }

    #[test]
    fn touched_file_is_read_again_whether_it_was_written_or_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("key"), directory.path().join("other"));
        std::fs::write(&path, "first").unwrap();
        let header = HeaderName::from_static("x-api-key");
        let mut key = Key::load(ApiKey { header, source: KeySource::File(path.clone()) }).unwrap();
        assert!(!key.reload_if_touched());
        std::fs::write(&path, "second!").unwrap();
        assert!(key.reload_if_touched() && !key.reload_if_touched());
        std::fs::write(&other, "another").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(key.reload_if_touched() && !key.reload_if_touched());
        assert_eq!(key.value(), "another");
        std::fs::remove_file(&path).unwrap();
        assert!(!key.reload_if_touched());
    }

    #[test]
    fn missing_empty_or_irregular_key_file_is_an_error_at_start() {
        let directory = tempfile::tempdir().unwrap();
        let empty = directory.path().join("empty");
        std::fs::write(&empty, "\n").unwrap();
        for path in [directory.path().join("missing"), empty, directory.path().to_owned()] {
            let source = KeySource::File(path);
            let loaded = Key::load(ApiKey { header: AUTHORIZATION, source });
            assert!(matches!(loaded, Err(BuildError::KeyFile { .. })));
        }
    }
}
