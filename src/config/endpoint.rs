//! Where and how requests are sent: `collector.server_url`, time limits and extra headers. No
//! message shows the URL's user information or a header's value.

use std::time::Duration;

use hyper::{
    Uri,
    header::{HeaderName, HeaderValue},
};

use super::{
    apikey::api_key,
    defaults,
    expand::escape,
    proxy::proxy,
    reader::{MASK, Reader, shown_key},
    tls, url,
};
use crate::transport::http::Options;

/// The native protocol's path, for a URL that has none.
const JSON_PATH: &str = "/api/v1/metrics";
const LONGEST_TIMEOUT: Duration = Duration::from_hours(1);
const MOST_HEADERS: usize = 32;
const MOST_HEADER_BYTES: usize = 8192;

/// `None` after a fault was noted.
pub(super) fn http(reader: &mut Reader<'_>) -> Option<Options> {
    let default_path =
        reader.choice("forwarder.protocol", defaults::PROTOCOL, &[("json", JSON_PATH)]);
    let url = server_url(reader, default_path);
    let (key_header, api_key) = api_key(reader);
    let headers = headers(reader, &key_header);
    let allowed = Duration::from_millis(1)..=LONGEST_TIMEOUT;
    let timeout = reader.duration("forwarder.timeout", defaults::TIMEOUT, allowed.clone());
    let connect_timeout =
        reader.duration("forwarder.connect_timeout", defaults::CONNECT_TIMEOUT, allowed);
    let (ca_file, client) = tls::files(reader);
    let proxy = proxy(reader);
    let url = url?;
    let plain = url.scheme_str() == Some("http");
    // A proxy is another machine, or leads to one.
    if plain && api_key.is_some() && (proxy.is_some() || !url::is_loopback(&url)) {
        reader.warnings.push(
            "collector.server_url: the API key is sent unencrypted; https would protect it".into(),
        );
    }
    if plain {
        tls::warn_of_plain(reader, ca_file.as_deref(), client.as_ref());
    }
    Some(Options { url, api_key, headers, timeout, connect_timeout, ca_file, client, proxy })
}

fn server_url(reader: &mut Reader<'_>, default_path: &'static str) -> Option<Uri> {
    const PATH: &str = "collector.server_url";
    let text = reader.text_or(PATH, defaults::SERVER_URL);
    match url::judge(&text, default_path) {
        Ok(url) => {
            reader.effective.set(PATH, escape(&url.to_string()));
            Some(url)
        }
        Err(message) => {
            if !text.is_empty() {
                reader.refuse(PATH, message);
            }
            None
        }
    }
}

fn headers(reader: &mut Reader<'_>, key_header: &HeaderName) -> Vec<(HeaderName, HeaderValue)> {
    const PATH: &str = "forwarder.headers";
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    let mut spelt = Vec::new();
    let table = reader.table(PATH);
    let bytes: usize = table.iter().map(|(name, value, _)| name.len() + value.len()).sum();
    if table.len() > MOST_HEADERS || bytes > MOST_HEADER_BYTES {
        reader
            .refuse(PATH, format!("is too much; at most {MOST_HEADERS} headers and 8KiB together"));
    }
    for (name, value, line) in table {
        let path = format!("{PATH}.{}", shown_key(&name));
        match header(&name, &value, key_header) {
            // The same spelling twice is the business of the judgement of all keys.
            Ok((known, _)) if headers.iter().any(|(other, _)| *other == known) => {
                if spelt.contains(&name) {
                    continue;
                }
                reader.refuse_at(&path, line, "stands twice; the case of letters means nothing");
            }
            Ok(header) => {
                headers.push(header);
                spelt.push(name);
            }
            Err(message) => reader.refuse_at(&path, line, message),
        }
    }
    let masked: std::collections::BTreeMap<_, _> =
        headers.iter().map(|(name, _)| (name.as_str(), MASK)).collect();
    reader.effective.set(PATH, masked);
    headers
}

fn header(
    name: &str,
    value: &str,
    key_header: &HeaderName,
) -> Result<(HeaderName, HeaderValue), &'static str> {
    let Ok(name) = name.parse::<HeaderName>() else {
        return Err("isn't a header's name; allowed are letters, digits and -");
    };
    if is_reserved(&name) || name == *key_header {
        return Err("is set by the program itself; remove it");
    }
    let Ok(mut value) = HeaderValue::from_str(value) else {
        return Err(
            "has a value that no header can have; allowed is ASCII without control characters",
        );
    };
    value.set_sensitive(true);
    Ok((name, value))
}

/// Headers that frame a request or give it its identity: setting them would break the delivery.
pub(super) fn is_reserved(name: &HeaderName) -> bool {
    const RESERVED: [&str; 11] = [
        "connection",
        "expect",
        "host",
        "idempotency-key",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    name.as_str().starts_with("content-") || RESERVED.contains(&name.as_str())
}
