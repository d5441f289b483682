//! The real daemon against all faults, one after the other: the ledger, the memory, the descriptors.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};

use crate::support::{
    Scripted, Step,
    faults::{Fate, Fault, faults},
    hold_on,
    process::{Home, Process, wait_until},
    say,
};

const TAKEN: &str = "HTTP/1.1 204 No Content\r\n\r\n";
/// How many requests are answered well before the first fault.
const WARM: usize = 10;
/// What the faults together may cost.
const MOST_KIB: u64 = 2048;

fn well(times: usize) -> Vec<Step> {
    vec![[Step::Read, say(TAKEN)]; times].into_flattened()
}

/// A figure of `/proc/PID/status`, in KiB or bare.
fn figure(daemon: &Process, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

fn descriptors(daemon: &Process) -> usize {
    fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count()
}

/// The numbers of the samples that the server has taken.
fn taken(server: &Scripted, faults: &[Fault]) -> BTreeSet<u64> {
    let accepts = |connection: usize| {
        let fault = connection.checked_sub(1).and_then(|index| faults.get(index));
        fault.is_none_or(|fault| fault.fate == Fate::Accepted)
    };
    let bodies = server.seen().into_iter().filter(|seen| accepts(seen.connection));
    let bodies = bodies.map(|seen| serde_json::from_slice::<Value>(&seen.body).unwrap());
    let samples = bodies.flat_map(|body| body["samples"].as_array().unwrap().clone());
    samples.map(|sample| sample["seq"].as_u64().unwrap()).collect()
}

#[test]
fn all_faults_in_a_row_lose_nothing_and_cost_no_memory() {
    let faults = faults();
    let bad = faults.iter().map(|fault| [vec![Step::Read], fault.steps.clone()].concat());
    let scripts = [well(WARM)].into_iter().chain(bad).chain([well(1_000)]);
    let server = hold_on(scripts.collect());
    let settings = [
        ("forwarder.timeout", json!("300ms")),
        ("forwarder.retry.initial_interval", json!("5ms")),
        ("forwarder.retry.max_interval", json!("20ms")),
    ];
    let home = Home::new(&server.url(), &settings);
    let daemon = home.daemon();
    wait_until("the warm-up", || server.seen().len() >= WARM);
    // From here on the peak is that of the faults.
    fs::write(format!("/proc/{}/clear_refs", daemon.pid()), "5").unwrap();
    let (before, open) = (figure(&daemon, "VmRSS:"), descriptors(&daemon));
    let last = faults.len() + 1;
    wait_until("the last fault", || server.seen().iter().any(|seen| seen.connection == last));
    let (peak, rss) = (figure(&daemon, "VmHWM:"), figure(&daemon, "VmRSS:"));
    println!("{} faults; RSS {before} KiB, then {rss}, at most {peak}", faults.len());
    assert!(peak <= before + MOST_KIB, "{before} KiB before, {peak} KiB at most");
    assert!(descriptors(&daemon) <= open + 1);
    let fired: BTreeSet<usize> = server.seen().iter().map(|seen| seen.connection).collect();
    assert!((0..=last).all(|connection| fired.contains(&connection)), "{fired:?}");
    assert_eq!(daemon.stop().code, Some(0));
    assert_eq!(home.run(&["queue", "flush"]).code, Some(0));
    let ledger = &home.stats()["ledger"];
    let enqueued = ledger["enqueued"].as_u64().unwrap();
    assert_eq!(ledger["acknowledged"], enqueued);
    assert_eq!(taken(&server, &faults), (1..=enqueued).collect());
}
