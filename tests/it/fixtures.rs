//! Does this version open the queues that earlier versions left? Each `tests/fixtures/queue-v…` is
//! the directory of a real run that was killed, with what its samples must look like.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use collector::{
    encode::{Compression, Encoder as _, Limits, json::Json},
    queue::{Attached, Queue, Reason},
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    queue::{assert_balanced, open, options},
    support::copy_tree,
};

/// A fixture's directory, and a copy of its queue.
fn copied(name: &str) -> (PathBuf, tempfile::TempDir) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let home = tempfile::tempdir().unwrap();
    copy_tree(&fixture.join("buffer"), &home.path().join("buffer"));
    (fixture, home)
}

/// Takes everything out and compares the samples of `expected.ndjson` with it, which may be some of
/// them; the sequence numbers that were found.
async fn drained(queue: &mut Queue, fixture: &Path) -> Vec<u64> {
    let expected = fs::read_to_string(fixture.join("expected.ndjson")).unwrap();
    let mut expected: BTreeMap<u64, Value> = expected
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .map(|sample: Value| (sample["seq"].as_u64().unwrap(), sample))
        .collect();
    let limits = Limits { max_samples: 1_000, max_bytes: 1 << 24 };
    let mut seqs = Vec::new();
    loop {
        let entries = queue.consumer.peek(1_000, 1 << 24).await.unwrap();
        if entries.is_empty() {
            assert!(expected.is_empty(), "missing: {:?}", expected.keys());
            return seqs;
        }
        let body = Json::new(Compression::None).encode(&entries, limits, &Attached::default()).body;
        let body: Value = serde_json::from_slice(&body).unwrap();
        for sample in body["samples"].as_array().unwrap() {
            let seq = sample["seq"].as_u64().unwrap();
            seqs.push(seq);
            let Some(mut expected) = expected.remove(&seq) else { continue };
            let agent_id = expected.as_object_mut().unwrap().remove("agent_id");
            assert_eq!(Some(&body["agent"]["id"]), agent_id.as_ref());
            assert_holds(sample, &expected);
        }
        queue.consumer.acknowledge(&entries).await.unwrap();
    }
}

#[tokio::test]
async fn queue_of_the_first_format_is_read_whole() {
    let (fixture, home) = copied("queue-v1");
    let mut queue = open(options(&home.path().join("buffer")));
    let before = queue.stats.borrow().clone();
    assert_eq!((before.ledger.enqueued, before.ledger.acknowledged), (160, 64));
    assert_eq!(before.ledger.dropped.total(), 0);
    assert_eq!(drained(&mut queue, &fixture).await, (65..=160).collect::<Vec<_>>());
    assert_balanced(&queue);
    assert_eq!(queue.stats.borrow().queue.samples, 0);
}

/// With blocks, losses that the server doesn't know of, a dead letter, and a request in flight.
#[tokio::test]
async fn queue_of_the_third_format_is_read_whole() {
    let (fixture, home) = copied("queue-v3");
    let mut queue = open(options(&home.path().join("buffer")));
    let before = queue.stats.borrow().clone();
    let ledger = before.ledger;
    assert_eq!((ledger.enqueued, ledger.acknowledged, ledger.dead_lettered), (664, 94, 1));
    assert_eq!((ledger.dropped.purged, ledger.dropped.total()), (31, 31));
    let dead = queue.inspector.dead_letters(0, 10).await.unwrap();
    assert_eq!((dead[0].entry.seq, dead[0].refusal.status), (5, 422));
    let losses = queue.consumer.losses(10).await.unwrap();
    let told: Vec<_> = losses.iter().map(|loss| (loss.lost.reason, loss.lost.count)).collect();
    assert_eq!(told, [(Reason::Purged, 31)]);
    let interrupted = queue.consumer.interrupted().unwrap();
    assert_eq!((interrupted.first_seq, interrupted.agent_id), (96, losses[0].lost.agent_id));
    assert_eq!(drained(&mut queue, &fixture).await, (127..=664).collect::<Vec<_>>());
    assert_balanced(&queue);
    assert_eq!(queue.stats.borrow().queue.samples, 0);
}

/// With blocks that tell records by their differences.
#[tokio::test]
async fn queue_of_the_fourth_format_is_read_whole() {
    let (fixture, home) = copied("queue-v4");
    let mut queue = open(options(&home.path().join("buffer")));
    let queued = queue.stats.borrow().queue.samples;
    let seqs = drained(&mut queue, &fixture).await;
    assert_eq!((seqs.len() as u64, queued), (seqs[seqs.len() - 1], seqs.len() as u64));
    assert_balanced(&queue);
}

/// Everything that stands in `expected` stands in `found`; figures that came later may be beside it.
fn assert_holds(found: &Value, expected: &Value) {
    match expected {
        Value::Object(fields) => {
            for (name, expected) in fields {
                assert_holds(found.get(name).unwrap_or(&Value::Null), expected);
            }
        }
        Value::Array(items) => {
            assert_eq!(found.as_array().map(Vec::len), Some(items.len()));
            items.iter().enumerate().for_each(|(at, item)| assert_holds(&found[at], item));
        }
        Value::String(text) if text.parse::<Timestamp>().is_ok() => {
            // Zeros at the end of a fraction mean nothing.
            let found: Option<Timestamp> = found.as_str().and_then(|found| found.parse().ok());
            assert_eq!(found, text.parse().ok());
        }
        value => assert_eq!(found, value),
    }
}
