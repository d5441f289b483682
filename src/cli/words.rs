//! Figures in words that a person likes to read.

use std::time::Duration;

use indicatif::{DecimalBytes, HumanCount};
use jiff::Timestamp;

/// `1.23 MB`.
pub(super) fn size(bytes: u64) -> String {
    DecimalBytes(bytes).to_string()
}

/// `1,234`.
pub(super) fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

/// `1 sample`, `1,234 samples`: a number of what `one` is the name of.
pub(super) fn many(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    [&count(number), " ", one, plural].concat()
}

/// `3h 12m`: the two largest units, to the second.
pub(super) fn duration(duration: Duration) -> String {
    let text = humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// `3h 12m ago`, or `just now`.
pub(super) fn ago(then: Timestamp, now: Timestamp) -> String {
    match Duration::try_from(now.duration_since(then)) {
        Ok(age) if age >= Duration::from_secs(1) => format!("{} ago", duration(age)),
        Ok(_) => "just now".to_owned(),
        Err(_) => {
            format!("{} ahead of the clock", duration(now.duration_since(then).unsigned_abs()))
        }
    }
}

/// `in 12s`, or `now`.
pub(super) fn ahead(then: Timestamp, now: Timestamp) -> String {
    match Duration::try_from(then.duration_since(now)) {
        Ok(wait) if wait >= Duration::from_secs(1) => format!("in {}", duration(wait)),
        _ => "now".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_nothing_else_is() {
        let told: Vec<_> = [0, 1, 2, 1_234].map(|number| many(number, "dead letter")).into();
        assert_eq!(
            told,
            ["0 dead letters", "1 dead letter", "2 dead letters", "1,234 dead letters"]
        );
    }
}
