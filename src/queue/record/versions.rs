//! The payloads of all format versions that this program reads. Version 1 is bincode of every field;
//! version 2 tells the figures as [`Sample`]'s own packed bytes.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};
use uuid::Uuid;

use super::{DecodeError, Record, unpack};
use crate::sample::{Origin, Sample, v1};

/// The payload of version 2.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    agent_id: [u8; 16],
    boot_id: [u8; 16],
    host: String,
    tags: BTreeMap<String, String>,
    figures: Bytes,
}

/// The payload of version 1.
#[derive(Deserialize)]
struct First {
    agent_id: Uuid,
    #[serde(deserialize_with = "v1::deserialize")]
    sample: Sample,
}

impl From<Record> for Stored {
    fn from(record: Record) -> Self {
        let Origin { host, tags, boot_id } = (*record.sample.origin).clone();
        let agent_id = record.agent_id.into_bytes();
        Self { agent_id, boot_id, host, tags, figures: Bytes(record.sample.pack()) }
    }
}

impl TryFrom<Stored> for Record {
    type Error = &'static str;

    fn try_from(stored: Stored) -> Result<Self, Self::Error> {
        let Stored { agent_id, boot_id, host, tags, figures } = stored;
        let origin = Arc::new(Origin { host, tags, boot_id });
        let sample = Sample::unpack(origin, &figures.0).map_err(|_| "no figures")?;
        Ok(Self { agent_id: Uuid::from_bytes(agent_id), sample })
    }
}

/// The record in a payload of `version`, which isn't later than this program.
pub(super) fn read(version: u8, payload: &[u8]) -> Result<Record, DecodeError> {
    if version > 1 {
        return unpack(payload);
    }
    let First { agent_id, sample } = unpack(payload)?;
    Ok(Record { agent_id, sample })
}

/// Bytes that serde passes on as a whole, not one by one; the encoding is the same.
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Whole;

        impl Visitor<'_> for Whole {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
        }

        from.deserialize_byte_buf(Whole)
    }
}
