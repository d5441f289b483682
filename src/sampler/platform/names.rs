//! Names as text without loss: Unix allows any bytes in the names of mounts and interfaces, JSON
//! doesn't. A byte that isn't UTF-8 is spelt `\xNN`, and so is a backslash in front of an `x`; all
//! else stays as it is. So two names never look alike, and the server can have the bytes back.

use std::borrow::Cow;

use memchr::{memchr, memmem};

/// The bytes as text.
pub(super) fn escape(bytes: &[u8]) -> Cow<'_, str> {
    // A text with a backslash is rare, and looking for one byte is cheap.
    let is_plain = || memchr(b'\\', bytes).is_none() || memmem::find(bytes, br"\x").is_none();
    if let Ok(text) = std::str::from_utf8(bytes)
        && is_plain()
    {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace(r"\x", r"\x5cx"));
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    Cow::Owned(text)
}

/// The bytes of a text that [`escape`] gave.
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, behind) = spelt(rest).unwrap_or((*first, tail));
        bytes.push(byte);
        rest = behind;
    }
    bytes
}

/// The byte that `text` begins with as `\xNN`, and what follows it.
fn spelt(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, tail) = text.strip_prefix(br"\x")?.split_at_checked(2)?;
    let digits = std::str::from_utf8(digits).ok()?;
    Some((u8::from_str_radix(digits, 16).ok()?, tail))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usual_names_stay_as_they_are() {
        for name in ["eth0", "my disk", "\"quoted\"", "a\\b", "größe", ""] {
            assert_eq!(escape(name.as_bytes()), name);
        }
    }

    #[test]
    fn stray_byte_and_its_spelling_are_two_names() {
        assert_eq!(escape(b"a\xffb"), r"a\xffb");
        assert_eq!(escape(br"a\xffb"), r"a\x5cxffb");
    }

    proptest! {
        #[test]
        fn every_name_comes_back(bytes: Vec<u8>) {
            prop_assert_eq!(unescape(&escape(&bytes)), bytes);
        }

        #[test]
        fn names_full_of_backslashes_come_back(bytes in "[\\\\xf5c]{0,12}") {
            prop_assert_eq!(unescape(&escape(bytes.as_bytes())), bytes.as_bytes());
        }
    }
}
