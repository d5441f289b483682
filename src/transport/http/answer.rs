//! An answer and what it means for the batch: one `match` over the status, and the text that
//! status and log show of it.

use hyper::{
    HeaderMap, StatusCode,
    header::{DATE, HeaderName, LOCATION, RETRY_AFTER},
    http::response::Parts,
};
use jiff::Timestamp;

use super::{Delivery, Late, Reason, masks::Masks};
use crate::retry;

/// How much of a body may matter to a person.
pub(super) const KEPT_BYTES: usize = 1024;
/// How much of it stands in a reason, in characters.
const MAX_LINE: usize = 200;

/// A complete header section and the beginning of the body.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    seen_whole: bool,
}

/// What a status means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    Retry,
    Hold,
    TooLarge,
    Rejected,
}

/// The contract's table of answers.
fn verdict(status: u16) -> Verdict {
    match status {
        200..=299 => Verdict::Accepted,
        408 | 409 | 425 | 429 => Verdict::Retry,
        413 => Verdict::TooLarge,
        // Us, not the data: the key, the type of the body, the path, the method, the version.
        401..=407 | 410 | 415 | 421 | 426 | 431 | 451 | 501 | 505 | 300..=399 => Verdict::Hold,
        400..=499 => Verdict::Rejected,
        // 1xx is no final answer, and what lies beyond 599 counts as 5xx (RFC 9110, section 15).
        _ => Verdict::Retry,
    }
}

impl Answer {
    /// `seen_whole`: the request had left this process when the answer began.
    pub(super) fn new(head: Parts, body: Vec<u8>, seen_whole: bool) -> Self {
        Self { status: head.status, headers: head.headers, body, seen_whole }
    }

    /// What the status means.
    pub(super) fn verdict(&self) -> Verdict {
        verdict(self.status.as_u16())
    }

    /// Judges the answer.
    pub(super) fn delivery(&self, masks: &Masks, now: Timestamp) -> Delivery {
        match self.verdict() {
            Verdict::Accepted if self.seen_whole => Delivery::Accepted,
            // Whatever it acknowledges, it isn't this batch.
            Verdict::Accepted => Delivery::Retry {
                after: None,
                reason: Reason {
                    status: Some(self.status.as_u16()),
                    text: format!("{} before the request was sent", self.status),
                },
                late: Late::No,
            },
            Verdict::Retry => Delivery::Retry {
                after: self.retry_after(now),
                reason: self.reason(masks),
                late: Late::No,
            },
            Verdict::Hold => Delivery::Hold { reason: self.reason(masks) },
            Verdict::TooLarge => {
                Delivery::TooLarge { reason: self.reason(masks), answer: self.beginning(masks) }
            }
            Verdict::Rejected => {
                Delivery::Rejected { reason: self.reason(masks), answer: self.beginning(masks) }
            }
        }
    }

    /// Status, where a redirect points, and the first line of the body.
    pub(super) fn reason(&self, masks: &Masks) -> Reason {
        let mut text = self.status.as_u16().to_string();
        if let Some(phrase) = self.status.canonical_reason() {
            text = format!("{text} {phrase}");
        }
        let target = self.status.is_redirection().then(|| self.header(&LOCATION)).flatten();
        if let Some(target) = target {
            text = format!("{text}, not followed to {}", clean(&masks.apply(target)));
        }
        let line = clean(&self.text(masks));
        if !line.is_empty() {
            text = format!("{text}: {line}");
        }
        Reason { status: Some(self.status.as_u16()), text }
    }

    /// The beginning of the body as text, the key masked.
    fn beginning(&self, masks: &Masks) -> String {
        let mut text = self.text(masks);
        text.truncate(text.floor_char_boundary(KEPT_BYTES));
        text
    }

    /// What was kept of the body, the key masked; of a secret that was cut off nothing is left.
    fn text(&self, masks: &Masks) -> String {
        let mut text = masks.apply(&String::from_utf8_lossy(&self.body));
        let cut = masks.begun_at_end_of(&text);
        text.truncate(text.len() - cut);
        text
    }

    /// What `Retry-After` asks for.
    pub(super) fn retry_after(&self, now: Timestamp) -> Option<std::time::Duration> {
        let date = self.header(&DATE);
        let values = self.headers.get_all(RETRY_AFTER);
        let values = values.iter().filter_map(|value| value.to_str().ok());
        values.filter_map(|value| retry::retry_after(value, date, now)).max()
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The first line that isn't blank, for a person: control characters as spaces, at most 200
/// characters.
fn clean(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let mut shown: String = line
        .chars()
        .map(|symbol| if symbol.is_control() { ' ' } else { symbol })
        .take(MAX_LINE)
        .collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answer(status: u16, headers: &[(HeaderName, &str)], body: &str) -> Answer {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers, body: body.into(), seen_whole: true }
    }

    fn judged(answer: &Answer) -> Delivery {
        answer.delivery(&Masks::default(), "2026-11-22T12:00:00Z".parse().unwrap())
    }

    fn judged_with(answer: &Answer, masks: &Masks) -> Delivery {
        answer.delivery(masks, "2026-11-22T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn every_status_means_what_the_contract_says() {
        let holds = [401, 402, 403, 406, 407, 415, 421, 426, 431, 451, 404, 405, 410, 501, 505];
        let retries = [408, 409, 425, 429];
        for status in 100..=999_u16 {
            let expected = match status {
                200..300 => Verdict::Accepted,
                300..400 => Verdict::Hold,
                413 => Verdict::TooLarge,
                _ if holds.contains(&status) => Verdict::Hold,
                _ if retries.contains(&status) || !(400..500).contains(&status) => Verdict::Retry,
                _ => Verdict::Rejected,
            };
            assert_eq!(verdict(status), expected, "{status}");
        }
    }

    #[test]
    fn acknowledgement_of_a_request_that_was_not_sent_whole_is_none() {
        let mut early = answer(200, &[], "");
        assert_eq!(judged(&early), Delivery::Accepted);
        early.seen_whole = false;
        assert!(matches!(judged(&early), Delivery::Retry { after: None, .. }));
    }

    #[test]
    fn longest_usable_retry_after_counts() {
        let headers = [(RETRY_AFTER, "soon"), (RETRY_AFTER, "7"), (RETRY_AFTER, "5")];
        let Delivery::Retry { after, .. } = judged(&answer(503, &headers, "")) else { panic!() };
        assert_eq!(after, Some(Duration::from_secs(7)));
        let headers = [
            (DATE, "Sat, 01 Jan 2000 00:00:00 GMT"),
            (RETRY_AFTER, "Sat, 01 Jan 2000 00:02:00 GMT"),
        ];
        let Delivery::Retry { after, .. } = judged(&answer(429, &headers, "")) else { panic!() };
        assert_eq!(after, Some(Duration::from_mins(2)));
    }

    #[test]
    fn reason_is_one_clean_short_line_without_the_key() {
        let masks = Masks::of(&["s3cret".into()]);
        let body = format!("\r\n \n\tbad\u{1b}[31m key s3cret {}\nsecond", "x".repeat(500));
        let reason = answer(401, &[], &body).reason(&masks);
        assert_eq!(reason.status, Some(401));
        let start = "401 Unauthorized: bad [31m key *** xxx";
        assert!(reason.text.starts_with(start), "{reason}");
        assert!(reason.text.ends_with('…') && reason.text.chars().count() < 230, "{reason}");
    }

    #[test]
    fn key_at_the_cut_is_masked_whole() {
        let masks = Masks::of(&["s3cret".into()]);
        let body = format!("{}s3cret", "x".repeat(MAX_LINE - 3));
        assert!(!answer(400, &[], &body).reason(&masks).text.contains("s3c"));
    }

    #[test]
    fn key_that_was_cut_off_with_the_body_leaves_nothing_of_itself() {
        let secret = "s3cret".repeat(20);
        let masks = Masks::of(&[secret.as_str().into()]);
        for whole in [0, 3, 9] {
            // Masks are shorter than what they hide: what was cut off moves into what is shown.
            let body = format!("{}x{}", secret.repeat(whole), &secret[..secret.len() - 1]);
            let answer = answer(422, &[], &body);
            let Delivery::Rejected { reason, answer } = judged_with(&answer, &masks) else {
                panic!()
            };
            assert_eq!(answer, format!("{}x", "***".repeat(whole)));
            assert!(!reason.text.contains("s3c"), "{reason}");
        }
    }

    #[test]
    fn dead_letter_gets_the_first_kibibyte_of_the_answer() {
        let masks = Masks::of(&["s3cret".into()]);
        let body = format!("{}s3cret, line\nanother é{}", "é".repeat(495), "y".repeat(900));
        let kept = &body.as_bytes()[..KEPT_BYTES + masks.longest()];
        let answer = Answer { body: kept.into(), ..answer(413, &[], "") };
        let Delivery::TooLarge { answer, .. } = judged_with(&answer, &masks) else { panic!() };
        assert!((KEPT_BYTES - 3..=KEPT_BYTES).contains(&answer.len()), "{}", answer.len());
        assert!(answer.contains("***, line\nanother é"), "{answer}");
    }

    #[test]
    fn reason_of_a_redirect_names_its_target() {
        let headers = [(LOCATION, "https://elsewhere.example/")];
        let reason = answer(308, &headers, "").reason(&Masks::default());
        let text = "308 Permanent Redirect, not followed to https://elsewhere.example/";
        assert_eq!(reason.text, text);
        assert_eq!(answer(599, &[], "").reason(&Masks::default()).text, "599");
    }
}
