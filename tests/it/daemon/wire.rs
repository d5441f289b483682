//! What arrives at a server, as the contract draws it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::{
    process::{Home, wait_until},
    server::{Mode, Server},
};

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

#[test]
fn all_kinds_arrive_in_the_shape_of_the_contract() {
    let server = Server::start(Mode::Accept);
    let home = Home::new(
        &server.url(),
        &[
            ("collector.api_key", json!("canary-k3y")),
            ("collector.hostname", json!("web-1")),
            ("collector.tags", json!({"site": "seoul"})),
            ("metrics.disk.interval", json!("100ms")),
            ("metrics.agent.interval", json!("100ms")),
        ],
    );
    let daemon = home.daemon();
    wait_until("fifteen samples", || server.count() >= 15);
    let agent_id = home.stats()["agent_id"].clone();
    let mut kinds = BTreeMap::new();
    for (head, body) in server.requests() {
        assert!(head.starts_with("post /api/v1/metrics http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-type: application/json\r\n"), "{head}");
        assert!(head.contains("\r\nx-api-key: canary-k3y\r\n"), "{head}");
        let agent = concat!("\r\nuser-agent: collector/", env!("CARGO_PKG_VERSION"), "\r\n");
        assert!(head.contains(agent), "{head}");
        assert_eq!(keys(&body), BTreeSet::from(["schema", "agent", "samples"]));
        assert_eq!(body["schema"], 1);
        let expected = json!({"id": agent_id, "version": env!("CARGO_PKG_VERSION")});
        assert_eq!(body["agent"], expected);
        let samples = body["samples"].as_array().unwrap();
        let [first, last] = [&samples[0]["seq"], &samples[samples.len() - 1]["seq"]];
        let key = format!("\r\nidempotency-key: \"{}:{first}-{last}:", agent_id.as_str().unwrap());
        assert!(head.contains(&key), "{head}");
        for sample in samples {
            assert_envelope(sample);
            kinds.insert(sample["kind"].as_str().unwrap().to_owned(), sample["metrics"].clone());
        }
    }
    server.assert_whole();
    assert_eq!(kinds.len(), 5, "{kinds:?}");
    assert_figures(&kinds);
    assert_own_figures(&kinds["agent"]);
    drop(daemon);
}

fn assert_own_figures(agent: &Value) {
    assert_has(agent, &["process", "queue", "ledger", "forwarder", "clock"]);
    let process = &agent["process"];
    assert!(process["memory"].as_u64().unwrap() > 1_000_000, "{process}");
    assert!(process["uptime"].as_f64().unwrap() < 3_600.0, "{process}");
    assert!(process["cpu_utilization"].as_f64().unwrap() >= 0.0, "{process}");
    let ledger = &agent["ledger"];
    let count = |name: &str| ledger[name].as_u64().unwrap();
    let queued = agent["queue"]["samples"].as_u64().unwrap();
    assert_eq!(count("enqueued"), count("acknowledged") + queued, "{agent}");
    assert!(agent["forwarder"]["attempts"].as_u64().unwrap() >= 1, "{agent}");
    assert_eq!(agent["forwarder"]["failures"], 0);
    assert_eq!(agent["clock"], json!({"steps": 0, "last_step": null}));
}

fn assert_envelope(sample: &Value) {
    let expected = ["seq", "timestamp", "host", "tags", "interval", "kind", "metrics"];
    let of_the_boot = ["boot_id", "uptime"];
    assert_eq!(keys(sample), expected.into_iter().chain(of_the_boot).collect());
    assert_eq!(sample["boot_id"].as_str().map(str::len), Some(36));
    assert!(sample["uptime"].as_f64().unwrap() > 0.0);
    assert_eq!(sample["host"], "web-1");
    assert_eq!(sample["tags"], json!({"site": "seoul"}));
    assert_eq!(sample["interval"], 0.1);
    let timestamp = sample["timestamp"].as_str().unwrap();
    assert!(timestamp.ends_with('Z') && timestamp.parse::<jiff::Timestamp>().is_ok());
    assert_eq!(timestamp.len(), "2026-11-22T19:11:32.123456Z".len());
}

#[track_caller]
fn assert_has(figures: &Value, expected: &[&str]) {
    for key in expected {
        assert!(figures.get(key).is_some(), "{key} is missing: {figures:#}");
    }
}

fn assert_figures(kinds: &BTreeMap<String, Value>) {
    let cpu = &kinds["cpu"];
    assert_has(cpu, &["utilization", "logical_count", "load_average", "time", "cpus"]);
    assert!(cpu["logical_count"].as_u64().unwrap() >= 1);
    assert_has(&cpu["cpus"][0], &["id", "utilization", "time"]);
    let memory = &kinds["memory"];
    assert_has(memory, &["total", "used", "free", "available", "utilization", "swap"]);
    let [total, used, available] =
        ["total", "used", "available"].map(|key| memory[key].as_u64().unwrap());
    assert_eq!(used, total - available);
    assert_has(&kinds["disk"], &["filesystems", "devices"]);
    assert_has(&kinds["network"], &["interfaces", "connections"]);
    if cfg!(target_os = "linux") {
        let load = &cpu["load_average"];
        assert_eq!(keys(load), BTreeSet::from(["1m", "5m", "15m"]));
        assert_has(&cpu["time"], &["user", "nice", "system", "idle", "iowait", "softirq", "steal"]);
        assert_has(memory, &["buffers", "cached"]);
        assert!(kinds["network"]["connections"]["tcp"]["listen"].as_u64().unwrap() >= 1);
    }
}
