//! Signals: the end comes within 5 s whatever the server does, and loses nothing.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::{
    process::{Home, wait_until},
    server::{Mode, Server},
};

/// Sends `signals` to a daemon with a request in flight to a server that never answers.
fn ends(signals: &[Signal], patience: Duration) {
    let server = Server::start(Mode::Hang);
    let home = Home::new(&server.url(), &[]);
    let daemon = home.daemon();
    wait_until("a request is in flight", || server.attempts() >= 1);
    wait_until("entries wait", || home.stats()["queue"]["samples"].as_u64() >= Some(8));
    let known = home.stats()["ledger"]["enqueued"].as_u64();
    for signal in signals {
        daemon.signal(*signal);
        wait_until("the signal is heard", || daemon.log().contains("asked to stop"));
    }
    let (took, ended) = daemon.end_within(patience);
    assert_eq!(ended.code, Some(0), "after {took:?}: {}", ended.err);
    assert!(ended.err.contains("collector stops; queue statistics"), "{}", ended.err);
    let stats = home.stats();
    assert!(stats["ledger"]["enqueued"].as_u64() >= known, "{stats:#}");
    assert_eq!(stats["queue"]["samples"], stats["ledger"]["enqueued"], "nothing has left");
    for figure in ["enqueued", "acknowledged"] {
        let told = format!(" {figure}={}", stats["ledger"][figure]);
        assert!(ended.err.contains(&told), "{told}: {}", ended.err);
    }
    assert!(!home.path("buffer/control.sock").exists());
}

#[test]
fn sigterm_with_a_dead_server_ends_within_five_seconds() {
    ends(&[Signal::TERM], Duration::from_secs(5));
}

#[test]
fn sigint_with_a_dead_server_ends_within_five_seconds() {
    ends(&[Signal::INT], Duration::from_secs(5));
}

#[test]
fn second_signal_ends_at_once() {
    ends(&[Signal::TERM, Signal::TERM], Duration::from_millis(1_500));
}

#[test]
fn request_in_flight_may_still_end_well() {
    let server = Server::start(Mode::Accept);
    let home = Home::new(&server.url(), &[]);
    let daemon = home.daemon();
    wait_until("delivery", || server.count() >= 8);
    let ended = daemon.stop();
    assert_eq!(ended.code, Some(0));
    let acknowledged = home.stats()["ledger"]["acknowledged"].as_u64().unwrap();
    assert_eq!(server.assert_whole(), acknowledged, "{}", ended.err);
}

#[test]
fn storm_of_signals_ends_well_and_loses_nothing() {
    let server = Server::start(Mode::Hang);
    let home = Home::new(&server.url(), &[]);
    let daemon = home.daemon();
    wait_until("entries wait", || home.stats()["queue"]["samples"].as_u64() >= Some(8));
    let known = home.stats()["ledger"]["enqueued"].as_u64();
    for _ in 0..50 {
        for signal in [Signal::HUP, Signal::TERM, Signal::INT] {
            daemon.signal(signal);
        }
    }
    let (took, ended) = daemon.end_within(Duration::from_secs(5));
    assert_eq!(ended.code, Some(0), "after {took:?}: {}", ended.err);
    assert!(ended.err.contains("collector stops; queue statistics"), "{}", ended.err);
    assert!(home.stats()["ledger"]["enqueued"].as_u64() >= known);
}

/// Rounds of each kind; more by `SHUTDOWN_ROUNDS`, for the figure in the documentation.
fn rounds() -> usize {
    std::env::var("SHUTDOWN_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap())
}

#[test]
fn every_stop_ends_within_five_seconds_whatever_the_server_does() {
    let kinds = [("dead", None), ("hanging", Some(Mode::Hang)), ("accepting", Some(Mode::Accept))];
    for (name, mode) in kinds {
        let server = Server::start(mode.unwrap_or(Mode::Accept));
        let url = mode.map_or("http://127.0.0.1:9".into(), |_| server.url());
        let mut took: Vec<Duration> = Vec::new();
        for _ in 0..rounds() {
            let home = Home::new(&url, &[]);
            let before = server.attempts();
            let daemon = home.daemon();
            wait_until("it delivers, or tries", || match mode {
                Some(_) => server.attempts() > before,
                None => daemon.log().contains("delivery fails"),
            });
            daemon.signal(Signal::TERM);
            let (time, ended) = daemon.end_within(Duration::from_secs(5));
            assert_eq!(ended.code, Some(0), "{name}, after {time:?}: {}", ended.err);
            took.push(time);
        }
        took.sort_unstable();
        let at = |share: usize| took[(took.len() * share).div_ceil(100) - 1];
        println!("{name}: p50 {:?}, p99 {:?}, longest {:?}", at(50), at(99), at(100));
    }
}
