//! `kill -9` again and again, in outages and while entries leave: what `queue stats` once called
//! enqueued is delivered in the end, contiguous, and no number carries two contents.
//! `COLLECTOR_KILL_ROUNDS` sets the count, `COLLECTOR_KILL_SEED` repeats a run.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    process::{Home, let_pass, wait_until},
    server::{Mode, Server},
};

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

fn enqueued(stats: &Value) -> u64 {
    stats["ledger"]["enqueued"].as_u64().unwrap()
}

/// Kills a daemon after a random while; `watched` adds what its figures said right before.
fn round(home: &Home, random: &mut fastrand::Rng, known: u64) -> u64 {
    let daemon = home.daemon();
    let_pass(Duration::from_millis(random.u64(0..300)));
    let known = if random.bool() { known.max(enqueued(&home.stats())) } else { known };
    daemon.kill();
    known
}

#[test]
fn fifty_kills_lose_and_repeat_nothing() {
    let rounds = from_environment("COLLECTOR_KILL_ROUNDS").unwrap_or(50);
    let seed = from_environment("COLLECTOR_KILL_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("COLLECTOR_KILL_ROUNDS={rounds} COLLECTOR_KILL_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut server = Server::start(Mode::Accept);
    // Requests of a few samples each, so that kills fall between them and within a packed value.
    let settings = [("forwarder.batch.max_samples", json!(3))];
    let home = Home::new(&server.url(), &settings);
    let mut known = 0;
    for number in 1..=rounds {
        // Mostly an outage; now and then the server is there, and kills meet acknowledgements.
        if number % 4 == 0 {
            server.resume(Mode::Accept);
        } else {
            server.stop();
        }
        known = round(&home, &mut random, known);
        if random.u8(0..4) == 0 {
            let stats = home.stats();
            assert!(enqueued(&stats) >= known, "seed {seed}: {known} were enqueued: {stats:#}");
            known = enqueued(&stats);
        }
    }
    server.resume(Mode::Accept);
    let daemon = home.daemon();
    wait_until("everything is delivered", || server.count() as u64 > known);
    assert_eq!(daemon.stop().code, Some(0));
    let flushed = home.run(&["queue", "flush"]);
    assert_eq!(flushed.code, Some(0), "seed {seed}: {flushed:?}");
    let stats = home.stats();
    assert_eq!(stats["queue"]["samples"], 0, "seed {seed}: {stats:#}");
    let nothing = json!({"overflow": 0, "expired": 0, "corrupt": 0, "purged": 0});
    assert_eq!(stats["ledger"]["dropped"], nothing, "seed {seed}: {stats:#}");
    assert_eq!(server.assert_whole(), enqueued(&stats), "seed {seed}");
    assert_eq!(stats["ledger"]["acknowledged"], stats["ledger"]["enqueued"], "seed {seed}");
    assert!(!home.path("buffer/quarantine").exists(), "seed {seed}: a generation was damaged");
}
