//! The native protocol: schema 1 of `POST /api/v1/metrics`. Serialises each sample once, straight
//! into the body; it never changes a figure. A time that the wall clock told wrongly is put right, with
//! what was recorded beside it.

use serde::Serialize;
use uuid::Uuid;

use super::{Compression, Encoder, Limits, Request, seal};
use crate::{
    clock::Moment,
    queue::{Attached, Entry, Loss, Lost, Reason},
    sample::Line,
};

/// The path of the protocol, for a URL that has none.
pub const DEFAULT_PATH: &str = "/api/v1/metrics";
/// Media type of the body.
pub const CONTENT_TYPE: &str = "application/json";
/// The version of the body's layout.
pub const SCHEMA: u32 = 1;

/// What closes a body that [`open`] began.
const CLOSE: &[u8] = b"]}";
/// First guess of a body's size, so that a usual batch grows the buffer a few times only.
const ROOM: usize = 16 * 1024;

/// Encoder of the native protocol.
#[derive(Debug, Clone, Copy)]
pub struct Json {
    compression: Compression,
}

impl Json {
    /// An encoder that compresses bodies by `compression`.
    #[must_use]
    pub fn new(compression: Compression) -> Self {
        Self { compression }
    }
}

impl Encoder for Json {
    fn encode(&self, entries: &[Entry], limits: Limits, attached: &Attached) -> Request {
        let agent_id = entries.first().map_or(Uuid::nil(), |entry| entry.agent_id);
        let mut body = open(agent_id, &attached.losses);
        let mut samples = 0;
        for entry in entries.iter().take(limits.max_samples.max(1)) {
            if entry.agent_id != agent_id {
                break;
            }
            let fits = body.len();
            append(&mut body, (entry, &attached.clocks), samples > 0);
            if samples > 0 && body.len() + CLOSE.len() > limits.max_bytes {
                body.truncate(fits);
                break;
            }
            samples += 1;
        }
        body.extend_from_slice(CLOSE);
        seal(body, CONTENT_TYPE, &entries[..samples], self.compression)
    }
}

/// The body up to the first sample.
fn open(agent_id: Uuid, losses: &[Loss]) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let mut body = Vec::with_capacity(ROOM);
    body.extend_from_slice(
        format!(r#"{{"schema":{SCHEMA},"agent":{{"id":"{agent_id}","version":"{version}"}},"#)
            .as_bytes(),
    );
    if !losses.is_empty() {
        let start = body.len();
        let losses: Vec<_> = losses.iter().map(|loss| LossLine::new(loss, agent_id)).collect();
        body.extend_from_slice(br#""losses":"#);
        match serde_json::to_writer(&mut body, &losses) {
            Ok(()) => body.push(b','),
            Err(_) => body.truncate(start),
        }
    }
    body.extend_from_slice(br#""samples":["#);
    body
}

/// One element of `losses`.
#[derive(Serialize)]
struct LossLine {
    reason: Reason,
    first_seq: u64,
    last_seq: u64,
    count: u64,
    /// Where it isn't the agent's of now.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<Uuid>,
}

impl LossLine {
    fn new(loss: &Loss, agent_id: Uuid) -> Self {
        let Lost { agent_id: of, reason, first_seq, last_seq, count } = loss.lost;
        Self { reason, first_seq, last_seq, count, agent_id: Some(of).filter(|of| *of != agent_id) }
    }
}

fn append(body: &mut Vec<u8>, (entry, clocks): (&Entry, &Moment), separated: bool) {
    if separated {
        body.push(b',');
    }
    let start = body.len();
    let right = clocks.put_right(&Moment::of(&entry.sample));
    let line = Line::new(&entry.sample).numbered(entry.seq).put_right(right);
    if serde_json::to_writer(&mut *body, &line).is_err() {
        // Only figures that JSON can't say fail here, and such a sample must not bar the queue.
        body.truncate(start);
        if serde_json::to_writer(&mut *body, &line.without_figures()).is_err() {
            body.truncate(start);
            body.extend_from_slice(b"null");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read as _, sync::Arc, time::Duration};

    use serde_json::Value;

    use super::*;
    use crate::sample::{Memory, Metrics, Origin, Sample};

    const AGENT: Uuid = Uuid::from_u128(0x8e03_978e_40d5_43e8_bc93_6894_a57f_9324);

    fn entry(seq: u64) -> Entry {
        let origin = Origin {
            host: "web-1".into(),
            tags: BTreeMap::from([("role".into(), "\"front\"\n".into())]),
            boot_id: [0; 16],
        };
        let sample = Sample {
            timestamp: "2026-11-22T19:11:32.12345678Z".parse().unwrap(),
            since_boot: None,
            origin: Arc::new(origin),
            interval: Duration::from_millis(500),
            metrics: Metrics::Memory(Memory::default()),
        };
        Entry { seq, agent_id: AGENT, bytes: 1, sample: Arc::new(sample) }
    }

    fn entries(count: u64) -> Vec<Entry> {
        (41..41 + count).map(entry).collect()
    }

    fn limits(max_samples: usize, max_bytes: usize) -> Limits {
        Limits { max_samples, max_bytes }
    }

    fn plain(entries: &[Entry], limits: Limits) -> Request {
        Json::new(Compression::None).encode(entries, limits, &Attached::default())
    }

    #[test]
    fn body_is_schema_1_to_the_letter() {
        let request = plain(&entries(1), limits(500, 1_000_000));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let metrics = serde_json::to_value(Memory::default()).unwrap();
        let expected = serde_json::json!({
            "schema": 1,
            "agent": {"id": AGENT.to_string(), "version": env!("CARGO_PKG_VERSION")},
            "samples": [{
                "seq": 41, "timestamp": "2026-11-22T19:11:32.123456Z", "host": "web-1",
                "tags": {"role": "\"front\"\n"}, "interval": 0.5, "kind": "memory",
                "metrics": metrics,
            }],
        });
        assert_eq!(body, expected);
        assert_eq!((request.content_type, request.content_encoding), ("application/json", None));
    }

    #[test]
    fn boot_and_time_since_boot_stand_beside_the_wall_clock() {
        let mut entry = entry(41);
        let sample = Arc::make_mut(&mut entry.sample);
        sample.since_boot = Some(Duration::from_millis(17_250));
        Arc::make_mut(&mut sample.origin).boot_id = *AGENT.as_bytes();
        let request = plain(&[entry], limits(500, 1_000_000));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["samples"][0]["boot_id"], AGENT.to_string());
        assert_eq!(body["samples"][0]["uptime"], 17.25);
    }

    #[test]
    fn losses_stand_before_the_samples_and_name_another_agent_only() {
        let lost = |agent_id, first_seq, reason| Lost {
            agent_id,
            reason,
            first_seq,
            last_seq: first_seq + 9,
            count: 7,
        };
        let other = Uuid::from_u128(3);
        let losses = [lost(AGENT, 1, Reason::Overflow), lost(other, 20, Reason::DeadLettered)];
        let losses = losses.map(|lost| Loss::for_test(1, lost)).to_vec();
        let attached = Attached { losses, ..Attached::default() };
        let encoder = Json::new(Compression::None);
        let request = encoder.encode(&entries(1), limits(500, 1_000_000), &attached);
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let expected = serde_json::json!([
            {"reason": "overflow", "first_seq": 1, "last_seq": 10, "count": 7},
            {"reason": "dead_lettered", "first_seq": 20, "last_seq": 29, "count": 7,
             "agent_id": other.to_string()},
        ]);
        assert_eq!((&body["losses"], body["samples"].as_array().unwrap().len()), (&expected, 1));
    }

    #[test]
    fn key_names_agent_range_and_crc_of_the_uncompressed_body() {
        let plain = plain(&entries(3), limits(500, 1_000_000));
        let crc = crc32fast::hash(&plain.body);
        assert_eq!(plain.idempotency_key, format!("\"{AGENT}:41-43:{crc:08x}\""));
        for compression in [Compression::Gzip, Compression::Zstd] {
            let packed = Json::new(compression).encode(
                &entries(3),
                limits(500, 1_000_000),
                &Attached::default(),
            );
            assert_eq!(packed.idempotency_key, plain.idempotency_key);
        }
    }

    #[test]
    fn compressed_body_unpacks_to_the_plain_one_and_never_varies() {
        let entries = entries(50);
        let plain = plain(&entries, limits(500, 1_000_000));
        for (compression, name) in [(Compression::Gzip, "gzip"), (Compression::Zstd, "zstd")] {
            let encoder = Json::new(compression);
            let packed = encoder.encode(&entries, limits(500, 1_000_000), &Attached::default());
            let mut unpacked = Vec::new();
            match compression {
                Compression::Gzip => {
                    flate2::read::GzDecoder::new(&*packed.body).read_to_end(&mut unpacked).unwrap();
                }
                _ => unpacked = zstd::decode_all(&*packed.body).unwrap(),
            }
            assert_eq!(unpacked, plain.body);
            assert_eq!(packed.content_encoding, Some(name));
            assert!(packed.body.len() < plain.body.len());
            assert_eq!(
                packed,
                encoder.encode(&entries, limits(500, 1_000_000), &Attached::default())
            );
        }
    }

    #[test]
    fn batch_is_the_longest_prefix_within_both_limits() {
        let entries = entries(20);
        assert_eq!(plain(&entries, limits(7, 1_000_000)).samples, 7);
        let whole = plain(&entries, limits(500, 1_000_000));
        assert_eq!((whole.samples, whole.first_seq, whole.last_seq), (20, 41, 60));
        let one = plain(&entries[..1], limits(500, 1_000_000)).body.len();
        for max_bytes in [one, 2 * one, 5 * one, whole.body.len() - 1, whole.body.len()] {
            let cut = plain(&entries, limits(500, max_bytes));
            assert!(cut.body.len() <= max_bytes);
            let longer = plain(&entries, limits(cut.samples + 1, 1_000_000));
            assert!(cut.samples == 20 || longer.body.len() > max_bytes);
            serde_json::from_slice::<Value>(&cut.body).unwrap();
        }
    }

    #[test]
    fn oversized_sample_goes_alone() {
        let request = plain(&entries(3), limits(500, 1));
        assert_eq!((request.samples, request.last_seq), (1, 41));
        serde_json::from_slice::<Value>(&request.body).unwrap();
    }

    #[test]
    fn request_never_mixes_agent_ids() {
        let mut entries = entries(4);
        entries[2].agent_id = Uuid::from_u128(1);
        assert_eq!(plain(&entries, limits(500, 1_000_000)).samples, 2);
        let rest = plain(&entries[2..], limits(500, 1_000_000));
        assert_eq!(rest.samples, 1);
        assert!(rest.idempotency_key.starts_with("\"00000000-0000-0000-0000-000000000001:43-43:"));
    }

    #[test]
    fn no_entries_make_a_request_without_samples() {
        let request = plain(&[], limits(500, 1_000_000));
        assert_eq!(request.samples, 0);
        serde_json::from_slice::<Value>(&request.body).unwrap();
    }
}
