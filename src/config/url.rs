//! Judges `collector.server_url`: http or https, a host, perhaps a port and a path, nothing else.
//! Its messages never show the URL: what is wrong with it may be a password.

use std::net::{Ipv4Addr, Ipv6Addr};

use hyper::{Uri, http::uri::Scheme};

/// The URL to send to; `default_path` takes the place of no path and of `/`.
pub(super) fn judge(text: &str, default_path: &'static str) -> Result<Uri, &'static str> {
    const SHAPE: &str = "isn't a URL; must be like http://host:8000 or https://host/path";
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("must not hold blanks or control characters");
    }
    if !text.is_ascii() {
        return Err("must be ASCII; write an international name in its xn-- form, a path with %XX");
    }
    if text.contains(['?', '#']) {
        return Err("must not have a query or a fragment (`?`, `#`)");
    }
    let uri: Uri = text.parse().map_err(|_| SHAPE)?;
    let authority = uri.authority().ok_or(SHAPE)?.clone();
    let scheme = uri.scheme().cloned().ok_or(SHAPE)?;
    if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
        return Err("must begin with http:// or https://");
    }
    if authority.as_str().contains('@') {
        return Err("must not hold user information; give the key as collector.api_key");
    }
    judge_host(authority.host())?;
    let behind_host = &authority.as_str()[authority.host().len()..];
    if !behind_host.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("has an invalid port; must be from 1 to 65535");
    }
    let path = if uri.path() == "/" { default_path } else { uri.path() };
    Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query(path)
        .build()
        .map_err(|_| SHAPE)
}

fn judge_host(host: &str) -> Result<(), &'static str> {
    if let Some(address) = host.strip_prefix('[') {
        let address =
            address.strip_suffix(']').and_then(|address| address.parse::<Ipv6Addr>().ok());
        return match address {
            Some(address) if address.is_unspecified() => Err(UNSPECIFIED),
            Some(_) => Ok(()),
            None => Err("has an invalid IPv6 address as its host"),
        };
    }
    if host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_unspecified()) {
        return Err(UNSPECIFIED);
    }
    let good = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.len() > 253 || !name.split('.').all(good) {
        return Err(
            "has an invalid host; must be a name, an IPv4 address, or an IPv6 address in []",
        );
    }
    Ok(())
}

const UNSPECIFIED: &str =
    "names the address of no host; 0.0.0.0 and [::] are for listening, use 127.0.0.1 or [::1]";

/// Whether the host is this machine, so that no key leaves it.
pub(super) fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || host.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_path_gets_that_of_the_protocol() {
        for (text, expected) in [
            ("http://localhost:8000", "http://localhost:8000/p"),
            ("http://localhost:8000/", "http://localhost:8000/p"),
            ("https://h/a/b", "https://h/a/b"),
            ("https://h//", "https://h//"),
            ("HTTP://Host", "http://Host/p"),
            ("http://[::1]:80", "http://[::1]:80/p"),
            ("http://10.0.0.1", "http://10.0.0.1/p"),
            ("http://a.b.:65535", "http://a.b.:65535/p"),
            ("http://xn--bcher-kva.example", "http://xn--bcher-kva.example/p"),
        ] {
            assert_eq!(judge(text, "/p").unwrap().to_string(), expected);
        }
    }

    #[test]
    fn tricks_are_refused_without_showing_the_url() {
        for text in [
            "localhost",
            "localhost:8000",
            "/path",
            "//canary",
            "file:///etc/canary",
            "unix:/run/canary.sock",
            "ftp://canary",
            "http://",
            "http:///canary",
            "http://:80",
            "http://canary:",
            "http://canary:0",
            "http://canary:65536",
            "http://canary:x",
            "http://user:canary@host",
            "http://canary@host",
            "http://host?canary",
            "http://host/#canary",
            "http://host/\r\nX: canary",
            "http://ho st",
            " http://canary",
            "http://b\u{fc}cher.canary",
            "http://[::]",
            "http://[::1",
            "http://[fe80::1%25eth0]",
            "http://[canary]",
            "http://0.0.0.0:80",
            "http://a..canary",
            "http://.canary",
            "http://can%61ry",
            "http://canary\\@host",
            "*",
        ] {
            let message = judge(text, "/p").expect_err(text);
            assert!(!message.contains("canary"), "{message}");
        }
    }

    #[test]
    fn loopback_is_recognised() {
        for (text, loopback) in [
            ("http://localhost", true),
            ("http://127.1.2.3", true),
            ("http://[::1]:1", true),
            ("http://10.0.0.1", false),
            ("http://localhost.example", false),
        ] {
            assert_eq!(is_loopback(&judge(text, "/p").unwrap()), loopback, "{text}");
        }
    }
}
