//! Durations and sizes as people write them: `5`, `500ms`, `2h`; `100MB`, `100MiB`. Parses them
//! and writes them so that they parse again.

use std::time::Duration;

use super::yaml::Kind;

/// Units of time, largest first, with their length in milliseconds.
const TIMES: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Units of size, largest first. The decimal ones win where both are exact.
const SIZES: [(&str, u64); 10] = [
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("KB", 1000),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// A duration as the configuration takes it, for the command line: `60s`, `5`, `2h`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    duration(&Kind::Text(text.into()))
}

/// A bare number is seconds. `None`: not a duration, or one that is negative or endless.
pub(super) fn duration(from: &Kind) -> Option<Duration> {
    match from {
        Kind::Int(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
        Kind::Float(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
        Kind::Text(text) => {
            let (number, unit) = split(text);
            let millis = if unit.is_empty() { 1000 } else { length(&TIMES, unit)? };
            times(number, u128::from(millis) * 1_000_000).map(Duration::from_nanos)
        }
        _ => None,
    }
}

/// A bare number is bytes. `None`: not a size, or a negative one.
pub(super) fn size(from: &Kind) -> Option<u64> {
    match from {
        Kind::Int(bytes) => u64::try_from(*bytes).ok(),
        Kind::Text(text) => {
            let (number, unit) = split(text);
            times(number, if unit.is_empty() { 1 } else { length(&SIZES, unit)?.into() })
        }
        _ => None,
    }
}

/// `12.5MB` → (`12.5`, `MB`). No sign, no exponent, no blank.
fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
}

fn length(units: &[(&str, u64)], name: &str) -> Option<u64> {
    units.iter().find(|(unit, _)| *unit == name).map(|&(_, length)| length)
}

/// A decimal number of units, exact but for what is smaller than one.
fn times(number: &str, unit: u128) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = u32::try_from(fraction.len()).ok().filter(|digits| *digits <= 9)?;
    let [whole, fraction]: [u64; 2] = [whole.parse().ok()?, fraction.parse().ok()?];
    let fraction = u128::from(fraction) * unit / 10_u128.pow(digits);
    u64::try_from(u128::from(whole).checked_mul(unit)? + fraction).ok()
}

/// The duration in the largest unit that divides it: `30s`, `1d`, `500ms`.
pub(super) fn duration_text(duration: Duration) -> String {
    let fits = |unit: u64| duration.as_nanos().is_multiple_of(u128::from(unit) * 1_000_000);
    match TIMES.iter().find(|(_, unit)| !duration.is_zero() && fits(*unit)) {
        Some((name, unit)) => format!("{}{name}", duration.as_millis() / u128::from(*unit)),
        None => format!("{}s", duration.as_secs_f64()),
    }
}

/// The size in the largest unit that divides it: `100MB`, `64KiB`.
pub(super) fn size_text(bytes: u64) -> String {
    match SIZES.iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => "0B".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &str) -> Kind {
        Kind::Text(text.into())
    }

    #[test]
    fn durations_are_read_as_written() {
        for (written, millis) in [
            ("500ms", 500),
            ("5s", 5000),
            ("1m", 60_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
            ("0.1s", 100),
            ("1.5h", 5_400_000),
            ("0.05m", 3000),
            ("30", 30_000),
        ] {
            assert_eq!(duration(&text(written)), Some(Duration::from_millis(millis)), "{written}");
        }
        assert_eq!(duration(&Kind::Int(5)), Some(Duration::from_secs(5)));
        assert_eq!(duration(&Kind::Float(0.1)), Some(Duration::from_millis(100)));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for written in [
            "",
            "s",
            "5 s",
            "5S",
            "5sec",
            "-5s",
            "+5s",
            "1e3",
            ".5s",
            "1.2.3s",
            "5w",
            "1h30m",
            "5.s",
            "1.0000000001s",
            "∞",
            "5M",
        ] {
            assert_eq!(duration(&text(written)), None, "{written}");
        }
        for kind in [Kind::Int(-1), Kind::Float(f64::NAN), Kind::Float(f64::INFINITY), Kind::Empty]
        {
            assert_eq!(duration(&kind), None, "{kind:?}");
        }
        assert_eq!(duration(&text(&"9".repeat(400))), None);
    }

    #[test]
    fn sizes_are_read_as_written() {
        for (written, bytes) in [
            ("100MB", 100_000_000),
            ("100MiB", 104_857_600),
            ("1KB", 1000),
            ("1kB", 1000),
            ("1KiB", 1024),
            ("1.5GB", 1_500_000_000),
            ("12B", 12),
            ("12", 12),
        ] {
            assert_eq!(size(&text(written)), Some(bytes), "{written}");
        }
        for written in ["", "MB", "100 MB", "100M", "100mb", "-1MB", "1e6", "100Mb"] {
            assert_eq!(size(&text(written)), None, "{written}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(millis in 0u64..1 << 40, bytes in 0u64..1 << 50) {
            let time = Duration::from_millis(millis);
            prop_assert_eq!(duration(&text(&duration_text(time))), Some(time));
            prop_assert_eq!(size(&text(&size_text(bytes))), Some(bytes));
        }
    }
}
