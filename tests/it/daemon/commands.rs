//! `queue stats` and `queue flush`, while the daemon runs and while it doesn't.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    process::{Home, wait_until},
    server::{Mode, Server},
};

/// Runs the daemon in an outage until some entries wait, then stops it.
fn leave_entries(home: &Home) -> u64 {
    let daemon = home.daemon();
    wait_until("entries wait", || home.stats()["queue"]["samples"].as_u64() >= Some(8));
    assert_eq!(daemon.stop().code, Some(0));
    home.stats()["queue"]["samples"].as_u64().unwrap()
}

fn assert_keys(value: &Value, expected: &[&str]) {
    let found: BTreeSet<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(found, expected.iter().copied().collect());
}

fn assert_shape(stats: &Value) {
    // `last_dropped`, `unreported` and `storage` are more than the contract lists.
    let all = ["running", "pid", "version", "agent_id", "queue", "ledger", "forwarder"];
    assert_keys(stats, &[&all[..], &["last_dropped", "unreported", "storage"]].concat());
    let queue = ["samples", "bytes", "disk_bytes", "max_bytes", "first_seq", "last_seq", "oldest"];
    let more = ["newest", "capacity_seconds", "dead_letters"];
    assert_keys(&stats["queue"], &[&queue[..], &more].concat());
    assert_keys(&stats["ledger"], &["enqueued", "acknowledged", "dead_lettered", "dropped"]);
    let reasons = ["overflow", "expired", "corrupt", "purged"];
    assert_keys(&stats["ledger"]["dropped"], &reasons);
    let forwarder = ["state", "since", "last_success", "last_error", "next_attempt"];
    assert_keys(&stats["forwarder"], &[&forwarder[..], &["consecutive_failures"]].concat());
    for key in ["since", "last_success", "next_attempt"] {
        let time = &stats["forwarder"][key];
        let fraction = time.as_str().and_then(|time| time.split_once('.')).map_or("", |(_, f)| f);
        assert!(fraction.len() <= "123456Z".len(), "at most to the microsecond: {time}");
    }
    assert_eq!(stats["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(stats["queue"]["max_bytes"], 100_000_000);
    assert_eq!(stats["queue"]["dead_letters"], 0);
}

#[test]
fn stats_have_the_shape_of_the_contract_with_the_daemon_up_and_down() {
    let mut server = Server::start(Mode::Accept);
    let home = Home::new(&server.url(), &[]);
    let daemon = home.daemon();
    wait_until("delivery", || server.count() >= 8);
    wait_until("success is told", || home.stats()["forwarder"]["last_success"].is_string());
    // The rate is written down when something leaves.
    wait_until("four ticks are delivered", || server.count() >= 17);
    let up = home.stats();
    assert_shape(&up);
    assert_eq!(up["running"], true);
    assert_eq!(up["pid"], daemon.pid());
    server.stop();
    wait_until("backing off", || home.stats()["forwarder"]["state"] == "backing_off");
    let out = home.stats();
    assert_shape(&out);
    assert!(out["forwarder"]["next_attempt"].is_string() || out["forwarder"]["state"] == "sending");
    wait_until("entries wait", || home.stats()["queue"]["samples"].as_u64() >= Some(4));
    assert_eq!(daemon.stop().code, Some(0));
    let down = home.stats();
    assert_shape(&down);
    assert_eq!([&down["running"], &down["pid"]], [&json!(false), &json!(null)]);
    assert_eq!(down["forwarder"]["state"], "stopped");
    assert_eq!(down["agent_id"], up["agent_id"]);
    let queue = &down["queue"];
    let (first, last) = (queue["first_seq"].as_u64().unwrap(), queue["last_seq"].as_u64().unwrap());
    assert_eq!(last - first + 1, queue["samples"].as_u64().unwrap());
    assert_eq!(last, down["ledger"]["enqueued"].as_u64().unwrap());
    assert!(queue["oldest"].is_string() && queue["newest"].is_string(), "{queue:#}");
    assert!(queue["capacity_seconds"].as_u64() > Some(0), "{queue:#}");
}

#[test]
fn stats_for_people_say_the_same() {
    let server = Server::start(Mode::Answer(503));
    let home = Home::new(&server.url(), &[]);
    let queued = leave_entries(&home);
    let ran = home.run(&["queue", "stats"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.out.contains("not running"), "{}", ran.out);
    assert!(ran.out.contains(&format!("{queued} samples")), "{}", ran.out);
    assert!(!ran.out.contains('\x1b'), "colours without a terminal: {}", ran.out);
    assert_eq!(ran.err, "");
}

#[test]
fn what_is_unwise_about_the_configuration_is_for_run_and_check_to_say() {
    let server = Server::start(Mode::Accept);
    let plain = [("logging.file", json!("none/yet.log"))];
    let home = Home::new(&server.url(), &[]);
    drop(home.daemon());
    home.configure(&server.url(), &plain);
    let told = "logging.file: the directory none doesn't exist";
    assert!(home.run(&["check"]).out.contains(told));
    for words in [&["stats"][..], &["flush"], &["peek"], &["verify"], &["dead-letters", "list"]] {
        let ran = home.run(&[&["queue"], words].concat());
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{words:?}: {ran:?}");
    }
}

#[test]
fn flush_without_a_daemon_delivers_everything() {
    let server = Server::start(Mode::Answer(503));
    let home = Home::new(&server.url(), &[]);
    let queued = leave_entries(&home);
    server.turn(Mode::Accept);
    let flushed = home.run(&["queue", "flush", "--json"]);
    assert_eq!(flushed.code, Some(0), "{flushed:?}");
    let expected =
        json!({"outcome": "drained", "delivered": queued, "dead_lettered": 0, "dropped": 0});
    assert_eq!(flushed.json(), expected);
    assert_eq!(server.assert_whole(), queued);
    let again = home.run(&["queue", "flush"]);
    assert_eq!((again.code, again.out.as_str()), (Some(0), "nothing was queued\n"));
}

#[test]
fn flush_through_the_daemon_ends_a_backoff() {
    let server = Server::start(Mode::Answer(503));
    let settings = [
        ("forwarder.retry.initial_interval", json!("1h")),
        ("forwarder.retry.max_interval", json!("1h")),
    ];
    let home = Home::new(&server.url(), &settings);
    let daemon = home.daemon();
    wait_until("entries wait", || home.stats()["queue"]["samples"].as_u64() >= Some(8));
    wait_until("backing off", || home.stats()["forwarder"]["state"] == "backing_off");
    server.turn(Mode::Accept);
    let enqueued = home.stats()["ledger"]["enqueued"].as_u64().unwrap();
    let flushed = home.run(&["queue", "flush", "--json"]);
    assert_eq!(flushed.code, Some(0), "{flushed:?}");
    assert!(server.assert_whole() >= enqueued);
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn flush_that_runs_out_of_time_says_what_is_left_and_loses_nothing() {
    let server = Server::start(Mode::Answer(503));
    let home = Home::new(&server.url(), &[]);
    let queued = leave_entries(&home);
    let down = home.run(&["queue", "flush", "--timeout", "300ms"]);
    assert_eq!(down.code, Some(75), "{down:?}");
    assert!(down.err.contains(&format!("{queued} still queued")), "{down:?}");
    assert!(down.err.contains("503"), "{down:?}");
    assert_eq!(down.err.lines().count(), 1, "what happened is said once: {down:?}");
    let daemon = home.daemon();
    let up = home.run(&["queue", "flush", "--timeout", "300ms", "--json"]);
    assert_eq!(up.code, Some(75), "{up:?}");
    assert_eq!(up.json()["outcome"], "timed_out");
    server.turn(Mode::Accept);
    wait_until("delivery", || server.count() as u64 > queued);
    drop(daemon);
    server.assert_whole();
}

#[test]
fn flush_whose_daemon_ends_says_what_is_left_and_ends_with_75() {
    let server = Server::start(Mode::Answer(503));
    let settings = [
        ("forwarder.retry.initial_interval", json!("1h")),
        ("forwarder.retry.max_interval", json!("1h")),
    ];
    for signal in [Signal::TERM, Signal::KILL] {
        let home = Home::new(&server.url(), &settings);
        let daemon = home.daemon();
        wait_until("backing off", || home.stats()["forwarder"]["state"] == "backing_off");
        let attempts = server.attempts();
        let flush = home.spawn(&["queue", "flush"]);
        wait_until("the daemon has heard of the flush", || server.attempts() > attempts);
        daemon.signal(signal);
        daemon.end();
        let ended = flush.end();
        assert_eq!((ended.code, ended.out.as_str()), (Some(75), ""), "{signal:?}: {ended:?}");
        assert!(ended.err.contains("still queued, none lost"), "{signal:?}: {ended:?}");
        assert_eq!(ended.err.lines().count(), 1, "{signal:?}: {ended:?}");
    }
}

#[test]
fn queue_commands_beside_a_daemon_that_is_stopped_end_with_75() {
    let server = Server::start(Mode::Accept);
    let home = Home::new(&server.url(), &[]);
    let daemon = home.daemon();
    daemon.signal(Signal::STOP);
    let commands = ["stats", "flush", "peek", "verify"];
    let waiting: Vec<_> = commands.iter().map(|command| home.spawn(&["queue", command])).collect();
    for command in waiting {
        let ended = command.end();
        assert_eq!((ended.code, ended.out.as_str()), (Some(75), ""), "{ended:?}");
        assert!(ended.err.contains("doesn't answer"), "{ended:?}");
        assert!(ended.err.contains("buffer/control.sock"), "{ended:?}");
    }
    daemon.signal(Signal::CONT);
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn queue_commands_say_so_where_there_is_no_queue() {
    let home = Home::new("http://127.0.0.1:9", &[]);
    for command in [&["queue", "stats"][..], &["queue", "stats", "--json"], &["queue", "flush"]] {
        let ran = home.run(command);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
        assert!(ran.err.contains("there is no queue in ./buffer yet"), "{ran:?}");
    }
    assert!(!home.path("buffer").exists());
}

#[test]
fn check_is_content_with_a_healthy_daemon() {
    let server = Server::start(Mode::Accept);
    let home = Home::new(&server.url(), &[]);
    let _daemon = home.daemon();
    wait_until("delivery", || server.count() >= 8);
    let checked = home.run(&["queue", "stats", "--check"]);
    assert_eq!((checked.code, checked.out.as_str()), (Some(0), "ok\n"), "{checked:?}");
}

#[test]
fn watching_in_json_is_one_object_a_line() {
    let server = Server::start(Mode::Accept);
    let home = Home::new(&server.url(), &[]);
    let _daemon = home.daemon();
    let watch = home.spawn(&["queue", "stats", "--json", "--watch"]);
    wait_until("two lines", || watch.output().lines().count() >= 2);
    for line in watch.output().lines() {
        assert_shape(&serde_json::from_str(line).unwrap());
    }
}
