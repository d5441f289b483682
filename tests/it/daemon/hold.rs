//! A server that refuses us: the forwarder is held, says why, loses nothing and shows no key.

use std::{fs, path::Path};

use serde_json::json;

use crate::support::{
    process::{Home, wait_until},
    server::{Mode, Server},
};

const CANARY: &str = "canary-7f3a-k3y";

/// Files below `path` that hold the canary.
fn leaks(path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(leaks(&entry.path()));
        } else if entry.file_type().unwrap().is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            if bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()) {
                found.push(entry.path().display().to_string());
            }
        }
    }
    found
}

#[test]
fn refused_key_holds_delivery_and_a_new_key_ends_it() {
    let server = Server::start(Mode::Accept);
    server.want_key("the-right-one");
    let settings = [
        ("collector.api_key_file", json!("secret")),
        ("forwarder.retry.max_interval", json!("300ms")),
        ("logging.level", json!("TRACE")),
        ("logging.file", json!("collector.log")),
    ];
    let home = Home::new(&server.url(), &settings);
    fs::write(home.path("secret"), CANARY).unwrap();
    let daemon = home.spawn(&["run"]);
    wait_until("held", || {
        let ran = home.run(&["queue", "stats", "--json"]);
        ran.code == Some(0) && ran.json()["forwarder"]["state"] == "held"
    });
    let stats = home.stats();
    let reason = stats["forwarder"]["last_error"].as_str().unwrap();
    assert!(reason.contains("401"), "{stats:#}");
    let check = home.run(&["queue", "stats", "--check"]);
    assert_eq!(check.code, Some(1), "{check:?}");
    assert!(check.err.contains("held") && check.err.contains("401"), "{check:?}");
    let flush = home.run(&["queue", "flush"]);
    assert_eq!(flush.code, Some(75), "{flush:?}");
    assert!(flush.err.contains("held") && flush.err.contains("401"), "{flush:?}");
    for command in [&["queue", "stats"][..], &["check"], &["sample"]] {
        home.run(command);
    }
    wait_until("entries wait", || home.stats()["queue"]["samples"].as_u64() >= Some(8));
    assert_eq!(server.count(), 0);
    assert_eq!(home.stats()["ledger"]["acknowledged"], 0);
    // Logs, outputs of commands, the queue, all of it: only the file that it was put in.
    assert_eq!(leaks(&home.path("")), [home.path("secret").display().to_string()]);
    fs::write(home.path("secret"), "the-right-one\n").unwrap();
    let queued = home.stats()["ledger"]["enqueued"].as_u64().unwrap();
    wait_until("the hold ends", || server.count() as u64 >= queued);
    wait_until("the state says so", || home.stats()["forwarder"]["last_error"] == json!(null));
    assert_eq!(daemon.stop().code, Some(0));
    server.assert_whole();
}

#[test]
fn rejected_data_waits_and_nothing_is_lost() {
    for status in [400, 404, 413, 301] {
        let server = Server::start(Mode::Answer(status));
        let home = Home::new(&server.url(), &[]);
        let daemon = home.daemon();
        wait_until("held", || home.stats()["forwarder"]["state"] == "held");
        let reason = home.stats()["forwarder"]["last_error"].as_str().unwrap().to_owned();
        assert!(reason.contains(&status.to_string()), "{status}: {reason}");
        server.turn(Mode::Accept);
        let queued = home.stats()["ledger"]["enqueued"].as_u64().unwrap();
        wait_until("delivery", || server.count() as u64 >= queued);
        drop(daemon);
        server.assert_whole();
    }
}

#[cfg(unix)]
#[test]
fn sigusr1_has_it_tried_at_once_and_sigusr2_is_ignored() {
    use rustix::process::Signal;

    let server = Server::start(Mode::Answer(401));
    let home = Home::new(&server.url(), &[("forwarder.retry.max_interval", json!("1h"))]);
    let daemon = home.daemon();
    wait_until("held", || home.stats()["forwarder"]["state"] == "held");
    server.turn(Mode::Accept);
    daemon.signal(Signal::USR2);
    daemon.wait_for_log("ignored signal=SIGUSR2");
    assert_eq!(server.count(), 0);
    let queued = home.stats()["ledger"]["enqueued"].as_u64().unwrap();
    daemon.signal(Signal::USR1);
    wait_until("all of it is delivered", || server.count() as u64 >= queued);
    assert_eq!(daemon.stop().code, Some(0));
    server.assert_whole();
}
