//! How requests leave: proxy, certificate of our own, and what is unwise about a key on its way.

use std::path::{Path, PathBuf};

use collector::config::Config;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::json;
use tempfile::TempDir;

use super::judge;

fn forwarder(settings: &serde_json::Value) -> Config {
    judge(json!({ "forwarder": settings }).to_string()).unwrap()
}

/// PEM files of a certificate and its key in a directory.
fn pair(directory: &TempDir, name: &str) -> (PathBuf, PathBuf) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([name.to_owned()]).unwrap();
    let file = |end: &str, pem: String| {
        let path = directory.path().join(format!("{name}.{end}"));
        std::fs::write(&path, pem).unwrap();
        restrict(&path, 0o600);
        path
    };
    (file("pem", cert.pem()), file("key", signing_key.serialize_pem()))
}

#[cfg(unix)]
fn restrict(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn restrict(_: &Path, _: u32) {}

#[test]
fn a_proxy_is_taken_with_its_password_masked_and_none_is_none() {
    let config = forwarder(&json!({"proxy": "http://user:canary%21@proxy:3128"}));
    let proxy = config.http.proxy.as_ref().expect("it is set");
    assert_eq!(proxy.url, "http://proxy:3128/");
    assert!(proxy.credentials.is_some());
    let effective = config.effective();
    assert!(effective.contains("proxy: http://********@proxy:3128\n"), "{effective}");
    let shown = format!("{config:?}{effective}{:?}", config.warnings);
    assert!(!shown.contains("canary"), "{shown}");
    for none in ["none", "None", ""] {
        let config = forwarder(&json!({ "proxy": none }));
        assert!(config.http.proxy.is_none());
        assert!(config.effective().contains("proxy: null\n"), "{}", config.effective());
    }
    let bare = forwarder(&json!({"proxy": "http://10.0.0.1"}));
    assert!(bare.effective().contains("proxy: http://10.0.0.1\n"), "{}", bare.effective());
}

#[test]
fn a_key_that_leaves_the_machine_unencrypted_is_warned_of() {
    for (url, proxy, warned) in [
        ("http://localhost:8000", "", false),
        ("http://127.9.9.9", "", false),
        ("http://[::1]:8000", "", false),
        ("https://example.org", "", false),
        ("https://example.org", "http://proxy", false),
        ("http://localhost:8000", "http://proxy", true),
        ("http://example.org", "", true),
        ("http://10.0.0.1", "none", true),
    ] {
        let text = json!({
            "collector": {"server_url": url, "api_key": "canary"},
            "forwarder": {"proxy": proxy},
        });
        let warnings = judge(text.to_string()).unwrap().warnings;
        let found = warnings.iter().any(|warning| warning.contains("is sent unencrypted"));
        assert_eq!(found, warned, "{url} {proxy}: {warnings:?}");
    }
}

#[test]
fn a_certificate_of_our_own_needs_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let ((cert, key), (other, _)) = (pair(&directory, "a"), pair(&directory, "b"));
    let with = |cert: &Path, key: &Path| {
        let tls = json!({"cert_file": cert, "key_file": key});
        let url = json!({"server_url": "https://example.org"});
        judge(json!({"collector": url, "forwarder": {"tls": tls}}).to_string())
    };
    let config = with(&cert, &key).unwrap();
    let client = config.http.client.expect("both are set");
    assert_eq!((client.cert_file, client.key_file), (cert.clone(), key.clone()));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    for (cert, key, part) in [
        (&other, &key, "isn't the key of that certificate"),
        (&cert, &cert, "holds no private key in PEM format"),
        (&key, &key, "holds no certificates in PEM format"),
        (&cert, &directory.path().join("c"), "there is no such file"),
    ] {
        let message = with(cert, key).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("forwarder.tls."), "{message}");
    }
}

#[cfg(unix)]
#[test]
fn a_private_key_is_its_owners() {
    let directory = tempfile::tempdir().unwrap();
    let (cert, key) = pair(&directory, "a");
    let text = json!({
        "collector": {"server_url": "https://example.org"},
        "forwarder": {"tls": {"cert_file": cert, "key_file": key}},
    });
    restrict(&key, 0o644);
    let warnings = judge(text.to_string()).unwrap().warnings;
    assert!(warnings[0].contains("is a private key and every user may read it"), "{warnings:?}");
    restrict(&key, 0o602);
    let message = judge(text.to_string()).unwrap_err().to_string();
    assert!(message.contains("every user may write to it"), "{message}");
}

#[test]
fn files_for_tls_mean_nothing_to_an_http_url() {
    let directory = tempfile::tempdir().unwrap();
    let (cert, key) = pair(&directory, "a");
    let tls = json!({"ca_file": cert, "cert_file": cert, "key_file": key});
    let warnings = forwarder(&json!({ "tls": tls })).warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings.iter().all(|warning| warning.ends_with("has no effect on an http URL")));
}
