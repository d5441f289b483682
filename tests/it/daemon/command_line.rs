//! Words, exit codes and outputs of the commands that need no queue.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{
    process::{Home, wait_until},
    server::{Mode, Server},
};

#[test]
fn wrong_usage_ends_with_2() {
    let home = Home::new("http://127.0.0.1:9", &[]);
    for arguments in [
        &["--no-such-flag"][..],
        &["no-such-command"],
        &["run", "--no-such-flag"],
        &["queue"],
        &["queue", "flush", "--timeout", "soon"],
        &["queue", "stats", "--watch", "--check"],
        &["receive", "--listen", "nowhere"],
        &["receive", "-c", "config/collector-config.yaml"],
        &["-c", "config/collector-config.yaml", "receive"],
        &["--with-receiver", "queue", "stats"],
    ] {
        let ran = home.run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{arguments:?}: {ran:?}");
        assert!(!ran.err.is_empty());
    }
    assert!(!home.path("buffer").exists());
}

#[test]
fn the_configuration_may_be_named_before_the_command_or_behind_it() {
    let home = Home::new("http://127.0.0.1:9", &[]);
    std::fs::write(home.path("other.yaml"), "collector: {hostname: other}").unwrap();
    for arguments in [&["-c", "other.yaml", "check"][..], &["check", "--config", "other.yaml"]] {
        let ran = home.run(arguments);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.out.contains("\n  hostname: other\n"), "{}", ran.out);
    }
    let ran = home.run(&["-c", "none.yaml", "queue", "stats"]);
    assert!(ran.code == Some(78) && ran.err.contains("none.yaml"), "{ran:?}");
}

#[test]
fn wrong_configuration_ends_with_78_and_creates_nothing() {
    let home = Home::new("http://127.0.0.1:9", &[("buffer.max_siez", json!("8MB"))]);
    for arguments in [&["run"][..], &[], &["check"], &["sample"], &["queue", "stats"]] {
        let ran = home.run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (Some(78), ""), "{arguments:?}: {ran:?}");
        assert!(ran.err.contains("buffer.max_siez") && ran.err.contains("max_size"), "{ran:?}");
    }
    assert!(!home.path("buffer").exists());
    std::fs::remove_file(home.path("config/collector-config.yaml")).unwrap();
    let ran = home.run(&["check"]);
    if !std::path::Path::new("/etc/collector/collector-config.yaml").exists() {
        assert_eq!(ran.code, Some(78), "{ran:?}");
        assert!(ran.err.contains("config/collector-config.yaml"), "{ran:?}");
        assert!(ran.err.contains("/etc/collector/collector-config.yaml"), "{ran:?}");
    }
}

#[test]
fn built_in_receiver_is_refused_where_others_could_reach_it() {
    for url in ["http://192.0.2.1:8000", "http://example.com", "https://127.0.0.1:8000"] {
        let home = Home::new(url, &[]);
        let ran = home.run(&["run", "--with-receiver"]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.contains("loopback"), "{ran:?}");
        assert!(!home.path("buffer").exists());
    }
}

#[test]
fn built_in_receiver_takes_what_is_sampled() {
    // A server lends its address, which nobody else takes.
    let mut server = Server::start(Mode::Accept);
    server.stop();
    let elsewhere = format!("{}/in/metrics", server.url());
    // It takes whatever path and header the configuration has the agent send to.
    for (url, header) in
        [(server.url(), "X-API-Key"), (elsewhere.clone(), "X-Token"), (elsewhere, "Authorization")]
    {
        let key =
            [("collector.api_key", json!("canary")), ("collector.api_key_header", json!(header))];
        let home = Home::new(&url, &key);
        let daemon = home.spawn(&["run", "--with-receiver"]);
        daemon.wait_for_log("delivery works");
        wait_until("delivery", || home.stats()["ledger"]["acknowledged"].as_u64() >= Some(8));
        let ended = daemon.stop();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.err.contains("the built-in receiver stops"), "{ended:?}");
        assert!(ended.err.contains("rejected=0") && !ended.err.contains("canary"), "{ended:?}");
    }
}

#[test]
fn sample_prints_one_object_and_queues_nothing() {
    let home = Home::new("http://127.0.0.1:9", &[]);
    let ran = home.run(&["sample", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let object = ran.json();
    let text = object.to_string();
    let kinds = ["cpu", "memory", "disk", "network"];
    let found: BTreeSet<_> = kinds.into_iter().filter(|kind| text.contains(kind)).collect();
    assert_eq!(found.len(), 4, "{text}");
    assert!(!home.path("buffer").exists());
    let ran = home.run(&["sample"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.out.contains('\x1b'), "{}", ran.out);
}

#[test]
fn check_prints_what_is_in_force_and_can_try_the_server() {
    let mut server = Server::start(Mode::Accept);
    let home = Home::new(&server.url(), &[("collector.api_key", json!("canary"))]);
    let ran = home.run(&["check"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("api_key: '********'"), "{}", ran.out);
    assert!(ran.out.contains("outage"), "{}", ran.out);
    assert_eq!(server.attempts(), 0);
    let ran = home.run(&["check", "--connect"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(server.attempts() >= 1 && server.count() == 0);
    // What may be about OPTIONS alone, and what would meet samples as well.
    for (status, code) in [(405, 0), (501, 0), (400, 0), (404, 1), (401, 1), (302, 1), (503, 1)] {
        server.turn(Mode::Answer(status));
        let ran = home.run(&["check", "--connect"]);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        let said = if code == 0 { &ran.out } else { &ran.err };
        assert!(said.contains(&status.to_string()), "{ran:?}");
    }
    server.stop();
    let ran = home.run(&["check", "--connect"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(!ran.err.contains("canary") && !ran.out.contains("canary"), "{ran:?}");
    assert!(!home.path("buffer").exists());
}

#[test]
fn output_that_nobody_reads_is_no_panic() {
    let server = Server::start(Mode::Answer(503));
    let home = Home::new(&server.url(), &[]);
    let daemon = home.daemon();
    for arguments in [
        &["sample"][..],
        &["sample", "--json"],
        &["check"],
        &["queue", "stats"],
        &["queue", "stats", "--json", "--watch"],
        &["--help"],
    ] {
        let ended = home.spawn_without_reader(arguments).end();
        assert!(ended.code.is_none_or(|code| code <= 1), "{arguments:?}: {ended:?}");
        assert!(!ended.err.contains("panicked"), "{arguments:?}: {ended:?}");
    }
    drop(daemon);
}
