//! `Retry-After` with the answer's `Date`: two lines of text. Whatever they say, the wait is an hour
//! at most.
#![no_main]

use std::time::Duration;

use collector::retry::retry_after;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let (value, date) = match text.split_once('\n') {
        Some((value, date)) => (value, Some(date)),
        None => (&*text, None),
    };
    for now in [Timestamp::UNIX_EPOCH, Timestamp::MIN, Timestamp::MAX] {
        let wait = retry_after(value, date, now);
        assert!(wait.is_none_or(|wait| wait <= Duration::from_hours(1)), "{wait:?}");
    }
});
