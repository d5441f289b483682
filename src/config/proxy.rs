//! `forwarder.proxy`: the HTTP proxy to go through, with its credentials. Its URL may hold a
//! password: no message shows any of it, and the effective configuration masks it.

use hyper::Uri;
use percent_encoding::percent_decode_str;

use super::{
    apikey::warn_of_readers,
    reader::{MASK, Reader},
    url,
};
use crate::transport::http::{Credentials, Proxy};

const PATH: &str = "forwarder.proxy";

/// The proxy; `None` when there is none, or after a fault was noted.
pub(super) fn proxy(reader: &mut Reader<'_>) -> Option<Proxy> {
    let given = reader.secret(PATH)?;
    if given.text.eq_ignore_ascii_case("none") {
        reader.effective.set(PATH, None::<&str>);
        return None;
    }
    match judge(&given.text) {
        Ok(proxy) => {
            let authority = proxy.url.authority().map(ToString::to_string).unwrap_or_default();
            let user = if proxy.credentials.is_some() { format!("{MASK}@") } else { String::new() };
            reader.effective.set(PATH, format!("http://{user}{authority}"));
            if proxy.credentials.is_some() {
                warn_of_readers(reader, &given, "the proxy's password");
            }
            Some(proxy)
        }
        Err(message) => {
            reader.refuse(PATH, message);
            None
        }
    }
}

fn judge(text: &str) -> Result<Proxy, &'static str> {
    const SHAPE: &str = "isn't a proxy's URL; must be like http://proxy:3128 or \
                         http://user:password@proxy:3128, or none";
    let (scheme, rest) = text.split_once("://").ok_or(SHAPE)?;
    if !scheme.eq_ignore_ascii_case("http") {
        return Err("must begin with http://; no other kind of proxy is known");
    }
    // The last one: a password may hold an @ that nobody has encoded.
    let (user_info, rest) =
        rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    let url = url::judge(&format!("http://{rest}"), "/")?;
    if url.path() != "/" {
        return Err("must not have a path");
    }
    Ok(Proxy {
        url: without_path(&url).ok_or(SHAPE)?,
        credentials: user_info.map(credentials).transpose()?,
    })
}

fn without_path(url: &Uri) -> Option<Uri> {
    Uri::builder()
        .scheme("http")
        .authority(url.authority()?.clone())
        .path_and_query("/")
        .build()
        .ok()
}

fn credentials(user_info: &str) -> Result<Credentials, &'static str> {
    if user_info.contains('/') {
        return Err("has a / before the @; in a user's name or a password write %2F");
    }
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let decoded = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8().ok()?;
        decoded.chars().all(|c| !c.is_control()).then(|| decoded.into_owned())
    };
    match (decoded(user), decoded(password)) {
        (Some(user), Some(_)) if user.is_empty() || user.contains(':') => {
            Err("has a user's name that is empty or holds a colon")
        }
        (Some(user), Some(password)) => Ok(Credentials::basic(&user, &password)),
        _ => Err("has a user or a password that isn't UTF-8 or holds a control character"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_url_is_taken_apart() {
        for (text, url, with) in [
            ("http://proxy:3128", "http://proxy:3128/", false),
            ("HTTP://proxy/", "http://proxy/", false),
            ("http://[::1]:80", "http://[::1]:80/", false),
            ("http://user:p%40ss@proxy:3128", "http://proxy:3128/", true),
            ("http://user:p@ss@proxy", "http://proxy/", true),
            ("http://user@proxy", "http://proxy/", true),
        ] {
            let proxy = judge(text).unwrap_or_else(|message| panic!("{text}: {message}"));
            assert_eq!((proxy.url.to_string().as_str(), proxy.credentials.is_some()), (url, with));
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_showing_it() {
        for text in [
            "canary",
            "proxy:3128",
            "https://canary:3128",
            "socks5://canary",
            "http://",
            "http://canary:0",
            "http://proxy/canary",
            "http://user:can/ary@proxy",
            "http://:canary@proxy",
            "http://a%3Ab:canary@proxy",
            "http://user:canary%0A@proxy",
            "http://user:canary%ff@proxy",
            "http://user:canary@",
            "http://user:canary@ho st",
        ] {
            let message = judge(text).expect_err(text);
            assert!(!message.contains("canary"), "{message}");
        }
    }
}
