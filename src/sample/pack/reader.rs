//! Reads what [`Writer`](super::Writer) wrote. Whatever the bytes are, it takes no more than they
//! have themselves: each item of a list uses some of them up.

use super::{
    Cell, Codec, Layout, Malformed, Result,
    siblings::Siblings,
    writer::{ABSENT, MOST_SHARED, NUMBER, RELATIVE, ZERO},
};
use crate::zigzag::unzigzag;

/// Replaces what it is shown by what stands in the bytes.
#[derive(Debug)]
pub(in crate::sample) struct Reader<'a> {
    classes: &'a [u8],
    fields: usize,
    bytes: &'a [u8],
    siblings: Siblings,
    shared: usize,
}

impl<'a> Reader<'a> {
    /// A reader of what [`finish`](super::Writer::finish) gave.
    pub(in crate::sample) fn new(packed: &'a [u8]) -> Result<Self> {
        let mut bytes = packed;
        let (_, length) = take(&mut bytes, 0)?;
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (classes, bytes) = bytes.split_at_checked(length).ok_or(Malformed)?;
        Ok(Self { classes, fields: 0, bytes, siblings: Siblings::default(), shared: 0 })
    }

    /// Makes sure that nothing was left over.
    pub(in crate::sample) fn finish(self) -> Result {
        let all = self.bytes.is_empty() && self.fields.div_ceil(4) == self.classes.len();
        all.then_some(()).ok_or(Malformed)
    }

    fn class(&mut self) -> Result<u8> {
        let byte = self.classes.get(self.fields / 4).ok_or(Malformed)?;
        let class = byte >> (self.fields % 4 * 2) & 3;
        self.fields += 1;
        Ok(class)
    }

    fn varint(&mut self) -> Result<u64> {
        take(&mut self.bytes, 0).map(|(_, number)| number)
    }

    fn piece(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        let (piece, rest) = self.bytes.split_at_checked(length).ok_or(Malformed)?;
        self.bytes = rest;
        Ok(piece)
    }
}

impl Codec for Reader<'_> {
    fn whole(&mut self, _: Option<u64>) -> Result<Option<u64>> {
        let expected = self.siblings.expected();
        let found = match self.class()? {
            ABSENT => None,
            ZERO => Some(0),
            NUMBER => Some(self.varint()?),
            _ => {
                let difference = unzigzag(self.varint()?);
                Some(expected.ok_or(Malformed)?.wrapping_add(difference))
            }
        };
        self.siblings.push(found.unwrap_or(0));
        Ok(found)
    }

    fn scaled(&mut self, _: Cell) -> Result<Cell> {
        match self.class()? {
            ABSENT => Ok(Cell::Absent),
            ZERO => Ok(Cell::Zero),
            NUMBER => take(&mut self.bytes, 2).map(Cell::Number),
            _ => Err(Malformed),
        }
    }

    fn text(&mut self, text: &mut String) -> Result {
        let mut found = Vec::new();
        match self.class()? {
            ZERO => {}
            NUMBER => found.extend(self.piece()?),
            RELATIVE => {
                let shared = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                self.shared = self.shared.saturating_add(shared);
                let before = self.siblings.expected_text().as_bytes().get(..shared);
                found.extend(before.filter(|_| self.shared <= MOST_SHARED).ok_or(Malformed)?);
                found.extend(self.piece()?);
            }
            _ => return Err(Malformed),
        }
        *text = String::from_utf8(found).map_err(|_| Malformed)?;
        self.siblings.push_text(text);
        Ok(())
    }

    fn list<T: Layout + Default>(&mut self, items: &mut Vec<T>) -> Result {
        let count = self.whole(None)?.ok_or(Malformed)?;
        self.siblings.begin_list();
        items.clear();
        for _ in 0..count {
            let mut item = T::default();
            item.layout(self)?;
            items.push(item);
            self.siblings.end_item();
        }
        self.siblings.end_list();
        Ok(())
    }

    fn expect_sums(&mut self) {
        self.siblings.expect_sums();
    }
}

/// The scale in so many bits, and the number behind it.
fn take(bytes: &mut &[u8], bits: u32) -> Result<(u8, u64)> {
    let (first, mut rest) = bytes.split_first().ok_or(Malformed)?;
    let scale = first & ((1 << bits) - 1);
    let mut number = u64::from((first & 0x7f) >> bits);
    let (mut shift, mut more) = (7 - bits, first & 0x80 != 0);
    while more {
        let (byte, behind) = rest.split_first().ok_or(Malformed)?;
        let part = u64::from(byte & 0x7f);
        if shift > 63 || part << shift >> shift != part {
            return Err(Malformed);
        }
        number |= part << shift;
        (rest, shift, more) = (behind, shift + 7, byte & 0x80 != 0);
    }
    *bytes = rest;
    Ok((scale, number))
}
