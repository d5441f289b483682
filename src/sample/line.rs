//! A sample as a line of JSON, as people and scripts get to see it: the names and units of the wire.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::{Figures, Group, Sample};

/// Serialises as a sample, with the identity that the queue gave it if there is one.
#[derive(Debug, Clone, Serialize)]
pub struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(serialize_with = "to_the_microsecond")]
    timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uptime: Option<f64>,
    host: &'a str,
    tags: &'a BTreeMap<String, String>,
    interval: f64,
    kind: Group,
    metrics: Figures<'a>,
}

fn to_the_microsecond<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{at:.6}"))
}

impl<'a> Line<'a> {
    /// The line of `sample`; `identity` is its agent id and its sequence number.
    #[must_use]
    pub fn new(sample: &'a Sample, identity: Option<(Uuid, u64)>) -> Self {
        let (boot_id, uptime) = sample.boot();
        Self {
            agent_id: identity.map(|(agent_id, _)| agent_id),
            seq: identity.map(|(_, seq)| seq),
            timestamp: sample.timestamp,
            boot_id,
            uptime,
            host: &sample.origin.host,
            tags: &sample.origin.tags,
            interval: sample.interval.as_secs_f64(),
            kind: sample.metrics.group(),
            metrics: sample.metrics.figures(),
        }
    }
}
