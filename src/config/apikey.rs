//! `collector.api_key`, `collector.api_key_file`, `collector.api_key_header`: the one secret. Its
//! value is in no message and in no effective configuration.

use std::path::{Path, PathBuf};

use hyper::header::HeaderName;
use secrecy::SecretString;

use super::{defaults, endpoint::is_reserved, expand::Expanded, file, reader::Reader};
use crate::transport::http::{ApiKey, KeySource};

const KEY: &str = "collector.api_key";
const KEY_FILE: &str = "collector.api_key_file";
/// Servers take 8 KiB for all headers together.
const LONGEST_KEY: usize = 4096;

/// The header that carries the key, and the key if there is one.
pub(super) fn api_key(reader: &mut Reader<'_>) -> (HeaderName, Option<ApiKey>) {
    let key = reader.secret(KEY);
    let file = reader.text(KEY_FILE).map(PathBuf::from);
    let header = key_header(reader);
    if key.is_some() && file.is_some() {
        reader.refuse(KEY_FILE, "is given beside collector.api_key; only one of them is allowed");
    }
    if let Some(key) = &key {
        if let Err(message) = judge(&key.text) {
            reader.refuse(KEY, message);
        }
        warn_of_readers(reader, key, "the API key");
    }
    if let (None, Some(path)) = (&key, &file) {
        judge_file(reader, path);
    }
    let source = match (key, file) {
        (Some(key), _) => Some(KeySource::Value(SecretString::from(key.text))),
        (None, file) => file.map(KeySource::File),
    };
    (header.clone(), source.map(|source| ApiKey { header, source }))
}

fn key_header(reader: &mut Reader<'_>) -> HeaderName {
    const PATH: &str = "collector.api_key_header";
    let text = reader.text_or(PATH, defaults::API_KEY_HEADER);
    let wrong = match text.parse::<HeaderName>() {
        Ok(name) if !is_reserved(&name) => return name,
        Ok(_) => "is set by the program itself; use another",
        Err(_) if text.is_empty() => return HeaderName::from_static("x-api-key"),
        Err(_) => "isn't a header's name; allowed are letters, digits and -",
    };
    let shown = reader.unless_from_outside(PATH, format!("{text:?}"));
    reader.refuse(PATH, format!("{shown} {wrong}"));
    HeaderName::from_static("x-api-key")
}

/// What a header can carry and a server gives back unchanged.
fn judge(key: &str) -> Result<(), String> {
    if key.is_empty() {
        return Err("is empty".into());
    }
    if key.len() > LONGEST_KEY {
        return Err(format!("is too long; at most {LONGEST_KEY} bytes"));
    }
    if key.chars().any(char::is_control) {
        return Err("holds a control character (a line break, say); a key is one line".into());
    }
    if !key.is_ascii() {
        return Err("holds a character that no header can carry; allowed is ASCII".into());
    }
    if key.trim() != key {
        return Err("begins or ends with a blank; remove it".into());
    }
    Ok(())
}

fn judge_file(reader: &mut Reader<'_>, path: &Path) {
    match file::read(path, file::MOST_BYTES) {
        // The path isn't shown: it may be the key, given in the wrong place.
        Err(fault) => reader.refuse(KEY_FILE, format!("the file: {}", fault.message)),
        Ok(read) => {
            if let Err(message) = judge(read.content.trim()) {
                reader.refuse(KEY_FILE, format!("the key in the file {message}"));
            }
            if read.others_may_read {
                reader.warnings.push(readable(path, "the API key"));
            }
        }
    }
}

/// Notes a secret, `what`, in a file that every user may read.
pub(super) fn warn_of_readers(reader: &mut Reader<'_>, secret: &Expanded, what: &str) {
    if secret.literal && reader.source.others_may_read {
        reader.warnings.push(readable(&reader.source.file, what));
    }
    if let Some(file) = reader.environment.file()
        && secret.from_file
        && reader.environment.others_may_read()
    {
        reader.warnings.push(readable(file, what));
    }
}

fn readable(path: &Path, what: &str) -> String {
    format!("{}: holds {what} and every user may read it; chmod o-r it", path.display())
}
