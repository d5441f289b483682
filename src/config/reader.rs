//! Reads checked values by key path from the parsed tree. A fault is noted and the default taken,
//! so that one run finds all faults. Notes which keys exist: the rest of the file is unknown. Every
//! value read goes into the effective configuration, secrets masked.

use super::{
    environment::Environment,
    expand::{Expanded, escape, expand},
    fault::Fault,
    file::Text,
    yaml::{Document, Kind, Node},
};

/// What stands for a secret wherever something is shown.
pub(super) const MASK: &str = "********";

pub(super) struct Reader<'a> {
    pub(super) source: &'a Text,
    pub(super) root: &'a Node,
    pub(super) environment: &'a Environment,
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<String>,
    pub(super) effective: Document,
    /// The keys that were asked for, with `true` for those whose own keys are free (tags).
    pub(super) known: Vec<(String, bool)>,
}

/// A scalar with its references replaced.
pub(super) struct Scalar {
    pub(super) kind: Kind,
    pub(super) expanded: Expanded,
}

impl Scalar {
    fn literal(text: &str) -> Self {
        let expanded = Expanded { text: text.into(), literal: true, ..Expanded::default() };
        Self { kind: Kind::Text(text.into()), expanded }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Text, root: &'a Node, environment: &'a Environment) -> Self {
        let sections = ["collector", "metrics", "buffer", "forwarder", "logging", "control"];
        Self {
            source,
            root,
            environment,
            faults: Vec::new(),
            warnings: Vec::new(),
            effective: Document::with_sections(&sections),
            known: Vec::new(),
        }
    }

    /// Text, references replaced; `None` when absent or empty.
    pub(super) fn text(&mut self, path: &str) -> Option<String> {
        let text =
            self.raw_text(path).map(|expanded| expanded.text).filter(|text| !text.is_empty());
        self.effective.set(path, text.as_deref().map(escape));
        text
    }

    /// Like [`Reader::text`], for a secret: it is masked, and told where it came from.
    pub(super) fn secret(&mut self, path: &str) -> Option<Expanded> {
        let secret = self.raw_text(path).filter(|expanded| !expanded.text.is_empty());
        self.effective.set(path, secret.as_ref().map(|_| MASK));
        secret
    }

    /// Text that must not be empty.
    pub(super) fn text_or(&mut self, path: &str, default: &str) -> String {
        let text = self.raw_text(path).map_or_else(|| default.into(), |expanded| expanded.text);
        if text.is_empty() {
            self.refuse(path, "must not be empty");
        }
        self.effective.set(path, escape(&text));
        text
    }

    fn raw_text(&mut self, path: &str) -> Option<Expanded> {
        let scalar = self.scalar(path)?;
        if let Kind::Text(_) = scalar.kind {
            return Some(scalar.expanded);
        }
        self.refuse(path, not_text(&scalar.kind));
        None
    }

    /// A list of texts, each with its line.
    pub(super) fn texts(&mut self, path: &str, default: &[&str]) -> Vec<(Scalar, usize)> {
        let texts: Vec<_> = match self.node(path, false).map(|node| (&node.kind, node.line)) {
            None => default.iter().map(|&text| (Scalar::literal(text), 0)).collect(),
            Some((Kind::List(items), line)) => {
                // A list in a list has no line of its own.
                let lines = items.iter().map(|item| (item, item.line.max(line)));
                lines
                    .filter_map(|(item, line)| Some((self.item(path, item, line)?, line)))
                    .collect()
            }
            Some((_, line)) => {
                self.refuse_at(path, line, "must be a list of texts, [\"a\", \"b*\"] say");
                Vec::new()
            }
        };
        let shown = texts.iter().map(|(scalar, _)| escape(&scalar.expanded.text));
        self.effective.set(path, shown.collect::<Vec<_>>());
        texts
    }

    /// A mapping with free keys and texts as values: key, value and line of each.
    pub(super) fn table(&mut self, path: &str) -> Vec<(String, String, usize)> {
        match self.node(path, true).map(|node| (&node.kind, node.line)) {
            None => Vec::new(),
            Some((Kind::Map(entries), _)) => entries
                .iter()
                .filter_map(|entry| {
                    let path = format!("{path}.{}", shown_key(&entry.key));
                    let value = self.item(&path, &entry.value, entry.value.line)?;
                    Some((entry.key.clone(), value.expanded.text, entry.value.line))
                })
                .collect(),
            Some((_, line)) => {
                self.refuse_at(path, line, "must be a mapping of names to texts");
                Vec::new()
            }
        }
    }

    /// Notes a fault at the line of a key.
    pub(super) fn refuse(&mut self, path: &str, message: impl Into<String>) {
        let line = lookup(self.root, path).map(|node| node.line);
        self.refuse_at(path, line, message);
    }

    /// Notes a fault at a line.
    pub(super) fn refuse_at(
        &mut self,
        path: &str,
        line: impl Into<Option<usize>>,
        message: impl Into<String>,
    ) {
        let fault = Fault { path: path.into(), ..Fault::of_file(&self.source.file, message) };
        self.faults.push(fault.at(line));
    }

    /// Whether the file sets a key.
    pub(super) fn has(&self, path: &str) -> bool {
        lookup(self.root, path).is_some_and(|node| node.kind != Kind::Empty)
    }

    /// The value of a key, unless it is absent or empty.
    fn node(&mut self, path: &str, free: bool) -> Option<&'a Node> {
        self.known.push((path.into(), free));
        lookup(self.root, path).filter(|node| node.kind != Kind::Empty)
    }

    pub(super) fn scalar(&mut self, path: &str) -> Option<Scalar> {
        let node = self.node(path, false)?;
        self.expanded(path, node, node.line)
    }

    fn expanded(&mut self, path: &str, node: &Node, line: usize) -> Option<Scalar> {
        let Kind::Text(text) = &node.kind else {
            return Some(Scalar { kind: node.kind.clone(), expanded: Expanded::default() });
        };
        match expand(text, self.environment) {
            Ok(expanded) => Some(Scalar { kind: Kind::Text(expanded.text.clone()), expanded }),
            Err(message) => {
                self.refuse_at(path, line, message);
                None
            }
        }
    }

    /// One text of a list or a table.
    fn item(&mut self, path: &str, node: &Node, line: usize) -> Option<Scalar> {
        let scalar = self.expanded(path, node, line)?;
        if !matches!(scalar.kind, Kind::Text(_)) {
            self.refuse_at(path, line, not_text(&scalar.kind));
            return None;
        }
        Some(scalar)
    }
}

fn not_text(kind: &Kind) -> &'static str {
    match kind {
        Kind::List(_) => "a list isn't valid; must be text",
        Kind::Map(_) => "a mapping isn't valid; must be text",
        Kind::Empty => "must be text; write \"\" for an empty one",
        _ => "must be text; put it in quotes",
    }
}

/// The node at a key path. Where a key stands twice the first counts; the second is a fault anyway.
fn lookup<'a>(root: &'a Node, path: &str) -> Option<&'a Node> {
    path.split('.').try_fold(root, |node, key| match &node.kind {
        Kind::Map(entries) => {
            entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
        }
        _ => None,
    })
}

/// A key as a message may show it. `api_key:SECRET`, a blank forgotten, is a key to YAML: whatever
/// doesn't look like a name is cut off.
pub(super) fn shown_key(key: &str) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let name: String = key.chars().take_while(|&c| good(c)).take(40).collect();
    if name.len() < key.len() || key.is_empty() { format!("{name}…") } else { name }
}
