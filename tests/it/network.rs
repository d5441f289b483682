//! A bad stretch of network between daemon and receiver: slow, narrow, cut, silent. Nothing is
//! lost, little is repeated, and delivery goes on by itself when the weather clears.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    process::{Home, Process, wait_until},
    relay::{Relay, Weather},
    server::{Mode, Server},
};

struct Stretch {
    server: Server,
    relay: Relay,
    home: Home,
    daemon: Process,
}

/// A daemon that has delivered over the relay in clear weather.
fn stretch(settings: &[(&str, Value)]) -> Stretch {
    let server = Server::start(Mode::Accept);
    let relay = Relay::to(server.address);
    let home = Home::new(&relay.url(), settings);
    let daemon = home.daemon();
    wait_until("delivery", || server.count() >= 4);
    Stretch { server, relay, home, daemon }
}

impl Stretch {
    fn struck(&self, times: u64) {
        wait_until("the weather strikes", || self.relay.struck() >= times);
    }

    /// All that is queued now arrives once the weather is clear; how many samples there are.
    fn clears(&self) -> u64 {
        self.relay.turn(Weather::Clear);
        let queued = self.home.stats()["ledger"]["enqueued"].as_u64().unwrap();
        wait_until("delivery again", || self.server.count() as u64 >= queued);
        queued
    }

    /// The keys of all requests that the server had, in order.
    fn keys(&self) -> Vec<String> {
        let key = |head: &str| {
            Some(head.lines().find_map(|line| line.strip_prefix("idempotency-key: "))?.to_owned())
        };
        self.server.requests().iter().filter_map(|(head, _)| key(head)).collect()
    }

    /// Ends the daemon; how many samples came more than once.
    fn end(self) -> usize {
        assert_eq!(self.daemon.stop().code, Some(0));
        assert_eq!(self.home.stats()["ledger"]["dropped"]["overflow"], 0);
        self.server.assert_whole();
        self.server.received().len() - self.server.count()
    }
}

#[test]
fn latency_delays_and_repeats_nothing() {
    let stretch = stretch(&[]);
    let before = stretch.relay.connections();
    stretch.relay.turn(Weather::Latency(Duration::from_millis(300)));
    stretch.struck(8);
    stretch.clears();
    assert_eq!(stretch.relay.connections(), before, "the connection is kept");
    assert_eq!(stretch.end(), 0);
}

#[test]
fn narrow_link_carries_everything_once() {
    let stretch = stretch(&[("forwarder.batch.max_bytes", json!("4KB"))]);
    stretch.relay.turn(Weather::Bandwidth(40_000));
    stretch.struck(20);
    stretch.clears();
    assert_eq!(stretch.end(), 0);
}

#[test]
fn resets_of_requests_lose_nothing() {
    let stretch = stretch(&[]);
    stretch.relay.turn(Weather::Reset);
    stretch.struck(5);
    stretch.clears();
    // Of the one that was on its way when the weather turned, the answer may have met it.
    let mut keys = stretch.keys();
    let all = keys.len();
    keys.dedup();
    assert!(all - keys.len() <= 1, "more than one request came again");
    stretch.end();
}

#[test]
fn resets_of_answers_repeat_the_same_batch_under_its_key() {
    let stretch = stretch(&[]);
    stretch.relay.turn(Weather::ResetAnswers);
    stretch.struck(8);
    stretch.clears();
    let mut keys = stretch.keys();
    let all = keys.len();
    keys.dedup();
    assert!(keys.len() < all, "none was repeated");
    let repeated = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), repeated, "a key came back after another one");
    assert!(stretch.end() > 0);
}

#[test]
fn black_hole_is_noticed_at_the_timeout_and_left_by_a_new_connection() {
    for weather in [Weather::BlackHole, Weather::AnswersVanish] {
        let stretch = stretch(&[("forwarder.timeout", json!("300ms"))]);
        let before = stretch.relay.connections();
        stretch.relay.turn(weather);
        stretch.struck(3);
        wait_until("it is noticed", || {
            let stats = stretch.home.stats();
            stats["forwarder"]["last_error"]
                .as_str()
                .is_some_and(|text| text.contains("within 0.3 s"))
        });
        stretch.clears();
        assert!(stretch.relay.connections() > before);
        stretch.end();
    }
}

#[test]
fn proxies_named_in_the_environment_are_ignored() {
    let (server, proxy) = (Server::start(Mode::Accept), Server::start(Mode::Answer(503)));
    let home = Home::new(&server.url(), &[]);
    let names =
        ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let set: String = names.map(|name| format!("export {name}={}; ", proxy.url())).concat();
    let daemon = home.spawn_behind(&format!("{set} exec \"$0\" \"$@\""), &["run"]);
    wait_until("delivery", || server.count() >= 4);
    assert_eq!(home.run(&["check", "--connect"]).code, Some(0));
    assert_eq!(daemon.stop().code, Some(0));
    assert_eq!(proxy.attempts(), 0);
}
