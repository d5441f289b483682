//! Outages of every kind, restarts within them, and a queue that is full.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use collector::{
    clock::SystemClock,
    queue::{self, Options, Overflow, Sync},
    sample::{Cpu, Metrics, Origin, Sample},
};
use serde_json::{Value, json};

use crate::support::{
    process::{Home, wait_until},
    server::{Mode, Server},
};

/// Lets a daemon fill its queue while `fail` is in force, then has it delivered.
fn recovers_from(fail: impl FnOnce(&mut Server), recover: impl FnOnce(&mut Server)) {
    let mut server = Server::start(Mode::Accept);
    let home = Home::new(&server.url(), &[("forwarder.timeout", json!("500ms"))]);
    let daemon = home.daemon();
    wait_until("delivery begins", || server.count() >= 4);
    fail(&mut server);
    wait_until("the queue grows", || home.stats()["queue"]["samples"].as_u64() >= Some(12));
    let failures = || home.stats()["forwarder"]["consecutive_failures"].as_u64();
    wait_until("attempts fail", || failures() >= Some(2));
    let stats = home.stats();
    assert_ne!(stats["forwarder"]["last_error"], json!(null));
    recover(&mut server);
    let enqueued = stats["ledger"]["enqueued"].as_u64().unwrap();
    wait_until("everything is delivered", || server.count() as u64 > enqueued);
    wait_until("the forwarder says so", || home.stats()["forwarder"]["last_error"] == json!(null));
    server.assert_whole();
    let ended = daemon.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(ended.err.matches("delivery fails").count(), 1, "{}", ended.err);
    assert_eq!(ended.err.matches("delivery works again").count(), 1, "{}", ended.err);
    assert!(ended.err.contains("dropped=0"), "{}", ended.err);
}

#[test]
fn refused_connections_lose_nothing() {
    recovers_from(Server::stop, |server| server.resume(Mode::Accept));
}

#[test]
fn answers_of_503_lose_nothing() {
    recovers_from(|server| server.turn(Mode::Answer(503)), |server| server.turn(Mode::Accept));
}

#[test]
fn server_that_never_answers_loses_nothing() {
    recovers_from(|server| server.turn(Mode::Hang), |server| server.turn(Mode::Accept));
}

#[test]
fn restart_goes_on_with_sequence_and_agent_id() {
    let mut server = Server::start(Mode::Accept);
    let home = Home::new(&server.url(), &[]);
    // Once with a queue that ran empty, once with one that didn't.
    for round in 1..=4 {
        let daemon = home.daemon();
        let before = server.count();
        if round % 2 == 0 {
            server.stop();
            wait_until("entries wait", || home.stats()["queue"]["samples"].as_u64() >= Some(4));
        } else {
            server.resume(Mode::Accept);
            wait_until("entries arrive", || server.count() >= before + 4);
        }
        assert_eq!(daemon.stop().code, Some(0));
    }
    server.resume(Mode::Accept);
    let flushed = home.run(&["queue", "flush"]);
    assert_eq!(flushed.code, Some(0), "{flushed:?}");
    let stats = home.stats();
    assert_eq!(server.assert_whole(), stats["ledger"]["enqueued"].as_u64().unwrap());
    assert_eq!(json!(server.received()[0].agent), stats["agent_id"]);
}

/// A sample of about `size` bytes.
fn sample(size: usize) -> Sample {
    let origin = Origin { host: "x".repeat(size), ..Origin::default() };
    Sample {
        timestamp: jiff::Timestamp::now(),
        since_boot: None,
        origin: Arc::new(origin),
        interval: Duration::from_secs(5),
        metrics: Metrics::Cpu(Cpu::default()),
    }
}

/// Fills the queue of `home` up to its cap.
fn fill(home: &Home, overflow: Overflow) {
    let options = Options {
        directory: home.path("buffer"),
        max_bytes: 8_000_000,
        min_free_bytes: 0,
        overflow,
        max_age: None,
        sync: Sync::Every(Duration::from_mins(1)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let clock = Arc::new(SystemClock);
    let machine = std::fs::read_to_string("/etc/machine-id").ok();
    let queue = queue::open(options, machine.as_deref().map(str::trim), clock, Duration::ZERO);
    let queue = queue.unwrap();
    while queue.stats.borrow().ledger.dropped.overflow == 0 {
        let samples = (0..50).map(|_| sample(3_000)).collect();
        let _counted = runtime.block_on(queue.producer.enqueue(samples)).unwrap();
    }
}

/// The ranges of which the server was told that they were lost at the cap.
fn losses(server: &Server) -> Vec<(u64, u64)> {
    let told = |(_, body): (String, Value)| body["losses"].as_array().cloned().unwrap_or_default();
    let all = server.requests().into_iter().flat_map(told);
    let of_cap = all.filter(|loss| loss["reason"] == "overflow");
    let range =
        |loss: Value| (loss["first_seq"].as_u64().unwrap(), loss["last_seq"].as_u64().unwrap());
    of_cap.map(range).collect()
}

#[test]
fn full_queue_drops_the_oldest_and_delivers_the_rest() {
    let mut server = Server::start(Mode::Accept);
    server.stop();
    let home = Home::new(&server.url(), &[("buffer.max_size", json!("8MB"))]);
    fill(&home, Overflow::DropOldest);
    let daemon = home.daemon();
    let before = home.stats()["ledger"]["enqueued"].as_u64();
    wait_until("ticks come on top", || home.stats()["ledger"]["enqueued"].as_u64() > before);
    let stats = home.stats();
    assert!(stats["queue"]["disk_bytes"].as_u64() <= Some(8_000_000), "{stats:#}");
    let dropped = stats["ledger"]["dropped"]["overflow"].as_u64().unwrap();
    assert_eq!(stats["queue"]["first_seq"].as_u64(), Some(dropped + 1), "{stats:#}");
    let check = home.run(&["queue", "stats", "--check"]);
    assert_eq!(check.code, Some(1), "{check:?}");
    assert!(check.err.contains("dropped"), "{check:?}");
    server.resume(Mode::Accept);
    wait_until("the rest is delivered, and what was lost told", || {
        let stats = home.stats();
        stats["queue"]["samples"].as_u64() <= Some(4) && stats["unreported"]["samples"] == 0
    });
    assert_eq!(daemon.stop().code, Some(0));
    let stats = home.stats();
    let received: Vec<u64> = server.received().iter().map(|received| received.seq).collect();
    let dropped = stats["ledger"]["dropped"]["overflow"].as_u64().unwrap();
    let distinct: BTreeSet<_> = received.iter().copied().collect();
    assert!(received.is_sorted(), "in order, repeated or not");
    // What didn't come is what the server was told of, and that is what was dropped.
    let last = *distinct.last().unwrap();
    let missing: Vec<_> = (1..=last).filter(|seq| !distinct.contains(seq)).collect();
    let told = losses(&server);
    let is_told = |seq: &u64| told.iter().any(|(first, last)| (*first..=*last).contains(seq));
    assert!(missing.iter().all(is_told), "{missing:?} isn't {told:?}");
    // What gave way while it was on its way may have arrived all the same.
    assert!(missing.len() as u64 <= dropped, "{missing:?} {stats:#}");
    assert!(stats["queue"]["disk_bytes"].as_u64() < Some(3_000_000), "{stats:#}");
}

#[test]
fn full_queue_refuses_the_newest_when_told_so() {
    let mut server = Server::start(Mode::Accept);
    server.stop();
    let settings = [("buffer.max_size", json!("8MB")), ("buffer.overflow", json!("drop_newest"))];
    let home = Home::new(&server.url(), &settings);
    fill(&home, Overflow::DropNewest);
    let queued = home.stats()["queue"]["samples"].clone();
    let daemon = home.daemon();
    let refused = || home.stats()["ledger"]["dropped"]["overflow"].as_u64().unwrap();
    let before = refused();
    wait_until("ticks are refused", || refused() > before + 4);
    assert_eq!(home.stats()["queue"]["samples"], queued);
    assert_eq!(home.stats()["queue"]["first_seq"], 1);
    server.resume(Mode::Accept);
    let queued = usize::try_from(queued.as_u64().unwrap()).unwrap();
    wait_until("what waited and what comes now is delivered", || server.count() > queued + 8);
    drop(daemon);
}
