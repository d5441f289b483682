//! YAML text to a tree of nodes that know their lines, and back. The only file that names
//! `serde_yaml`; it knows no key and judges no value. Bounded in depth and in the number of nodes.
//!
//! `serde_yaml` tells the place of an error but not of a value. So every scalar is *refused* once
//! it has been noted: the refusal comes back with its place, and the deserialiser goes on behind
//! it. One parser, one pass, and lines that can't disagree with the values.

use std::{cell::Cell, fmt};

use serde::{
    Serialize,
    de::{self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Visitor},
};

/// A configuration nests four levels; what nests deeper isn't one.
const MAX_DEPTH: usize = 16;
/// The parser keeps each open bracket in mind at every step, up to a thousand of them.
const MOST_BRACKETS: usize = 1000;
/// Aliases are followed, so this, not the size of the file, bounds the tree (an alias bomb).
const MAX_NODES: usize = 10_000;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Counted from 1. For a value of a mapping it is the line of its key.
    pub(super) line: usize,
    pub(super) kind: Kind,
}

/// What YAML takes a value for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Empty,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value. Keys may repeat: YAML forbids that, but the reader says it better.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Node,
}

/// Why a text isn't YAML that we take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) line: Option<usize>,
    pub(super) message: String,
}

/// Parses a text of one document; an empty one is [`Kind::Empty`].
pub(super) fn parse(text: &str) -> Result<Node, Broken> {
    if text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() > MOST_BRACKETS {
        let message = format!("holds more than {MOST_BRACKETS} opening brackets");
        return Err(Broken { line: None, message });
    }
    let state = State::default();
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let node = match documents.next() {
        Some(document) => read(Seed { depth: 0, state: &state }, document),
        None => Ok(Node { line: 1, kind: Kind::Empty }),
    };
    let node = node.map_err(|error| broken(&error, state.reason.take()))?;
    match documents.next() {
        None => Ok(node),
        Some(_) => Err(Broken { line: None, message: "holds more than one YAML document".into() }),
    }
}

/// The parser's own message, unless we gave the reason. A message about a value quotes it, and one
/// about a place below the top names keys: neither is shown.
fn broken(error: &serde_yaml::Error, reason: Option<String>) -> Broken {
    let place = error.location();
    let line = place.as_ref().map(serde_yaml::Location::line);
    if let Some(message) = reason {
        return Broken { line, message };
    }
    let mut message = error.to_string();
    if is_about_value(&message) {
        return Broken { line, message: "holds a value that doesn't fit its tag".into() };
    }
    if let Some(at) = &place {
        message =
            message.replacen(&format!(" at line {} column {}", at.line(), at.column()), "", 1);
    }
    message.push_str(hint(&message));
    Broken { line, message: format!("isn't valid YAML: {message}") }
}

/// What people mostly did when the parser says this.
fn hint(message: &str) -> &'static str {
    const HINTS: [(&str, &str); 4] = [
        ("tab character", "; indent with spaces, YAML forbids tabs"),
        ("cannot start any token", "; YAML forbids tabs, and @, ` and % need quotes"),
        ("unknown anchor", "; quote a value that begins with *"),
        ("values are not allowed", "; is it indented too far, or does a value hold `: `?"),
    ];
    HINTS.iter().find(|(part, _)| message.contains(part)).map_or("", |(_, hint)| hint)
}

fn is_about_value(message: &str) -> bool {
    message.contains("invalid value") || message.contains("invalid type")
}

/// What one run of the deserialiser shares.
#[derive(Default)]
struct State {
    nodes: Cell<usize>,
    /// Where a scalar is noted before it is refused.
    scalar: Cell<Option<Kind>>,
    /// Why we, not the parser, gave up.
    reason: Cell<Option<String>>,
}

/// Reads one node; the error of a noted scalar becomes the scalar with its place.
fn read<'de, D: Deserializer<'de>>(seed: Seed<'_>, from: D) -> Result<Node, D::Error> {
    let scalar = &seed.state.scalar;
    match from.deserialize_any(seed) {
        Ok(kind) => Ok(Node { line: 1, kind }),
        Err(error) => match scalar.take() {
            Some(kind) => Ok(Node { line: line_of(&error), kind }),
            None => Err(error),
        },
    }
}

/// The line of an error. The bound of a generic deserialiser's error is `Display`, and line 1,
/// column 1 isn't displayed.
fn line_of(error: &impl fmt::Display) -> usize {
    let text = error.to_string();
    let place = text.rsplit_once(" at line ").map_or("", |(_, place)| place);
    place.split(' ').next().and_then(|line| line.parse().ok()).unwrap_or(1)
}

/// Makes a node of whatever comes next.
#[derive(Clone, Copy)]
struct Seed<'a> {
    depth: usize,
    state: &'a State,
}

impl Seed<'_> {
    fn below<E: de::Error>(self) -> Result<Self, E> {
        let nodes = self.state.nodes.get() + 1;
        self.state.nodes.set(nodes);
        if nodes > MAX_NODES {
            return Err(
                self.give_up(format!("holds more than {MAX_NODES} values, aliases followed"))
            );
        }
        if self.depth == MAX_DEPTH {
            return Err(self.give_up(format!("is nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn note<E: de::Error>(self, scalar: Kind) -> Result<Kind, E> {
        self.state.scalar.set(Some(scalar));
        Err(E::custom(""))
    }

    fn give_up<E: de::Error>(self, reason: impl Into<String>) -> E {
        self.state.reason.set(Some(reason.into()));
        E::custom("")
    }
}

/// Reads a node inside of another.
struct Inner<'a>(Seed<'a>);

impl<'de> DeserializeSeed<'de> for Inner<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        read(self.0, from)
    }
}

const NO_KEY: &str = "holds a key that isn't plain text";

/// Reads a key, as text whatever YAML would take it for.
struct Key<'a>(Seed<'a>);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = (String, usize);

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        let seed = self.0;
        match from.deserialize_str(seed) {
            Err(error) => match seed.state.scalar.take() {
                Some(Kind::Text(key)) => Ok((key, line_of(&error))),
                _ if is_about_value(&error.to_string()) => Err(seed.give_up(NO_KEY)),
                _ => Err(error),
            },
            Ok(_) => Err(seed.give_up(NO_KEY)),
        }
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Kind, E> {
        self.note(Kind::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Kind, E> {
        self.note(Kind::Int(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Kind, E> {
        self.note(Kind::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Kind, E> {
        self.note(Kind::Int(value.into()))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Kind, E> {
        self.note(Kind::Int(i128::try_from(value).unwrap_or(i128::MAX)))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Kind, E> {
        self.note(Kind::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Kind, E> {
        self.note(Kind::Text(value.into()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Kind, E> {
        self.note(Kind::Empty)
    }

    fn visit_none<E: de::Error>(self) -> Result<Kind, E> {
        self.note(Kind::Empty)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = items.next_element_seed(Inner(self.below()?))? {
            list.push(node);
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Kind, A::Error> {
        let mut map = Vec::new();
        while let Some((key, line)) = entries.next_key_seed(Key(self.below()?))? {
            let value = entries.next_value_seed(Inner(self.below()?))?;
            map.push(Entry { key, value: Node { line, ..value } });
        }
        Ok(Kind::Map(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Kind, A::Error> {
        Err(self.give_up("holds a tag; tags such as `!name` have no meaning here"))
    }
}

/// A tree that is written, in the order in which its keys were set.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Document(serde_yaml::Mapping);

impl Document {
    /// A document whose top keys stand in this order, whichever is set first.
    pub(super) fn with_sections(sections: &[&str]) -> Self {
        let empty = || serde_yaml::Value::Mapping(serde_yaml::Mapping::new());
        Self(sections.iter().map(|&section| (section.into(), empty())).collect())
    }

    /// Sets the value at a key path, `a.b.c`; mappings on the way are made.
    pub(super) fn set(&mut self, path: &str, value: impl Serialize) {
        let mut keys = path.split('.');
        let last = keys.next_back().unwrap_or(path);
        let mut map = &mut self.0;
        for key in keys {
            let inner = map.entry(key.into()).or_insert(serde_yaml::Mapping::new().into());
            let Some(inner) = inner.as_mapping_mut() else { return };
            map = inner;
        }
        map.insert(last.into(), serde_yaml::to_value(value).unwrap_or_default());
    }

    /// Every value by its key path, in one line each, in the order of the document.
    pub(super) fn flat(&self) -> Vec<(String, String)> {
        flatten("", &self.0)
    }
}

fn flatten(above: &str, map: &serde_yaml::Mapping) -> Vec<(String, String)> {
    let below = map.iter().flat_map(|(key, value)| {
        let path = format!("{above}{}", key.as_str().unwrap_or_default());
        match value {
            serde_yaml::Value::Mapping(map) => flatten(&format!("{path}."), map),
            value => vec![(path, line(value))],
        }
    });
    below.collect()
}

fn line(value: &serde_yaml::Value) -> String {
    match value {
        serde_yaml::Value::Sequence(items) => {
            format!("[{}]", items.iter().map(line).collect::<Vec<_>>().join(", "))
        }
        serde_yaml::Value::String(text) if !text.is_empty() => text.clone(),
        value => serde_yaml::to_string(value).unwrap_or_default().trim_end().to_owned(),
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_yaml::to_string(&self.0).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::{Broken, Kind, parse};

    fn lines(text: &str) -> Vec<(String, usize)> {
        let Kind::Map(map) = parse(text).unwrap().kind else { panic!("a mapping") };
        map.into_iter().map(|entry| (entry.key, entry.value.line)).collect()
    }

    fn broken(text: &str) -> Broken {
        parse(text).expect_err("must be refused")
    }

    #[test]
    fn every_key_knows_its_line() {
        let found = lines(
            "a: 1\n\n# a comment\nb:\n  c: 2\n'at line 9 column 9': [1,\n 2]\nd: |\n x\n y\na: ~\n",
        );
        let expected = [("a", 1), ("b", 4), ("at line 9 column 9", 6), ("d", 8), ("a", 11)];
        assert_eq!(found, expected.map(|(key, line)| (key.to_owned(), line)));
    }

    #[test]
    fn list_items_know_their_lines() {
        let Kind::Map(map) = parse("a:\n - x\n - 2\n\n - [y]\n").unwrap().kind else { panic!() };
        let Kind::List(items) = &map[0].value.kind else { panic!("a list") };
        assert_eq!(items.iter().map(|item| item.line).collect::<Vec<_>>(), [2, 3, 1]);
    }

    #[test]
    fn scalars_keep_the_type_that_yaml_gives_them() {
        for (text, kind) in [
            ("5", Kind::Int(5)),
            ("-1", Kind::Int(-1)),
            ("0.5", Kind::Float(0.5)),
            ("true", Kind::Bool(true)),
            ("yes", Kind::Text("yes".into())),
            ("'5'", Kind::Text("5".into())),
            ("${A:-b}", Kind::Text("${A:-b}".into())),
            ("~", Kind::Empty),
            ("", Kind::Empty),
            ("99999999999999999999", Kind::Int(99_999_999_999_999_999_999)),
        ] {
            assert_eq!(parse(text).unwrap().kind, kind, "{text}");
        }
    }

    #[test]
    fn an_alias_is_followed() {
        let Kind::Map(map) = parse("a: &x [1]\nb: *x\n").unwrap().kind else { panic!() };
        assert_eq!(map[0].value.kind, map[1].value.kind);
        assert_eq!(map[1].value.line, 2);
    }

    #[test]
    fn what_would_grow_without_bound_is_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let inner = vec![format!("*a{}", level - 1); 9].join(", ");
            bomb = format!("{bomb}a{level}: &a{level} [{inner}]\n");
        }
        assert!(broken(&bomb).message.contains("more than 10000 values"), "{:?}", broken(&bomb));
        let deep = "[".repeat(100) + &"]".repeat(100);
        assert!(broken(&deep).message.contains("deeper than 16"), "{:?}", broken(&deep));
        assert!(broken(&"[".repeat(1001)).message.contains("opening brackets"));
    }

    #[test]
    fn a_tab_in_the_indentation_is_explained() {
        let error = broken("a:\n  b: 1\n\tc: 2\n");
        assert_eq!(error.line, Some(3));
        assert!(error.message.contains("spaces"), "{error:?}");
    }
}
