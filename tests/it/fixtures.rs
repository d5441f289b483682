//! Does this version open the queues that earlier versions left? Each `tests/fixtures/queue-v…` is
//! the directory of a real run that was killed, with what its samples must look like.

use std::{fs, path::Path};

use collector::{
    encode::{Compression, Encoder as _, Limits, json::Json},
    queue::Attached,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    queue::{assert_balanced, open, options},
    support::copy_tree,
};

#[tokio::test]
async fn queue_of_the_first_format_is_read_whole() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/queue-v1");
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("buffer");
    copy_tree(&fixture.join("buffer"), &directory);
    let mut queue = open(options(&directory));
    let before = queue.stats.borrow().clone();
    assert_eq!((before.ledger.enqueued, before.ledger.acknowledged), (160, 64));
    assert_eq!(before.ledger.dropped.total(), 0);
    let entries = queue.consumer.peek(1_000, 1 << 20).await.unwrap();
    let limits = Limits { max_samples: 1_000, max_bytes: 1 << 20 };
    let body = Json::new(Compression::None).encode(&entries, limits, &Attached::default()).body;
    let body: Value = serde_json::from_slice(&body).unwrap();
    let samples = body["samples"].as_array().unwrap();
    let expected = fs::read_to_string(fixture.join("expected.ndjson")).unwrap();
    let expected: Vec<Value> =
        expected.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(samples.len(), expected.len());
    for (sample, mut expected) in samples.iter().zip(expected) {
        let agent_id = expected.as_object_mut().unwrap().remove("agent_id");
        assert_eq!(Some(&body["agent"]["id"]), agent_id.as_ref());
        assert_holds(sample, &expected);
    }
    queue.consumer.acknowledge(&entries).await.unwrap();
    assert_balanced(&queue);
    assert_eq!(queue.stats.borrow().queue.samples, 0);
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
