//! Writes figures: the classes of all fields, two bits each, then their bytes.

use super::{Cell, Codec, Layout, Result, siblings::Siblings};
use crate::zigzag::zigzag;

pub(super) const ABSENT: u8 = 0;
pub(super) const ZERO: u8 = 1;
pub(super) const NUMBER: u8 = 2;
/// Of a number: its difference to the item before. Of a text: what it doesn't share with it.
pub(super) const RELATIVE: u8 = 3;
/// Bytes that texts share with those before them, all together: a reader must not be made to copy
/// more.
pub(super) const MOST_SHARED: usize = 16 << 20;

/// Collects what it is shown.
#[derive(Debug, Default)]
pub(in crate::sample) struct Writer {
    classes: Vec<u8>,
    fields: usize,
    bytes: Vec<u8>,
    siblings: Siblings,
    shared: usize,
}

impl Writer {
    /// Everything that was shown, as bytes.
    pub(in crate::sample) fn finish(self) -> Vec<u8> {
        let mut packed = Vec::with_capacity(self.classes.len() + self.bytes.len() + 3);
        put(&mut packed, (0, 0), self.classes.len() as u64);
        packed.extend(self.classes);
        packed.extend(self.bytes);
        packed
    }

    fn class(&mut self, class: u8) {
        let shift = self.fields % 4 * 2;
        match self.classes.last_mut().filter(|_| shift > 0) {
            Some(last) => *last |= class << shift,
            None => self.classes.push(class),
        }
        self.fields += 1;
    }

    fn whole_number(&mut self, number: u64) {
        let expected = self.siblings.expected();
        let difference = expected.map(|expected| zigzag(number.wrapping_sub(expected)));
        match (number, difference) {
            (0, _) => self.class(ZERO),
            (_, Some(difference)) if length(difference) < length(number) => {
                self.class(RELATIVE);
                put(&mut self.bytes, (0, 0), difference);
            }
            _ => {
                self.class(NUMBER);
                put(&mut self.bytes, (0, 0), number);
            }
        }
    }
}

impl Codec for Writer {
    fn whole(&mut self, shown: Option<u64>) -> Result<Option<u64>> {
        match shown {
            None => self.class(ABSENT),
            Some(number) => self.whole_number(number),
        }
        self.siblings.push(shown.unwrap_or(0));
        Ok(shown)
    }

    fn scaled(&mut self, shown: Cell) -> Result<Cell> {
        match shown {
            Cell::Absent => self.class(ABSENT),
            Cell::Zero => self.class(ZERO),
            Cell::Number((scale, number)) => {
                self.class(NUMBER);
                put(&mut self.bytes, (scale, 2), number);
            }
        }
        Ok(shown)
    }

    fn text(&mut self, text: &mut String) -> Result {
        let before = self.siblings.expected_text();
        let shared = text.bytes().zip(before.bytes()).take_while(|(a, b)| a == b).count();
        let rest = &text.as_bytes()[shared..];
        if text.is_empty() {
            self.class(ZERO);
        } else if shared > 1 && self.shared + shared <= MOST_SHARED {
            self.shared += shared;
            self.class(RELATIVE);
            put(&mut self.bytes, (0, 0), shared as u64);
            put(&mut self.bytes, (0, 0), rest.len() as u64);
            self.bytes.extend(rest);
        } else {
            self.class(NUMBER);
            put(&mut self.bytes, (0, 0), text.len() as u64);
            self.bytes.extend(text.as_bytes());
        }
        self.siblings.push_text(text);
        Ok(())
    }

    fn list<T: Layout + Default>(&mut self, items: &mut Vec<T>) -> Result {
        self.whole(Some(items.len() as u64))?;
        self.siblings.begin_list();
        for item in items {
            item.layout(self)?;
            self.siblings.end_item();
        }
        self.siblings.end_list();
        Ok(())
    }

    fn expect_sums(&mut self) {
        self.siblings.expect_sums();
    }
}

/// Seven bits a byte, the lowest first; the first byte begins with `scale` in so many bits.
fn put(bytes: &mut Vec<u8>, (scale, bits): (u8, u32), number: u64) {
    let room = 7 - bits;
    let mut rest = number >> room;
    let mut byte = low(number, room) << bits | scale;
    while rest > 0 {
        bytes.push(byte | 0x80);
        byte = low(rest, 7);
        rest >>= 7;
    }
    bytes.push(byte);
}

#[expect(clippy::cast_possible_truncation, reason = "at most seven bits are kept")]
fn low(number: u64, bits: u32) -> u8 {
    (number & ((1 << bits) - 1)) as u8
}

fn length(number: u64) -> u32 {
    (64 - number.leading_zeros()).div_ceil(7)
}
