//! `collector.interval`, `collector.hostname`, `collector.tags` and `metrics`: what is sampled, how
//! often, and under which name.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use glob::Pattern;

use super::{defaults, expand::escape, reader::Reader, values};
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
        let default = match group {
            Group::Disk => defaults::DISK_INTERVAL,
            Group::Agent => defaults::AGENT_INTERVAL,
            Group::Cpu | Group::Memory | Group::Network => inherited,
        };
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
    let disk = |kind: &str| format!("metrics.disk.{kind}");
    let types =
        filter(reader, &disk("include_types"), &disk("exclude_types"), &defaults::EXCLUDE_TYPES);
    let mounts =
        filter(reader, &disk("include_mounts"), &disk("exclude_mounts"), &defaults::EXCLUDE_MOUNTS);
    let devices = filter(
        reader,
        &disk("include_devices"),
        &disk("exclude_devices"),
        &defaults::EXCLUDE_DEVICES,
    );
    let network = |kind: &str| format!("metrics.network.{kind}");
    let (include, exclude) = (network("include_interfaces"), network("exclude_interfaces"));
    let interfaces = filter(reader, &include, &exclude, &defaults::EXCLUDE_INTERFACES);
    sampler::Options {
        host_root: sampler::HostRoot(host_root(reader)),
        per_cpu: reader.flag("metrics.cpu.per_cpu", defaults::PER_CPU),
        include_types: types.0,
        exclude_types: types.1,
        include_mounts: mounts.0,
        exclude_mounts: mounts.1,
        include_devices: devices.0,
        exclude_devices: devices.1,
        include_interfaces: interfaces.0,
        exclude_interfaces: interfaces.1,
        connections: reader.flag("metrics.network.connections", defaults::CONNECTIONS),
    }
}

/// Globs that let in and globs that leave out. Whoever says what to let in means that: the default
/// of what is left out doesn't count then.
fn filter(
    reader: &mut Reader<'_>,
    include: &str,
    exclude: &str,
    default: &[&str],
) -> (Vec<Pattern>, Vec<Pattern>) {
    let included = globs(reader, include, &[]);
    let default = if included.is_empty() { default } else { &[] };
    (included, globs(reader, exclude, default))
}

/// The directory where a container sees the host's root; none outside of containers.
fn host_root(reader: &mut Reader<'_>) -> Option<PathBuf> {
    const PATH: &str = "metrics.host_root";
    let text = reader.text(PATH).filter(|text| !text.is_empty());
    let Some(text) = text else {
        reader.effective.set(PATH, "");
        return None;
    };
    if !cfg!(target_os = "linux") {
        reader.refuse(PATH, "only Linux has this; leave it empty");
    } else if !text.starts_with('/') || text.contains('\0') {
        reader.refuse(PATH, "must be an absolute path, /host say");
    } else if !Path::new(&text).join("proc").is_dir() {
        // No error: it may be mounted later.
        reader.warnings.push(format!("{PATH}: there is no directory {text}/proc"));
    }
    // The root itself is where the files are anyway.
    Some(PathBuf::from(text)).filter(|root| root.as_os_str() != "/")
}

fn globs(reader: &mut Reader<'_>, path: &str, default: &[&str]) -> Vec<Pattern> {
    let mut globs = Vec::new();
    for (scalar, line) in reader.texts(path, default) {
        let text = &scalar.expanded.text;
        match Pattern::new(text) {
            Ok(_) if text.is_empty() => {
                reader.refuse_at(path, line, "an empty glob matches nothing");
            }
            Ok(glob) => globs.push(glob),
            Err(error) => {
                let text = values::quoted(&scalar);
                let message = format!("{text} is no glob ({}); allowed are *, ?, [a-z]", error.msg);
                reader.refuse_at(path, line, message);
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
