//! Names as text without loss: Windows allows any 16-bit units, JSON doesn't. A unit that isn't
//! UTF-16 (half a surrogate pair) is spelt `<NNNN>`, and so is a `<`, which names of files can't
//! have; so two names never look alike. Linux' way would double every `\x` of a path.

use std::fmt::Write;

use super::super::bytes::half;

/// The name as text.
pub(in crate::sampler) fn text(units: &[u16]) -> String {
    let mut text = String::with_capacity(units.len());
    for unit in char::decode_utf16(units.iter().copied()) {
        let unit = match unit {
            Ok('<') => u16::from(b'<'),
            Ok(character) => {
                text.push(character);
                continue;
            }
            Err(error) => error.unpaired_surrogate(),
        };
        // Writing to a string can't fail.
        write!(text, "<{unit:04x}>").unwrap_or_default();
    }
    text
}

/// The units of `bytes` up to the first zero.
pub(in crate::sampler) fn until_zero(bytes: &[u8]) -> Vec<u16> {
    let units = bytes.chunks_exact(2).filter_map(|pair| half(pair, 0));
    units.take_while(|&unit| unit != 0).collect()
}

/// The names of a list in which each ends with a zero, and the list with another.
pub(in crate::sampler) fn list(units: &[u16]) -> impl Iterator<Item = &[u16]> {
    units.split(|&unit| unit == 0).take_while(|name| !name.is_empty())
}

/// The numbers of the drives among the names of all devices, in their order.
pub(in crate::sampler) fn drives(names: &[u16]) -> Vec<u32> {
    let number = |name| String::from_utf16(name).ok()?.strip_prefix("PhysicalDrive")?.parse().ok();
    let mut drives: Vec<u32> = list(names).filter_map(number).collect();
    drives.sort_unstable();
    drives
}

/// What a volume's device is called: `HarddiskVolume3` of `\Device\HarddiskVolume3`.
pub(in crate::sampler) fn device(target: &[u16]) -> String {
    let name = text(target);
    name.strip_prefix(r"\Device\").map_or(name.clone(), String::from)
}

/// What a drive letter stands for on a network, and which kind of network that is.
///
/// `\Device\LanmanRedirector\;Z:00000000000a1b2c\server\share`: the redirector, the letter with the
/// logon session, the place. Mup, above all redirectors, may name the one below it with a `;` too.
pub(in crate::sampler) fn remote(target: &[u16]) -> Option<(String, &'static str)> {
    let name = text(target);
    let (mut redirector, mut place) = name.strip_prefix(r"\Device\")?.split_once('\\')?;
    while let Some(marked) = place.strip_prefix(';') {
        let (mark, rest) = marked.split_once('\\')?;
        redirector = if mark.contains(':') { redirector } else { mark };
        place = rest;
    }
    let kind = match &*redirector.to_ascii_lowercase() {
        "lanmanredirector" | "mup" => "smb",
        "webdavredirector" => "webdav",
        other if other.contains("nfs") => "nfs",
        _ => "network",
    };
    Some((format!(r"\\{place}"), kind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wide(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn usual_names_stay_as_they_are() {
        for name in [r"C:\", r"C:\xampp\größe 😀\", "Ethernet (\"x\")", ""] {
            assert_eq!(text(&wide(name)), name);
        }
    }

    #[test]
    fn half_a_pair_and_its_spelling_are_two_names() {
        assert_eq!(text(&[0xdc00]), "<dc00>");
        assert_eq!(text(&wide("<dc00>")), "<003c>dc00>");
    }

    #[test]
    fn list_ends_at_the_empty_name() {
        let paths = wide("C:\\\0D:\\x\\\0\0rubbish\0");
        let found: Vec<_> = list(&paths).map(text).collect();
        assert_eq!(found, [r"C:\", r"D:\x\"]);
        assert_eq!(list(&[]).count(), 0);
    }

    #[test]
    fn drives_are_found_among_all_devices_however_many_there_are() {
        let names = "PhysicalDrive40\0C:\0PhysicalDrive1\0HarddiskVolume3\0PhysicalDriveX\0\0";
        assert_eq!(drives(&wide(names)), [1, 40]);
    }

    #[test]
    fn device_of_a_volume() {
        assert_eq!(device(&wide(r"\Device\HarddiskVolume3")), "HarddiskVolume3");
        assert_eq!(device(&wide(r"\??\C:\other")), r"\??\C:\other");
    }

    #[test]
    fn share_behind_a_letter() {
        let place = |target| remote(&wide(target));
        let share = Some((String::from(r"\\server\share"), "smb"));
        let old = r"\Device\LanmanRedirector\;Z:00000000000a1b2c\server\share";
        assert_eq!(place(old), share);
        assert_eq!(place(r"\Device\Mup\;LanmanRedirector\;Z:0\server\share"), share);
        assert_eq!(place(r"\Device\Mup\server\share"), share);
        let dav = place(r"\Device\WebDavRedirector\;W:0\host@SSL\DavWWWRoot").unwrap();
        assert_eq!(dav, (String::from(r"\\host@SSL\DavWWWRoot"), "webdav"));
        assert_eq!(place(r"\Device\HarddiskVolume3"), None);
        assert_eq!(place(r"\Device\LanmanRedirector\;Z:0"), None);
    }

    proptest! {
        #[test]
        fn names_that_differ_look_different(one: Vec<u16>, other: Vec<u16>) {
            prop_assert_eq!(text(&one) == text(&other), one == other);
        }

        #[test]
        fn names_full_of_brackets_look_different(one in brackets(), other in brackets()) {
            prop_assert_eq!(text(&one) == text(&other), one == other);
        }
    }

    /// What spellings are made of, and what needs one.
    fn brackets() -> impl Strategy<Value = Vec<u16>> {
        let units = ['<', '>', '0', '3', 'c', 'd', '8'].map(|character| character as u16);
        let units = [units.as_slice(), &[0xd800, 0xdc00]].concat();
        prop::collection::vec(prop::sample::select(units), 0..8)
    }
}
