//! A sample as a JSON object, as servers, people and scripts get to see it: one place for the names and
//! units that stand around the figures.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::{Figures, Group, Sample};

/// Serialises as a sample, with what is known of its identity.
#[derive(Debug, Clone, Serialize)]
pub struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(serialize_with = "to_the_microsecond")]
    timestamp: Timestamp,
    #[serde(serialize_with = "to_the_microsecond_if_any", skip_serializing_if = "Option::is_none")]
    recorded_timestamp: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uptime: Option<f64>,
    host: &'a str,
    tags: &'a BTreeMap<String, String>,
    interval: f64,
    kind: Group,
    metrics: Option<Figures<'a>>,
}

fn to_the_microsecond<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{at:.6}"))
}

#[expect(clippy::ref_option, reason = "serde hands it over like this")]
fn to_the_microsecond_if_any<S: Serializer>(
    at: &Option<Timestamp>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => to_the_microsecond(at, to),
        None => to.serialize_none(),
    }
}

impl<'a> Line<'a> {
    /// The line of a sample without an identity.
    #[must_use]
    pub fn new(sample: &'a Sample) -> Self {
        let (boot_id, uptime) = sample.boot();
        Self {
            agent_id: None,
            seq: None,
            timestamp: sample.timestamp,
            recorded_timestamp: None,
            boot_id,
            uptime,
            host: &sample.origin.host,
            tags: &sample.origin.tags,
            interval: sample.interval.as_secs_f64(),
            kind: sample.metrics.group(),
            metrics: Some(sample.metrics.figures()),
        }
    }

    /// With the sequence number that the queue gave it.
    #[must_use]
    pub fn numbered(self, seq: u64) -> Self {
        Self { seq: Some(seq), ..self }
    }

    /// With the time that its clock should have told, if that is another, beside the one it told.
    #[must_use]
    pub fn put_right(self, right: Option<Timestamp>) -> Self {
        let recorded_timestamp = right.map(|_| self.timestamp);
        Self { timestamp: right.unwrap_or(self.timestamp), recorded_timestamp, ..self }
    }

    /// With the agent id under which it was queued.
    #[must_use]
    pub fn of(self, agent_id: Uuid) -> Self {
        Self { agent_id: Some(agent_id), ..self }
    }

    /// With `null` in the place of its figures.
    #[must_use]
    pub fn without_figures(self) -> Self {
        Self { metrics: None, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_always_has_six_decimals() {
        for (at, text) in [
            ("2026-01-01T00:00:00Z", "\"2026-01-01T00:00:00.000000Z\""),
            ("1970-01-01T00:00:00.000001Z", "\"1970-01-01T00:00:00.000001Z\""),
            ("2038-01-19T03:14:08.5Z", "\"2038-01-19T03:14:08.500000Z\""),
        ] {
            let mut out = Vec::new();
            let mut json = serde_json::Serializer::new(&mut out);
            to_the_microsecond(&at.parse().unwrap(), &mut json).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
