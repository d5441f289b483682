//! `${NAME}`, `${NAME:-default}` and `$$` inside of one scalar value. Runs after YAML was parsed,
//! so a value can never add YAML. What is wrong is said without showing any value.

use super::environment::{Environment, Lookup};

/// A value with everything replaced, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// The names that were replaced, in order.
    pub(super) names: Vec<String>,
    /// Some of the text stands in the configuration itself.
    pub(super) literal: bool,
    /// Some of the text comes from the `.env` file.
    pub(super) from_file: bool,
}

/// Replaces every reference in `text`. The error says what is wrong, in one sentence.
pub(super) fn expand(text: &str, environment: &Environment) -> Result<Expanded, String> {
    let mut out = Expanded::default();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('$') {
        out.push_literal(before);
        if let Some(reference) = behind.strip_prefix('{') {
            let (reference, behind) = reference
                .split_once('}')
                .ok_or("holds `${` without `}`; write `$$` for a dollar sign")?;
            out.push_reference(reference, environment)?;
            rest = behind;
        } else {
            out.push_literal("$");
            rest = behind.strip_prefix('$').unwrap_or(behind);
        }
    }
    out.push_literal(rest);
    Ok(out)
}

/// Writes `text` so that [`expand`] gives it back.
pub(super) fn escape(text: &str) -> String {
    text.replace('$', "$$")
}

impl Expanded {
    fn push_literal(&mut self, text: &str) {
        self.text.push_str(text);
        self.literal |= !text.is_empty();
    }

    fn push_reference(&mut self, reference: &str, environment: &Environment) -> Result<(), String> {
        let end = reference.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (name, tail) = reference.split_at(end.unwrap_or(reference.len()));
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("holds `${` without a variable's name behind it; allowed are `${NAME}`, \
                        `${NAME:-default}`, and `$$` for a dollar sign"
                .into());
        }
        let default = match tail.strip_prefix(":-") {
            Some(default) if default.contains("${") => {
                return Err(format!(
                    "the default of `${{{name}:-…}}` must not refer to a variable"
                ));
            }
            Some(default) => Some(default),
            None if tail.is_empty() => None,
            None => {
                return Err(format!(
                    "`${{{name}…}}` isn't understood; allowed are `${{{name}}}` and \
                     `${{{name}:-default}}`"
                ));
            }
        };
        self.names.push(name.into());
        let value = match environment.get(name) {
            Lookup::NotUnicode => {
                return Err(format!("the value of the environment variable {name} isn't UTF-8"));
            }
            Lookup::Real(value) => Some(value),
            Lookup::File(value) => {
                self.from_file |= !value.is_empty();
                Some(value)
            }
            Lookup::Unset => None,
        };
        match (value.filter(|value| default.is_none() || !value.is_empty()), default) {
            (Some(value), _) => self.text.push_str(&value),
            (None, Some(default)) => self.push_literal(default),
            (None, None) => return Err(unset(name, environment)),
        }
        Ok(())
    }
}

fn unset(name: &str, environment: &Environment) -> String {
    let neither = environment.file().map_or_else(
        || "there is no .env file".into(),
        |file| format!("{} doesn't name it either", file.display()),
    );
    format!(
        "the environment variable {name} isn't set, and {neither}; set it or give a default, \
         `${{{name}:-default}}`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment::new(|name| match name {
            "A" => Some("a".into()),
            "DOLLAR" => Some("${A}$$".into()),
            "EMPTY" => Some("".into()),
            _ => None,
        })
    }

    fn text(from: &str) -> String {
        expand(from, &environment()).unwrap().text
    }

    #[test]
    fn references_are_replaced_wherever_they_stand() {
        for (from, to) in [
            ("", ""),
            ("plain", "plain"),
            ("${A}", "a"),
            ("x${A}y${A}", "xaya"),
            ("${NONE:-d}", "d"),
            ("${NONE:-}", ""),
            ("${NONE:-a:-b}", "a:-b"),
            ("${A:-d}", "a"),
            ("${EMPTY}", ""),
            ("${EMPTY:-d}", "d"),
            ("$$", "$"),
            ("$${A}", "${A}"),
            ("$$$$", "$$"),
            ("pa$word", "pa$word"),
            ("ends with $", "ends with $"),
        ] {
            assert_eq!(text(from), to, "{from}");
        }
    }

    #[test]
    fn a_value_is_never_expanded_again() {
        assert_eq!(text("${DOLLAR}"), "${A}$$");
    }

    #[test]
    fn what_is_no_reference_is_an_error() {
        for from in [
            "${",
            "${A",
            "${}",
            "${1A}",
            "${A B}",
            "${A-d}",
            "${A:?e}",
            "${:-d}",
            "${B}",
            "${A:-${A}}",
        ] {
            assert!(expand(from, &environment()).is_err(), "{from}");
        }
    }

    #[test]
    fn an_escaped_text_expands_to_itself() {
        for from in ["${A}", "$", "$$", "a$${"] {
            assert_eq!(text(&escape(from)), from);
        }
    }
}
