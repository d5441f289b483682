//! Keys that nobody asked for, keys that stand twice, sections that are none. Runs after the
//! reading: what is known is what was read, so that no list of keys can fall behind the code.

use std::collections::BTreeMap;

use super::{
    reader::{Reader, shown_key},
    yaml::{Entry, Kind, Node},
};

/// Nearest keys are looked for so many times at most: it costs time.
const MOST_HINTS: usize = 100;

impl Reader<'_> {
    /// Notes a fault for each unknown or repeated key in the whole tree.
    pub(super) fn judge_keys(&mut self) {
        self.judge_below("", &self.root.kind, self.root.line);
    }

    fn judge_section(&mut self, section: &str, entries: &[Entry]) {
        self.judge_repeats(section, entries);
        for Entry { key, value } in entries {
            let path = join(section, key);
            if key.is_empty() || key.contains('.') {
                self.refuse_unknown(section, key, value);
                continue;
            }
            let known = self.known.iter().find(|(known, _)| *known == path).map(|&(_, free)| free);
            match (known, &value.kind) {
                (Some(true), Kind::Map(entries)) => self.judge_repeats(&path, entries),
                (Some(_), _) => {}
                (None, _) if !self.is_section(&path) => self.refuse_unknown(section, key, value),
                (None, kind) => self.judge_below(&path, kind, value.line),
            }
        }
    }

    fn judge_below(&mut self, section: &str, kind: &Kind, line: usize) {
        match kind {
            Kind::Map(entries) => self.judge_section(section, entries),
            Kind::Empty => {}
            _ => {
                // `interval:5` and `interval 5` are plain text to YAML.
                let hint = match kind {
                    Kind::Text(_) => "; a line of it needs a colon and a blank, `key: value`",
                    _ => "",
                };
                let message = format!("must be a mapping with {}{hint}", self.below(section));
                self.refuse_at(section, line, message);
            }
        }
    }

    fn judge_repeats(&mut self, section: &str, entries: &[Entry]) {
        let mut first = BTreeMap::new();
        for Entry { key, value } in entries {
            if let Some(line) = first.get(key) {
                let message = format!("stands twice, first in line {line}; remove one");
                self.refuse_at(&join(section, &shown_key(key)), value.line, message);
            } else {
                first.insert(key, value.line);
            }
        }
    }

    fn is_section(&self, path: &str) -> bool {
        self.known.iter().any(|(known, _)| {
            known.strip_prefix(path).is_some_and(|rest| path.is_empty() || rest.starts_with('.'))
        })
    }

    fn refuse_unknown(&mut self, section: &str, key: &str, value: &Node) {
        // In a file of nothing but unknown keys nobody reads the last hints.
        let near = if self.faults.len() < MOST_HINTS { self.nearest(section, key) } else { None };
        let hint = match near {
            _ if key == "<<" => "mappings can't be merged here; repeat the keys".to_owned(),
            Some(near) if near == *key => format!("write it as {}", nested(key)),
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", self.below(section)),
        };
        let path = join(section, &shown_key(key));
        self.refuse_at(&path, value.line, format!("unknown key; {hint}"));
    }

    /// The key that was probably meant: one of the same section that is spelt alike, else one of
    /// the same name, or nearly so, elsewhere.
    fn nearest(&self, section: &str, key: &str) -> Option<String> {
        let alike = |name: &str| {
            if key.len() > 2 && name.starts_with(key) {
                return Some(0);
            }
            let distance = strsim::damerau_levenshtein(&key.to_ascii_lowercase(), name);
            (distance <= 1.max(name.len() / 3) && distance < name.len()).then_some(distance)
        };
        let here = self.names_below(section).into_iter();
        let best = here.filter_map(|name| Some((alike(&name)?, name))).min();
        if let Some((_, name)) = best {
            return Some(name);
        }
        let all = self.known.iter().map(|(path, _)| path);
        let last =
            |path: &str| path.rsplit_once('.').map_or(String::new(), |(_, name)| name.into());
        let elsewhere = all.filter_map(|path| {
            let name = last(path);
            let distance = if key == path { Some(0) } else { alike(&name).filter(|&d| d <= 1) };
            Some((distance?, path))
        });
        elsewhere.min_by_key(|(distance, _)| *distance).map(|(_, path)| path.clone())
    }

    /// The keys of a section, in the order in which they were read.
    fn names_below(&self, section: &str) -> Vec<String> {
        let mut names = Vec::new();
        for (known, _) in &self.known {
            let rest = if section.is_empty() {
                Some(known.as_str())
            } else {
                known.strip_prefix(section).and_then(|rest| rest.strip_prefix('.'))
            };
            let name = rest.and_then(|rest| rest.split('.').next()).map(str::to_owned);
            if let Some(name) = name.filter(|name| !names.contains(name)) {
                names.push(name);
            }
        }
        names
    }

    fn below(&self, section: &str) -> String {
        self.names_below(section).join(", ")
    }
}

/// `a.b: …` as it should have been written: `a: {b: …}`.
fn nested(path: &str) -> String {
    let opened = path.replace('.', ": {");
    format!("`{opened}: …{}`", "}".repeat(path.matches('.').count()))
}

fn join(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}
