//! `queue peek`, `export`, `verify` and `purge` as an operator uses them, while the daemon runs and
//! while it doesn't.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::dead_letters::refuse;
use crate::support::{
    process::{Home, Process, Ran, wait_until},
    server::{Mode, Server},
};

/// A user that the tests aren't.
const NOBODY: u32 = 65534;
/// Samples that wait before a test looks at them.
const SOME: u64 = 24;

/// A daemon in an outage with entries that wait.
pub(super) fn outage(home: &Home) -> Process {
    let daemon = home.daemon();
    wait_until("entries wait", || home.stats()["queue"]["samples"].as_u64() >= Some(SOME));
    daemon
}

/// Runs `test` beside a daemon in an outage, and once more after that was stopped.
fn up_and_down(test: impl Fn(&Home, bool)) {
    let server = Server::start(Mode::Answer(503));
    // The queue is to change by what the test does alone, once enough is there.
    let home = Home::new(&server.url(), &[]);
    let daemon = outage(&home);
    test(&home, true);
    assert_eq!(daemon.stop().code, Some(0));
    test(&home, false);
}

#[track_caller]
pub(super) fn done(home: &Home, arguments: &[&str]) -> Ran {
    let ran = home.run(&[&["queue"], arguments].concat());
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    ran
}

pub(super) fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(super) fn seqs(samples: &[Value]) -> Vec<u64> {
    samples.iter().map(|sample| sample["seq"].as_u64().unwrap()).collect()
}

#[test]
fn peek_shows_the_oldest_and_removes_nothing() {
    up_and_down(|home, _| {
        let before = home.stats();
        let text = done(home, &["peek", "-n", "3"]);
        assert_eq!(text.out.lines().count(), 5, "a header, three samples, more: {}", text.out);
        assert!(text.out.contains("cpu") && text.out.contains("… and more"), "{}", text.out);
        let peeked = done(home, &["peek", "-n", "5", "--json"]).json();
        let samples = peeked["samples"].as_array().unwrap();
        assert_eq!(seqs(samples), [1, 2, 3, 4, 5]);
        let keys: BTreeSet<_> =
            samples[0].as_object().unwrap().keys().map(String::as_str).collect();
        let expected =
            ["agent_id", "seq", "timestamp", "host", "tags", "interval", "kind", "metrics"];
        let of_boot = keys.iter().filter(|key| ["boot_id", "uptime"].contains(key)).count();
        assert_eq!(keys.iter().filter(|key| expected.contains(key)).count(), 8);
        assert_eq!(keys.len(), expected.len() + of_boot);
        assert_eq!([&peeked["more"], &peeked["damaged"]], [&json!(true), &json!(0)]);
        let after = home.stats();
        assert_eq!(before["queue"]["first_seq"], after["queue"]["first_seq"]);
        assert_eq!(after["ledger"]["acknowledged"], 0);
    });
}

#[test]
fn export_writes_what_is_delivered_later_and_removes_nothing() {
    let server = Server::start(Mode::Answer(503));
    let home = Home::new(&server.url(), &[]);
    let daemon = outage(&home);
    let up = lines(&done(&home, &["export"]).out);
    assert!(up.len() as u64 >= SOME);
    assert_eq!(seqs(&up), (1..=up.len() as u64).collect::<Vec<_>>());
    assert_eq!(daemon.stop().code, Some(0));
    let samples = home.stats()["queue"]["samples"].as_u64().unwrap();
    let down = lines(&done(&home, &["export"]).out);
    assert_eq!(seqs(&down), (1..=samples).collect::<Vec<_>>());
    assert_eq!(up, down[..up.len()]);
    let path = home.path("out.ndjson");
    fs::write(&path, "x".repeat(1_000_000)).unwrap();
    let said = done(&home, &["export", "--output", "out.ndjson"]).out;
    assert!(said.contains(&format!("{samples} samples exported to out.ndjson")), "{said}");
    assert_eq!(lines(&fs::read_to_string(&path).unwrap()), down);
    done(&home, &["export", "--output", "new.ndjson"]);
    assert_eq!(home.path("new.ndjson").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    server.turn(Mode::Accept);
    assert_eq!(home.run(&["queue", "flush"]).code, Some(0));
    assert_eq!(server.assert_whole(), samples);
    for (exported, received) in down.iter().zip(server.received()) {
        assert_eq!(exported["agent_id"], received.agent);
        let mut exported = exported.clone();
        exported.as_object_mut().unwrap().remove("agent_id");
        assert_eq!(exported, received.sample);
    }
}

#[test]
fn export_to_a_reader_that_has_had_enough_is_no_failure() {
    let server = Server::start(Mode::Answer(503));
    let home = Home::new(&server.url(), &[]);
    let _daemon = outage(&home);
    for command in ["export", "peek", "verify"] {
        let ran = home.spawn_without_reader(&["queue", command]).end();
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{command}: {ran:?}");
    }
}

#[test]
fn verify_is_clean_while_the_daemon_delivers_and_after_it_was_killed() {
    let server = Server::start(Mode::Accept);
    let home = Home::new(&server.url(), &[]);
    let daemon = home.daemon();
    wait_until("delivery", || server.count() >= 8);
    for _ in 0..10 {
        let verdict = done(&home, &["verify", "--json"]).json();
        assert_eq!([&verdict["running"], &verdict["clean"]], [true, true], "{verdict:#}");
    }
    server.turn(Mode::Answer(503));
    wait_until("entries wait", || home.stats()["queue"]["samples"].as_u64() >= Some(SOME));
    daemon.kill();
    let verdict = done(&home, &["verify", "--json"]).json();
    assert_eq!([&verdict["running"], &verdict["clean"]], [false, true], "{verdict:#}");
    assert!(done(&home, &["verify"]).out.contains("clean: "));
    let stats = home.stats();
    assert_eq!(verdict["samples"], stats["queue"]["samples"]);
    assert_eq!(verdict["ledger"], stats["ledger"]);
    assert_eq!(verdict["agent_id"], stats["agent_id"]);
}

#[test]
fn verify_of_a_damaged_queue_ends_with_1_and_changes_nothing() {
    let server = Server::start(Mode::Answer(503));
    let home = Home::new(&server.url(), &[]);
    assert_eq!(outage(&home).stop().code, Some(0));
    let database = home.path("buffer/gen-00000000000000000001/db");
    let mut bytes = fs::read(&database).unwrap();
    let end = bytes.len() / 2;
    bytes[..end].fill(0);
    fs::write(&database, &bytes).unwrap();
    let ran = home.run(&["queue", "verify", "--json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("the queue is damaged"), "{ran:?}");
    assert!(!ran.err.contains("panicked"), "{ran:?}");
    let verdict = ran.json();
    assert_eq!(verdict["clean"], false);
    assert!(!verdict["problems"].as_array().unwrap().is_empty());
    assert_eq!(home.run(&["queue", "verify"]).code, Some(1));
    assert_eq!(fs::read(&database).unwrap(), bytes);
    assert!(!home.path("buffer/quarantine").exists());
}

#[test]
fn purge_says_what_it_would_do_and_does_it_when_told() {
    up_and_down(|home, up| {
        let queued = |home: &Home| home.stats()["queue"]["samples"].as_u64().unwrap();
        let before = queued(home);
        assert!(before > 0);
        let said = done(home, &["purge", "--all"]).out;
        assert!(said.starts_with("would purge ") && said.contains("nothing was removed"), "{said}");
        let said = done(home, &["purge", "--older-than", "7d"]).out;
        assert_eq!(said, "nothing would be purged\n");
        assert!(queued(home) >= before);
        let purged = home.stats()["ledger"]["dropped"]["purged"].as_u64().unwrap();
        // A sleep of the machine may lie between: all that is sure is that nothing is a week old.
        let ran = done(home, &["purge", "--older-than", "7d", "--yes", "--json"]).json();
        assert_eq!(ran, json!({"purged": true, "samples": 0, "bytes": 0}));
        let would = done(home, &["purge", "--older-than", "1ms", "--json"]).json();
        assert_eq!(would["purged"], false);
        let ran = done(home, &["purge", "--older-than", "1ms", "--yes", "--json"]).json();
        assert!(ran["samples"].as_u64() >= would["samples"].as_u64(), "{ran} {would}");
        let gone = ran["samples"].as_u64().unwrap();
        assert!(gone >= before);
        assert_eq!(home.stats()["ledger"]["dropped"]["purged"], purged + gone);
        if up {
            // The daemon goes on behind it.
            wait_until("entries wait", || queued(home) >= SOME);
            let gone = done(home, &["purge", "--all", "--yes"]).out;
            assert!(gone.starts_with("purged "), "{gone}");
            wait_until("entries wait", || queued(home) >= SOME);
        } else {
            assert_eq!(queued(home), 0);
            assert_eq!(done(home, &["purge", "--all", "--yes"]).out, "nothing was purged\n");
        }
    });
}

#[test]
fn purge_while_a_batch_is_in_flight_is_survived_by_the_forwarder() {
    let server = Server::start(Mode::Hang);
    let home = Home::new(&server.url(), &[]);
    let daemon = outage(&home);
    wait_until("a request hangs", || server.attempts() >= 1);
    done(&home, &["purge", "--all", "--yes"]);
    server.turn(Mode::Accept);
    let acknowledged = || home.stats()["ledger"]["acknowledged"].as_u64();
    wait_until("what came later is delivered", || acknowledged() >= Some(8));
    assert_eq!(daemon.stop().code, Some(0));
    let purged = home.stats()["ledger"]["dropped"]["purged"].as_u64();
    assert!(purged >= Some(SOME), "{purged:?}");
}

#[test]
fn wrong_words_are_wrong_usage() {
    let home = Home::new("http://127.0.0.1:9", &[]);
    for words in [
        &["purge"][..],
        &["purge", "--yes"],
        &["purge", "--all", "--older-than", "1d"],
        &["purge", "--older-than", "yesterday"],
        &["purge", "--older-than", "0s"],
        &["peek", "-n", "0"],
        &["peek", "-n", "10001"],
        &["peek", "-n", "-1"],
        &["dead-letters"],
        &["dead-letters", "show"],
        &["dead-letters", "show", "one"],
        &["dead-letters", "retry"],
        &["dead-letters", "retry", "1", "--all"],
        &["dead-letters", "purge", "--yes"],
    ] {
        let ran = home.run(&[&["queue"], words].concat());
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{words:?}: {ran:?}");
    }
    for words in [&["peek"][..], &["export"], &["verify"], &["purge", "--all", "--yes"]] {
        let ran = home.run(&[&["queue"], words].concat());
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{words:?}: {ran:?}");
        assert!(ran.err.contains("there is no queue in ./buffer yet"), "{ran:?}");
    }
    assert!(!home.path("buffer").exists());
}

#[test]
fn tools_beside_a_daemon_that_does_not_answer_end_with_75() {
    let server = Server::start(Mode::Answer(503));
    let home = Home::new(&server.url(), &[]);
    let daemon = outage(&home);
    fs::remove_file(home.path("buffer/control.sock")).unwrap();
    for words in [&["peek"][..], &["export"], &["verify"], &["purge", "--all", "--yes"]] {
        let ran = home.run(&[&["queue"], words].concat());
        assert_eq!(ran.code, Some(75), "{words:?}: {ran:?}");
        assert!(ran.err.contains(&daemon.pid().to_string()), "{ran:?}");
    }
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().code, Some(0));
}

/// Runs as root alone; as anybody else there is nobody whose identity could be taken.
#[test]
fn root_beside_a_stopped_daemon_leaves_nothing_to_itself() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let server = Server::start(Mode::Answer(503));
    let home = Home::new(&server.url(), &[]);
    assert_eq!(outage(&home).stop().code, Some(0));
    refuse(&home, 2);
    fs::set_permissions(home.path(""), fs::Permissions::from_mode(0o711)).unwrap();
    give(&home.path("buffer"), NOBODY);
    fs::remove_file(home.path("buffer/lock")).unwrap();
    done(&home, &["verify"]);
    done(&home, &["peek"]);
    // The output is whoever's that asked for it, wherever the queue's owner may write.
    done(&home, &["export", "--output", "config/out.ndjson"]);
    assert_eq!(home.path("config/out.ndjson").metadata().unwrap().uid(), 0);
    done(&home, &["dead-letters", "retry", "1"]);
    done(&home, &["dead-letters", "purge", "2", "--yes"]);
    done(&home, &["purge", "--older-than", "1ms", "--yes"]);
    done(&home, &["purge", "--all", "--yes"]);
    assert_owner(&home.path("buffer"), NOBODY);
}

fn below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] });
    found.chain([directory.to_owned()]).collect()
}

fn give(directory: &Path, owner: u32) {
    for path in below(directory) {
        std::os::unix::fs::chown(path, Some(owner), Some(owner)).unwrap();
    }
}

fn assert_owner(directory: &Path, owner: u32) {
    for path in below(directory) {
        assert_eq!(path.metadata().unwrap().uid(), owner, "{}", path.display());
    }
}
