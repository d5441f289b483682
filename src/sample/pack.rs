//! Figures as few bytes: each type says once in which order its fields are passed over, and the same
//! order writes and reads. Two bits say of each field whether it is absent, zero, a number or the
//! difference to the same field of the item before; numbers take as many bytes as they need. The
//! layout is written down in `docs/on-disk-format.md`.
//!
//! A changed order is a new version of the record. Bytes of others end in an error, never in a panic
//! or in more memory than they have themselves.

use std::time::Duration;

mod reader;
mod scales;
mod siblings;
mod writer;

#[cfg(test)]
mod tests;

pub(super) use reader::Reader;
pub(super) use writer::Writer;

/// Bytes that no writer has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these bytes aren't figures")]
pub(crate) struct Malformed;

pub(super) type Result<T = ()> = std::result::Result<T, Malformed>;

/// A number and the scale in which it is told.
pub(super) type Scaled = (u8, u64);

/// What stands in the place of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    Absent,
    Zero,
    Number(Scaled),
}

/// Passes over figures in order: a writer takes what it is shown, a reader replaces it.
pub(super) trait Codec {
    /// A whole number; its difference to the item before is told where that is shorter.
    fn whole(&mut self, shown: Option<u64>) -> Result<Option<u64>>;

    /// A number with a scale from 0 to 3.
    fn scaled(&mut self, shown: Cell) -> Result<Cell>;

    /// A text; what it has in common with that of the item before is told once.
    fn text(&mut self, text: &mut String) -> Result;

    /// A list whose items resemble one another.
    fn list<T: Layout + Default>(&mut self, items: &mut Vec<T>) -> Result;

    /// From here on, numbers resemble the sums over the last list's items.
    fn expect_sums(&mut self);

    /// A counter or a count that may be lacking.
    fn count(&mut self, figure: &mut Option<u64>) -> Result {
        *figure = self.whole(*figure)?;
        Ok(())
    }

    /// A whole number that is always there.
    fn number(&mut self, figure: &mut u64) -> Result {
        *figure = self.whole(Some(*figure))?.ok_or(Malformed)?;
        Ok(())
    }

    /// [`number`](Self::number) for a smaller type.
    fn small(&mut self, figure: &mut u32) -> Result {
        let mut number = u64::from(*figure);
        self.number(&mut number)?;
        *figure = u32::try_from(number).map_err(|_| Malformed)?;
        Ok(())
    }

    /// Yes, no or unknown.
    fn flag(&mut self, flag: &mut Option<bool>) -> Result {
        *flag = self.whole(flag.map(u64::from))?.map(|number| number > 0);
        Ok(())
    }

    /// Bytes that may be lacking: most are whole sectors or pages.
    fn size(&mut self, figure: &mut Option<u64>) -> Result {
        let shown = figure.map_or(Cell::Absent, scales::of_bytes);
        *figure = scales::to_bytes(self.scaled(shown)?)?;
        Ok(())
    }

    /// Bytes that are always there.
    fn bytes(&mut self, figure: &mut u64) -> Result {
        let mut size = Some(*figure);
        self.size(&mut size)?;
        *figure = size.ok_or(Malformed)?;
        Ok(())
    }

    /// A share, a rate or a load; exact whatever it is, small when it has few decimals.
    fn float(&mut self, figure: &mut Option<f32>) -> Result {
        let shown = figure.map_or(Cell::Absent, scales::of_float);
        *figure = scales::to_float(self.scaled(shown)?)?;
        Ok(())
    }

    /// A span of time, exact to the nanosecond.
    fn span(&mut self, span: &mut Option<Duration>) -> Result {
        let shown = span.map_or(Cell::Absent, scales::of_span);
        *span = scales::to_span(self.scaled(shown)?)?;
        Ok(())
    }

    /// A figure that as a rule is `expected`, which follows from others: told only if it isn't.
    fn derived<T: PartialEq>(
        &mut self,
        figure: &mut T,
        expected: T,
        tell: impl FnOnce(&mut Self, &mut T) -> Result,
    ) -> Result {
        let mut differs = Some(*figure != expected);
        self.flag(&mut differs)?;
        if differs == Some(true) {
            return tell(self, figure);
        }
        *figure = expected;
        Ok(())
    }

    /// Something of several fields that may be lacking as a whole.
    fn optional<T: Default>(
        &mut self,
        item: &mut Option<T>,
        tell: impl FnOnce(&mut Self, &mut T) -> Result,
    ) -> Result {
        let mut there = item.as_ref().map(|_| 0);
        self.count(&mut there)?;
        if there.is_none() {
            *item = None;
            return Ok(());
        }
        tell(self, item.get_or_insert_default())
    }

    /// A text that may be lacking.
    fn optional_text(&mut self, text: &mut Option<String>) -> Result {
        self.optional(text, Self::text)
    }
}

/// Says in which order the fields of a type are passed over.
pub(super) trait Layout {
    /// Shows each field to `codec`, which may replace it.
    fn layout<C: Codec>(&mut self, codec: &mut C) -> Result;
}
