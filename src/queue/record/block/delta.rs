//! Delta encoding of the records of a block: each is told by what it doesn't share with the one among
//! the few before it that is most like it. Pure; knows frames, not what is in a payload.
//!
//! A payload is taken for a row of tokens, numbers of seven bits a byte, as packed figures are. Any other
//! bytes come back as well; they only take more room. What each byte means is written down in
//! `docs/on-disk-format.md`.

use std::{cmp::Reverse, collections::VecDeque};

use super::{
    super::{frame, parts},
    whole,
};
use crate::zigzag::{unzigzag, zigzag};

/// A record is compared with so many before it: two ticks of four groups.
const BACK: usize = 8;
/// Tokens that are looked at to find how two rows go on together.
const AHEAD: usize = 4;
/// Tokens that are only in this row, and only in the other, where they may go on together.
const SHIFTS: [(usize, usize); 8] =
    [(0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1), (3, 0), (0, 3)];

/// The token is the other's.
const SAME: u8 = 0;
/// The token follows as it is; the other has none in its place.
const ADDED: u8 = 1;
/// The other's token has no counterpart.
const GONE: u8 = 2;
/// The token follows as it is, in the place of the other's.
const REPLACED: u8 = 3;
/// From here on the difference of two numbers.
const DIFFERENCE: u64 = 4;

/// A number of seven bits a byte, or bytes that look like one.
#[derive(Clone, Copy, PartialEq)]
struct Token<'a> {
    bytes: &'a [u8],
    /// What it is if nothing else would be written as these bytes.
    number: Option<u64>,
}

impl<'a> Token<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let ends = |last: &u8| *last < 0x80 && (*last > 0 || bytes.len() == 1);
        let is_number = bytes.len() <= 9 && bytes.last().is_some_and(ends);
        let value = || bytes.iter().rev().fold(0, |all, byte| all << 7 | u64::from(byte & 0x7f));
        Self { bytes, number: is_number.then(value) }
    }

    /// How it is told by `other`: the difference, if that is shorter.
    fn difference(&self, other: &Self) -> Option<u64> {
        let difference = zigzag(self.number?.wrapping_sub(other.number?));
        difference.checked_add(DIFFERENCE).filter(|told| length(*told) <= self.bytes.len())
    }

    /// Bytes that tell it by `other`, but for those that cost next to nothing.
    fn cost(&self, other: Option<&Self>) -> usize {
        if other == Some(self) {
            return 0;
        }
        let difference = other.and_then(|other| self.difference(other));
        difference.map_or(self.bytes.len() + 1, length)
    }
}

fn tokens(payload: &[u8]) -> Vec<Token<'_>> {
    payload.split_inclusive(|byte| *byte < 0x80).map(Token::of).collect()
}

/// What tells `frames`, whole records in order of which the first has the number `first`. It is
/// never longer than they are.
pub(super) fn pack(frames: &[u8], first: u64) -> Vec<u8> {
    let (mut packed, mut next, mut total) = (Vec::new(), first, 0_u64);
    let records: Vec<_> = whole(frames).collect();
    let mut before = Vec::with_capacity(records.len());
    for record in &records {
        let expected = total.wrapping_add(record.payload.len() as u64);
        packed.push(record.version);
        put(&mut packed, record.seq.wrapping_sub(next));
        put(&mut packed, zigzag(record.running_total.wrapping_sub(expected)));
        let row = tokens(&record.payload);
        packed.extend(told(&record.payload, &row, &before));
        before.push(row);
        (next, total) = (record.seq.wrapping_add(1), record.running_total);
    }
    packed
}

/// A payload, by one of those `before` or as it is.
fn told(payload: &[u8], row: &[Token<'_>], before: &[Vec<Token<'_>>]) -> Vec<u8> {
    let mut whole = vec![0];
    put(&mut whole, payload.len() as u64);
    whole.extend(payload);
    // The end of a token that doesn't end can't be told.
    let ends = payload.last().is_some_and(|last| *last < 0x80);
    let in_common = |other: &[Token<'_>]| row.iter().zip(other).filter(|(a, b)| a == b).count();
    let others = before.iter().rev().zip(1..=BACK).filter(|_| ends);
    let Some((other, back)) = others.max_by_key(|(other, back)| (in_common(other), Reverse(*back)))
    else {
        return whole;
    };
    let mut told = Vec::new();
    put(&mut told, back as u64);
    put(&mut told, row.len() as u64);
    differences(row, other, &mut told);
    if told.len() < whole.len() { told } else { whole }
}

fn differences(mut row: &[Token<'_>], mut other: &[Token<'_>], told: &mut Vec<u8>) {
    while let Some(token) = row.first() {
        let goes_on = token.cost(other.first()) <= 1;
        let (added, gone) = if goes_on { (0, 0) } else { shift(row, other) };
        told.extend(std::iter::repeat_n(GONE, gone));
        other = &other[gone..];
        for token in &row[..added] {
            told.push(ADDED);
            told.extend(token.bytes);
        }
        row = &row[added..];
        if let Some((token, behind)) = row.split_first() {
            let like = other.first();
            if like == Some(token) {
                told.push(SAME);
            } else if let Some(difference) = like.and_then(|like| token.difference(like)) {
                put(told, difference);
            } else {
                told.push(REPLACED);
                told.extend(token.bytes);
            }
            row = behind;
        }
        other = other.get(1..).unwrap_or_default();
    }
}

/// How many tokens of each row have no counterpart, before the two go on together.
fn shift(row: &[Token<'_>], other: &[Token<'_>]) -> (usize, usize) {
    let cost = |(added, gone): &(usize, usize)| {
        let literal: usize = row[..*added].iter().map(|token| token.cost(None)).sum();
        let ahead = row[*added..].iter().take(AHEAD).zip(*gone..);
        literal + gone + ahead.map(|(token, at)| token.cost(other.get(at))).sum::<usize>()
    };
    let fits = |(added, gone): &(usize, usize)| *added <= row.len() && *gone <= other.len();
    SHIFTS.into_iter().filter(fits).min_by_key(cost).unwrap_or_default()
}

/// The frames of which `packed` tells; `None` if it doesn't, or if they are more than `most` bytes.
pub(super) fn unpack(packed: &[u8], first: u64, most: usize) -> Option<Vec<u8>> {
    let mut packed = Bytes(packed);
    let (mut frames, mut next, mut total) = (Vec::with_capacity(most / 4), first, 0_u64);
    let mut before: VecDeque<Vec<u8>> = VecDeque::with_capacity(BACK);
    while !packed.0.is_empty() {
        let version = packed.byte()?;
        let seq = next.checked_add(packed.number()?)?;
        let surplus = unzigzag(packed.number()?);
        let payload = match usize::try_from(packed.number()?).ok()? {
            0 => {
                let length = usize::try_from(packed.number()?).ok()?;
                packed.take(length)?.to_vec()
            }
            back => {
                let other = before.len().checked_sub(back)?;
                packed.payload(&before[other], most)?
            }
        };
        let running_total = total.wrapping_add(payload.len() as u64).wrapping_add(surplus);
        for part in parts(version, seq, running_total, &payload) {
            frames.extend(frame(&part));
        }
        if frames.len() > most {
            return None;
        }
        if before.len() == BACK {
            before.pop_front();
        }
        before.push_back(payload);
        (next, total) = (seq.checked_add(1)?, running_total);
    }
    Some(frames)
}

/// What is still to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// The next payload, told by `other`.
    fn payload(&mut self, other: &[u8], most: usize) -> Option<Vec<u8>> {
        let (mut payload, mut other) = (Vec::with_capacity(other.len() + 32), Bytes(other));
        let mut left = self.number()?;
        while left > 0 {
            // Most are the same, many in a row.
            let same = self.0.iter().zip(0..left).take_while(|(how, _)| **how == SAME).count();
            if same > 0 {
                self.take(same)?;
                payload.extend(other.tokens(same)?);
                left -= same as u64;
                continue;
            }
            let how = self.number()?;
            let like = if how == u64::from(ADDED) { None } else { other.tokens(1) };
            if how == u64::from(GONE) {
                continue;
            }
            if let Some(difference) = how.checked_sub(DIFFERENCE) {
                let number = Token::of(like?).number?;
                put(&mut payload, number.wrapping_add(unzigzag(difference)));
            } else {
                payload.extend(self.token()?);
            }
            if payload.len() > most {
                return None;
            }
            left -= 1;
        }
        Some(payload)
    }

    /// The bytes of the next `count` tokens; the last of all may not end.
    fn tokens(&mut self, count: usize) -> Option<&'a [u8]> {
        let mut end = 0;
        for _ in 0..count {
            let rest = self.0.get(end..).filter(|rest| !rest.is_empty())?;
            end += rest.iter().position(|byte| *byte < 0x80).map_or(rest.len(), |last| last + 1);
        }
        self.take(end)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// The bytes of the next token, which must end.
    fn token(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte < 0x80)?;
        self.take(end + 1)
    }

    fn number(&mut self) -> Option<u64> {
        let bytes = self.token().filter(|bytes| bytes.len() <= 10)?;
        let mut number = 0_u64;
        for byte in bytes.iter().rev() {
            number = number.checked_mul(1 << 7)? | u64::from(byte & 0x7f);
        }
        Some(number)
    }
}

/// Seven bits a byte, the lowest first.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return bytes.push(low & 0x7f);
        }
        bytes.push(low | 0x80);
    }
}

/// How many bytes [`put`] writes.
fn length(number: u64) -> usize {
    number.checked_ilog2().map_or(1, |bits| bits as usize / 7 + 1)
}

#[cfg(test)]
mod tests;
