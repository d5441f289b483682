//! `collector.interval`, `collector.hostname`, `collector.tags` and `metrics`: what is sampled, how
//! often, and under which name.

use std::{collections::BTreeMap, time::Duration};

use glob::Pattern;

use super::{defaults, expand::escape, reader::Reader};
use crate::{collect, sample::Group, sampler};

const MIN_INTERVAL: Duration = Duration::from_millis(100);
const MAX_INTERVAL: Duration = Duration::from_hours(24);
const MOST_TAGS: usize = 32;
const MOST_TAG_BYTES: usize = 4096;
/// The longest name that DNS allows, and more than any kernel's.
const LONGEST_HOSTNAME: usize = 253;

pub(super) fn collect(reader: &mut Reader<'_>) -> collect::Options {
    let allowed = MIN_INTERVAL..=MAX_INTERVAL;
    let inherited = reader.duration("collector.interval", defaults::INTERVAL, allowed.clone());
    let mut groups = Vec::new();
    for group in Group::ALL {
        let default = if group == Group::Disk { defaults::DISK_INTERVAL } else { inherited };
        let key = |name: &str| format!("metrics.{group}.{name}");
        let enabled = reader.flag(&key("enabled"), defaults::GROUP_ENABLED);
        let interval = reader.duration(&key("interval"), default, allowed.clone());
        if enabled {
            groups.push((group, interval));
        }
    }
    if groups.is_empty() {
        reader.warnings.push("metrics: every group is switched off, nothing is collected".into());
    }
    collect::Options { groups }
}

pub(super) fn sampler(reader: &mut Reader<'_>) -> sampler::Options {
    sampler::Options {
        per_cpu: reader.flag("metrics.cpu.per_cpu", defaults::PER_CPU),
        exclude_types: globs(reader, "metrics.disk.exclude_types", &defaults::EXCLUDE_TYPES),
        exclude_mounts: globs(reader, "metrics.disk.exclude_mounts", &defaults::EXCLUDE_MOUNTS),
        exclude_devices: globs(reader, "metrics.disk.exclude_devices", &defaults::EXCLUDE_DEVICES),
        exclude_interfaces: globs(
            reader,
            "metrics.network.exclude_interfaces",
            &defaults::EXCLUDE_INTERFACES,
        ),
        connections: reader.flag("metrics.network.connections", defaults::CONNECTIONS),
    }
}

fn globs(reader: &mut Reader<'_>, path: &str, default: &[&str]) -> Vec<Pattern> {
    let mut globs = Vec::new();
    for text in reader.texts(path, default) {
        match Pattern::new(&text) {
            Ok(_) if text.is_empty() => reader.refuse(path, "an empty glob matches nothing"),
            Ok(glob) => globs.push(glob),
            Err(error) => {
                let message =
                    format!("{text:?} is no glob ({}); allowed are *, ?, [a-z]", error.msg);
                reader.refuse(path, message);
            }
        }
    }
    globs
}

/// The configured name; empty: to be detected.
pub(super) fn hostname(reader: &mut Reader<'_>) -> String {
    const PATH: &str = "collector.hostname";
    let name = reader.text(PATH).unwrap_or_default();
    if name.len() > LONGEST_HOSTNAME {
        reader.refuse(PATH, format!("is too long; at most {LONGEST_HOSTNAME} bytes"));
    }
    if name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        reader.refuse(PATH, "must not hold blanks or control characters");
    }
    if name.is_empty() {
        reader.effective.set(PATH, "");
    }
    name
}

/// The labels of every sample.
pub(super) fn tags(reader: &mut Reader<'_>) -> BTreeMap<String, String> {
    const PATH: &str = "collector.tags";
    let table = reader.table(PATH);
    for (key, value, line) in &table {
        if key.is_empty() {
            reader.refuse_at(PATH, *line, "a tag needs a name");
        }
        if key.chars().chain(value.chars()).any(char::is_control) {
            reader.refuse_at(PATH, *line, "a tag must not hold control characters");
        }
    }
    if table.len() > MOST_TAGS {
        reader.refuse(PATH, format!("{} tags are too many; at most {MOST_TAGS}", table.len()));
    }
    let bytes: usize = table.iter().map(|(key, value, _)| key.len() + value.len()).sum();
    if bytes > MOST_TAG_BYTES {
        reader.refuse(PATH, format!("{bytes} bytes are too many; at most 4KiB, names included"));
    }
    let tags: BTreeMap<_, _> = table.into_iter().map(|(key, value, _)| (key, value)).collect();
    let shown: BTreeMap<_, _> = tags.iter().map(|(key, value)| (key, escape(value))).collect();
    reader.effective.set(PATH, shown);
    tags
}
