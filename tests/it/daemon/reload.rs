//! SIGHUP: what of a new configuration a running agent takes over, what it says of the rest, and
//! that a wrong one changes nothing.

use std::{fs, time::Duration};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    process::{Home, Process, wait_until},
    server::{Mode, Server},
};

const DONE: &str = "the new configuration is in force";
const REFUSED: &str = "the new configuration is refused";

/// Has the daemon read its configuration, and waits for its verdict, the `times`th of its kind.
fn reload(daemon: &Process, verdict: &str, times: usize) {
    daemon.signal(Signal::HUP);
    wait_until(verdict, || daemon.log().matches(verdict).count() == times);
}

fn queued(home: &Home) -> u64 {
    home.stats()["queue"]["samples"].as_u64().unwrap()
}

#[test]
fn server_interval_and_tags_change_without_a_restart_and_nothing_is_lost() {
    let (mut old, new) = (Server::start(Mode::Accept), Server::start(Mode::Accept));
    let home = Home::new(&old.url(), &[]);
    let daemon = home.daemon();
    wait_until("delivery", || old.count() >= 4);
    old.stop();
    wait_until("entries wait", || queued(&home) >= 8);
    let settings = [
        ("collector.tags.site", json!("seoul")),
        ("metrics.disk.enabled", json!(false)),
        ("metrics.network.interval", json!("1d")),
        ("forwarder.compression", json!("none")),
    ];
    home.configure(&new.url(), &settings);
    reload(&daemon, DONE, 1);
    let log = daemon.log();
    for key in ["collector.server_url", "collector.tags.site", "metrics.disk.enabled"] {
        assert!(log.contains(&format!("changed key={key} ")), "{key}: {log}");
    }
    assert!(!log.contains("key=forwarder.compression"), "{log}");
    let tagged = |sample: &Value| sample["tags"]["site"] == "seoul";
    wait_until("the new server gets samples of the new kind", || {
        new.received().iter().filter(|received| tagged(&received.sample)).count() >= 8
    });
    let network = |received: &crate::support::server::Received| {
        tagged(&received.sample) && received.sample["kind"] == "network"
    };
    assert_eq!(new.received().iter().filter(|received| network(received)).count(), 1);
    let stopped = daemon.stop();
    assert_eq!(stopped.code, Some(0));
    assert!(stopped.err.contains("dropped=0"), "{}", stopped.err);
    let mut seqs: Vec<u64> = old.received().iter().map(|received| received.seq).collect();
    seqs.extend(new.received().iter().map(|received| received.seq));
    seqs.sort_unstable();
    seqs.dedup();
    let acknowledged = home.stats()["ledger"]["acknowledged"].as_u64().unwrap();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    assert!(seqs.len() as u64 >= acknowledged);
}

#[test]
fn wrong_configuration_is_refused_with_each_fault_and_the_old_one_goes_on() {
    let server = Server::start(Mode::Accept);
    let home = Home::new(&server.url(), &[]);
    let daemon = home.daemon();
    wait_until("delivery", || server.count() >= 4);
    let wrong = [
        ("metrics.disk.interval", json!("soon")),
        ("forwarder.batch.max_samples", json!(0)),
        ("collector.colour", json!("red")),
    ];
    home.configure(&server.url(), &wrong);
    reload(&daemon, REFUSED, 1);
    let keys = ["metrics.disk.interval", "forwarder.batch.max_samples", "collector.colour"];
    wait_until("all faults", || keys.iter().all(|key| daemon.log().contains(key)));
    let log = daemon.log();
    for key in keys {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(key)).collect();
        assert_eq!(lines.len(), 1, "{key}: {log}");
        assert!(lines[0].contains("ERROR") && lines[0].contains("collector-config.yaml:"), "{log}");
    }
    fs::remove_file(home.path("config/collector-config.yaml")).unwrap();
    reload(&daemon, REFUSED, 2);
    wait_until("the reason", || daemon.log().contains("there is no such file"));
    // One that is right by itself but names a file that can't be used.
    home.configure(&server.url(), &[("collector.api_key_file", json!("missing"))]);
    reload(&daemon, REFUSED, 3);
    let before = server.count();
    wait_until("delivery goes on", || server.count() >= before + 8);
    assert!(!daemon.log().contains(DONE));
    assert_eq!(daemon.stop().code, Some(0));
    server.assert_whole();
}

#[test]
fn what_a_running_agent_cannot_take_over_is_named_and_the_rest_is_in_force() {
    let server = Server::start(Mode::Accept);
    let home = Home::new(&server.url(), &[]);
    let daemon = home.daemon();
    wait_until("delivery", || server.count() >= 4);
    let fixed = [
        ("buffer.directory", json!("elsewhere")),
        ("buffer.max_size", json!("9MB")),
        ("logging.file", json!("other.log")),
        ("logging.level", json!("DEBUG")),
    ];
    home.configure(&server.url(), &fixed);
    reload(&daemon, DONE, 1);
    // They are said again as long as they differ from what is in force; what was taken over isn't.
    reload(&daemon, DONE, 2);
    let log = daemon.log();
    for key in ["buffer.directory", "buffer.max_size", "control.socket", "logging.file"] {
        let told = format!("takes effect after a restart key={key} ");
        assert_eq!(log.matches(&told).count(), 2, "{key}: {log}");
    }
    assert_eq!(log.matches("changed key=logging.level ").count(), 1, "{log}");
    assert!(!home.path("elsewhere").exists() && !home.path("other.log").exists());
    home.configure(&server.url(), &[]);
    reload(&daemon, DONE, 3);
    assert_eq!(daemon.log().matches("takes effect after a restart").count(), 8);
    assert_eq!(home.stats()["pid"], daemon.pid());
    assert_eq!(daemon.stop().code, Some(0));
    server.assert_whole();
}

#[test]
fn level_of_the_log_follows_the_configuration() {
    let server = Server::start(Mode::Accept);
    let home = Home::new(&server.url(), &[("logging.level", json!("ERROR"))]);
    let daemon = home.spawn(&["run"]);
    wait_until("delivery", || server.count() >= 4);
    assert_eq!(daemon.log(), "");
    home.configure(&server.url(), &[("logging.level", json!("INFO"))]);
    reload(&daemon, DONE, 1);
    assert!(daemon.stop().err.contains("collector stops"));
}

#[test]
fn new_key_in_the_configuration_or_the_env_file_ends_a_hold_at_once() {
    let server = Server::start(Mode::Accept);
    server.want_key("the-right-one");
    let settings = |key: &str| {
        // A long first interval would pace what waits behind the first request as well.
        [("collector.api_key", json!(key)), ("forwarder.retry.max_interval", json!("1h"))]
    };
    let home = Home::new(&server.url(), &settings("${KEY}"));
    fs::write(home.path(".env"), "KEY=canary-wrong\n").unwrap();
    let daemon = home.daemon();
    let held = || home.stats()["forwarder"]["state"] == "held";
    wait_until("held", held);
    fs::write(home.path(".env"), "KEY=the-right-one\n").unwrap();
    reload(&daemon, DONE, 1);
    wait_until("the hold ends", || server.count() >= 8);
    assert!(daemon.log().contains("changed key=collector.api_key "), "{}", daemon.log());
    home.configure(&server.url(), &settings("canary-other"));
    reload(&daemon, DONE, 2);
    wait_until("held again", held);
    home.configure(&server.url(), &settings("the-right-one"));
    reload(&daemon, DONE, 3);
    let all = home.stats()["ledger"]["enqueued"].as_u64().unwrap();
    wait_until("all is delivered", || server.count() as u64 >= all);
    let log = daemon.stop().err;
    assert!(!log.contains("canary") && !log.contains("the-right-one"), "{log}");
    server.assert_whole();
}

#[test]
fn reload_ends_a_backoff_and_a_request_that_hangs() {
    let server = Server::start(Mode::Hang);
    let slow = [("forwarder.retry.initial_interval", json!("1h"))];
    let slow = [slow[0].clone(), ("forwarder.retry.max_interval", json!("1h"))];
    let home = Home::new(&server.url(), &slow);
    let daemon = home.daemon();
    wait_until("a request is in flight", || server.attempts() >= 1);
    reload(&daemon, DONE, 1);
    wait_until("another one is in flight", || server.attempts() >= 2);
    // Its end is unknown: the same request again, though more is queued by now.
    let requests = server.requests();
    assert_eq!(requests[1], requests[0]);
    server.turn(Mode::Answer(503));
    wait_until("backing off", || home.stats()["forwarder"]["state"] == "backing_off");
    server.turn(Mode::Accept);
    reload(&daemon, DONE, 2);
    wait_until("delivery", || server.count() >= 1);
    assert_eq!(daemon.stop().code, Some(0));
    server.assert_whole();
}

#[test]
fn reloads_without_end_lose_nothing_and_do_not_delay_the_stop() {
    let server = Server::start(Mode::Accept);
    let home = Home::new(&server.url(), &[]);
    let daemon = home.daemon();
    for round in 1..=20 {
        let tags = [("collector.tags.round", json!(round.to_string()))];
        home.configure(&server.url(), &tags);
        reload(&daemon, DONE, round);
    }
    wait_until("samples of the last kind", || {
        server.received().iter().any(|received| received.sample["tags"]["round"] == "20")
    });
    server.turn(Mode::Hang);
    let before = server.attempts();
    wait_until("a request hangs", || server.attempts() > before);
    daemon.signal(Signal::HUP);
    wait_until("it is being read", || {
        daemon.log().matches("read the configuration anew").count() > 20
    });
    daemon.signal(Signal::TERM);
    let (took, ended) = daemon.end_within(Duration::from_secs(5));
    assert_eq!(ended.code, Some(0), "after {took:?}: {}", ended.err);
    server.assert_whole();
}
