//! What a configuration that was read anew changes, key by key, and which of it a running agent can
//! take over. Secrets are compared, never shown.

use secrecy::ExposeSecret as _;

use super::{Config, reader::MASK};
use crate::transport::http::{ApiKey, KeySource};

/// What is in use from the start to the end of a process: the queue with its lock, the socket that
/// tools look for, the place of the log.
const FROM_THE_START: [&str; 4] = ["buffer.", "control.", "logging.file", "logging.format"];

/// What stands for a key that one of the two doesn't have.
const ABSENT: &str = "none";

/// A key with another value than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key path, `metrics.disk.interval` say.
    pub key: String,
    /// The value before; a secret is masked.
    pub from: String,
    /// The value now; a secret is masked.
    pub to: String,
}

impl Change {
    /// Whether a running agent can take it over; else it needs a restart.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !FROM_THE_START.iter().any(|fixed| self.key.starts_with(fixed))
    }
}

impl Config {
    /// What `new` changes, in the order of its keys.
    #[must_use]
    pub fn changes(&self, new: &Self) -> Vec<Change> {
        let (old_values, new_values) = (self.effective.flat(), new.effective.flat());
        let value = |values: &[(String, String)], key: &str| {
            let found = values.iter().find(|(known, _)| known == key);
            found.map_or_else(|| ABSENT.to_owned(), |(_, value)| value.clone())
        };
        let gone =
            old_values.iter().filter(|(key, _)| new_values.iter().all(|(new, _)| new != key));
        let keys = new_values.iter().chain(gone).map(|(key, _)| key);
        keys.map(|key| Change {
            key: key.clone(),
            from: value(&old_values, key),
            to: value(&new_values, key),
        })
        .filter(|change| change.from != change.to || self.has_other_secret(new, change))
        .collect()
    }

    /// Whether a value that is masked on both sides is another one.
    fn has_other_secret(&self, new: &Self, change: &Change) -> bool {
        if !change.to.contains(MASK) {
            return false;
        }
        match change.key.strip_prefix("forwarder.headers.") {
            Some(_) => self.http.headers != new.http.headers,
            None if change.key == "collector.api_key" => secret(self) != secret(new),
            None => false,
        }
    }
}

fn secret(config: &Config) -> Option<&str> {
    match &config.http.api_key {
        Some(ApiKey { source: KeySource::Value(secret), .. }) => Some(secret.expose_secret()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Environment, parse};

    fn config(text: &str) -> Config {
        parse(Path::new("c.yaml"), text.as_bytes(), &Environment::new(|_| None)).unwrap()
    }

    fn changes(old: &str, new: &str) -> Vec<(String, String, String)> {
        let changes = config(old).changes(&config(new));
        changes.into_iter().map(|Change { key, from, to }| (key, from, to)).collect()
    }

    #[test]
    fn changes_are_told_by_key_with_both_values() {
        let old =
            "collector: {interval: 5s, tags: {rack: a}}\nmetrics: {disk: {exclude_mounts: []}}";
        let new =
            "collector: {interval: 5, tags: {site: b}}\nmetrics: {disk: {exclude_mounts: [x, y]}}";
        let expected = [
            ("collector.tags.site", ABSENT, "b"),
            ("metrics.disk.exclude_mounts", "[]", "[x, y]"),
            ("collector.tags.rack", "a", ABSENT),
        ];
        let expected = expected.map(|(key, from, to)| (key.into(), from.into(), to.into()));
        assert_eq!(changes(old, new), expected);
        assert!(changes(old, old).is_empty());
    }

    #[test]
    fn another_secret_is_a_change_and_is_not_shown() {
        let text = |key: &str| format!("collector: {{api_key: {key}}}");
        assert!(changes(&text("one"), &text("one")).is_empty());
        let told = changes(&text("one"), &text("two"));
        assert_eq!(told, [("collector.api_key".into(), MASK.into(), MASK.into())]);
        let text = |key: &str| format!("forwarder: {{headers: {{X-Token: {key}}}}}");
        assert_eq!(changes(&text("one"), &text("two"))[0].0, "forwarder.headers.x-token");
    }

    #[test]
    fn what_is_in_use_from_the_start_is_not_live() {
        let new = "buffer: {directory: x}\nlogging: {file: y, level: DEBUG}";
        let changes = config("").changes(&config(new));
        let live: Vec<_> =
            changes.iter().map(|change| (change.key.as_str(), change.is_live())).collect();
        let expected = [
            ("buffer.directory", false),
            ("logging.level", true),
            ("logging.file", false),
            ("control.socket", false),
        ];
        assert_eq!(live, expected);
    }
}
