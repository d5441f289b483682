//! Typed values by key path: durations, sizes, numbers, flags, choices, each within its bounds.
//! What is out of bounds or of another type is a fault; the default goes on in its place.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    reader::{Reader, Scalar},
    units,
    yaml::Kind,
};

/// Longer values are cut where a message quotes them.
const MOST_QUOTED: usize = 60;

impl Reader<'_> {
    /// A duration within bounds.
    pub(super) fn duration(
        &mut self,
        path: &str,
        default: Duration,
        allowed: RangeInclusive<Duration>,
    ) -> Duration {
        let value = self.optional_duration(path, allowed).unwrap_or(default);
        self.effective.set(path, units::duration_text(value));
        value
    }

    /// A duration within bounds, or none.
    pub(super) fn optional_duration(
        &mut self,
        path: &str,
        allowed: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let expected = format!(
            "a duration from {} to {} (5 or 5s, 500ms, 1m, 2h, 7d)",
            units::duration_text(*allowed.start()),
            units::duration_text(*allowed.end())
        );
        let value = self.read(path, &expected, |kind| {
            units::duration(kind).filter(|duration| allowed.contains(duration))
        });
        self.effective.set(path, value.map(units::duration_text));
        value
    }

    /// A size in bytes within bounds.
    pub(super) fn size(&mut self, path: &str, default: u64, allowed: RangeInclusive<u64>) -> u64 {
        let expected = format!(
            "a size from {} to {} (bytes, or 100MB, 100MiB)",
            units::size_text(*allowed.start()),
            units::size_text(*allowed.end())
        );
        let value = self
            .read(path, &expected, |kind| units::size(kind).filter(|size| allowed.contains(size)))
            .unwrap_or(default);
        self.effective.set(path, units::size_text(value));
        value
    }

    /// A whole number within bounds.
    pub(super) fn whole(
        &mut self,
        path: &str,
        default: usize,
        allowed: RangeInclusive<usize>,
    ) -> usize {
        let expected = format!("a whole number from {} to {}", allowed.start(), allowed.end());
        let parse = |kind: &Kind| match kind {
            Kind::Int(number) => usize::try_from(*number).ok(),
            _ => None,
        };
        let value = self
            .read(path, &expected, |kind| parse(kind).filter(|number| allowed.contains(number)));
        let value = value.unwrap_or(default);
        self.effective.set(path, value);
        value
    }

    /// A number within bounds.
    pub(super) fn number(&mut self, path: &str, default: f64, allowed: RangeInclusive<f64>) -> f64 {
        let value = self.optional_number(path, allowed).unwrap_or(default);
        self.effective.set(path, value);
        value
    }

    /// A number within bounds, or none.
    pub(super) fn optional_number(
        &mut self,
        path: &str,
        allowed: RangeInclusive<f64>,
    ) -> Option<f64> {
        let expected = format!("a number from {} to {}", allowed.start(), allowed.end());
        let parse = |kind: &Kind| match kind {
            Kind::Int(number) => i32::try_from(*number).ok().map(f64::from),
            Kind::Float(number) => Some(*number),
            _ => None,
        };
        let value = self
            .read(path, &expected, |kind| parse(kind).filter(|number| allowed.contains(number)));
        self.effective.set(path, value);
        value
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, path: &str, default: bool) -> bool {
        let value = self.read(path, "true or false", |kind| match kind {
            Kind::Bool(value) => Some(*value),
            _ => None,
        });
        let value = value.unwrap_or(default);
        self.effective.set(path, value);
        value
    }

    /// One of a few names, in any case. The default is one of them.
    pub(super) fn choice<T: Copy>(&mut self, path: &str, default: &str, names: &[(&str, T)]) -> T {
        let find = |text: &str| names.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        let listed = names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let expected = if names.len() > 1 { format!("one of {listed}") } else { listed };
        let chosen = self.read(path, &expected, |kind| match kind {
            Kind::Text(text) => find(text),
            _ => None,
        });
        let &(name, value) = chosen.or_else(|| find(default)).unwrap_or(&names[0]);
        self.effective.set(path, name);
        value
    }

    /// `shown`; or the variable's name if the value of `path` came from the environment: it may be a secret
    /// in the wrong place.
    pub(super) fn unless_from_outside(&mut self, path: &str, shown: String) -> String {
        self.scalar(path).and_then(|scalar| variable(&scalar)).unwrap_or(shown)
    }

    /// A value that isn't secret: messages quote it if it stands in the file.
    pub(super) fn read<T>(
        &mut self,
        path: &str,
        expected: &str,
        parse: impl Fn(&Kind) -> Option<T>,
    ) -> Option<T> {
        let scalar = self.scalar(path)?;
        let value = parse(&typed(&scalar));
        if value.is_none() {
            let bare = parse(&resolved(&scalar.expanded.text)).is_some();
            let hint = if bare { ", without quotes" } else { "" };
            self.refuse(path, format!("{} isn't valid; must be {expected}{hint}", quoted(&scalar)));
        }
        value
    }
}

/// The value with the type that YAML would give it if it stood in the place of its reference. A
/// text that stands in the file stays a text: its quotes were meant.
fn typed(scalar: &Scalar) -> Kind {
    if scalar.expanded.names.is_empty() {
        scalar.kind.clone()
    } else {
        resolved(&scalar.expanded.text)
    }
}

/// What YAML takes an unquoted text for.
fn resolved(text: &str) -> Kind {
    match text {
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        _ => {}
    }
    if let Ok(number) = text.parse() {
        return Kind::Int(number);
    }
    match text.parse() {
        Ok(number) if f64::is_finite(number) => Kind::Float(number),
        _ => Kind::Text(text.into()),
    }
}

/// Where a value came from, if it isn't the file.
fn variable(scalar: &Scalar) -> Option<String> {
    scalar.expanded.names.first().map(|name| format!("the value of ${{{name}}}"))
}

/// The value as a message may show it: what came from the environment isn't shown.
pub(super) fn quoted(scalar: &Scalar) -> String {
    if let Some(variable) = variable(scalar) {
        return variable;
    }
    match &scalar.kind {
        Kind::Text(text) if text.chars().count() > MOST_QUOTED => {
            format!("{:?}…", text.chars().take(MOST_QUOTED).collect::<String>())
        }
        Kind::Text(text) => format!("{text:?}"),
        Kind::Bool(value) => value.to_string(),
        Kind::Int(value) => value.to_string(),
        Kind::Float(value) => value.to_string(),
        Kind::List(_) => "a list".into(),
        Kind::Map(_) => "a mapping".into(),
        Kind::Empty => "nothing".into(),
    }
}
