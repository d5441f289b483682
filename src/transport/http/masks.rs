//! Secrets taken out of what a server or a proxy says: as they are, and in the encodings in which
//! an echo may carry them.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD, prelude::BASE64_URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};

/// What stands for a secret.
const MASK: &str = "***";
/// All but what RFC 3986 lets stand.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// All forms of all secrets, the longest first. Its `Debug` shows none.
#[derive(Default)]
pub(super) struct Masks {
    forms: Vec<SecretString>,
}

impl Masks {
    pub(super) fn of(secrets: &[SecretString]) -> Self {
        let mut forms: Vec<String> =
            secrets.iter().flat_map(|secret| forms(secret.expose_secret())).collect();
        forms.retain(|form| !form.is_empty());
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        Self { forms: forms.into_iter().map(SecretString::from).collect() }
    }

    /// `text` with every occurrence of a secret replaced.
    pub(super) fn apply(&self, text: &str) -> String {
        self.forms.iter().fold(text.to_owned(), |text, form| {
            let form = form.expose_secret();
            if text.contains(form) { text.replace(form, MASK) } else { text }
        })
    }

    /// Bytes at the end of `text` that are the beginning of a secret that was cut off.
    pub(super) fn begun_at_end_of(&self, text: &str) -> usize {
        let begun = |form: &SecretString| {
            let form = form.expose_secret();
            let ends = (1..form.len()).rev().filter(|&end| form.is_char_boundary(end));
            ends.filter(|&end| text.ends_with(&form[..end])).max()
        };
        self.forms.iter().filter_map(begun).max().unwrap_or(0)
    }

    /// Bytes of the longest: so much more than is shown must be known, to mask what is cut.
    pub(super) fn longest(&self) -> usize {
        self.forms.first().map_or(0, |form| form.expose_secret().len())
    }
}

impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masks").field("forms", &self.forms.len()).finish()
    }
}

fn forms(secret: &str) -> [String; 9] {
    let digits = secret.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
    let hex: String = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
    let percent = |set| utf8_percent_encode(secret, set).to_string();
    let (every, reserved) = (percent(NON_ALPHANUMERIC), percent(RESERVED));
    [
        // Without padding, so that what has some is found as well.
        secret.trim_end_matches('=').to_owned(),
        BASE64_STANDARD_NO_PAD.encode(secret),
        BASE64_URL_SAFE_NO_PAD.encode(secret),
        hex.to_ascii_uppercase(),
        hex,
        every.to_ascii_lowercase(),
        every,
        reserved.to_ascii_lowercase(),
        reserved,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_masked_in_every_form_and_shows_in_no_debug_output() {
        let masks = Masks::of(&["k3y?>~".into(), "p4ss".into()]);
        for text in [
            "k3y?>~",
            "azN5Pz5+",
            "azN5Pz5-",
            "6b33793f3e7e",
            "6B33793F3E7E",
            "k3y%3F%3E%7E",
            "k3y%3f%3e%7e",
            "k3y%3F%3E~",
            "k3y%3f%3e~",
            "p4ss",
            "cDRzcw",
        ] {
            assert_eq!(masks.apply(&format!("a {text}, {text}=!")), "a ***, ***=!", "{text}");
        }
        assert_eq!(masks.apply("nothing"), "nothing");
        assert_eq!(masks.longest(), "k3y%3F%3E%7E".len());
        assert_eq!(format!("{masks:?}"), "Masks { forms: 18 }");
    }

    #[test]
    fn without_a_secret_nothing_is_masked() {
        for masks in [Masks::default(), Masks::of(&["".into()])] {
            assert_eq!(masks.apply("a text"), "a text");
            assert_eq!(masks.longest(), 0);
        }
    }
}
