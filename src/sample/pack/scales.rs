//! Numbers told in the coarsest of four units that is exact: bytes, spans of time, decimals.

use std::time::Duration;

use super::{Cell, Malformed, Result};

const BYTES: [u64; 4] = [1, 512, 1024, 4096];
const NANOSECONDS: [u64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];
/// The fourth scale are the bits of the number.
const DECIMALS: [f32; 3] = [1.0, 100.0, 10_000.0];
/// Whole numbers above aren't all exact as f32, and the bits are as short.
const MOST_WHOLE: f32 = 16_777_216.0;

fn in_units(number: u64, units: [u64; 4]) -> Cell {
    if number == 0 {
        return Cell::Zero;
    }
    let exact = (0..).zip(units).filter(|(_, unit)| number.is_multiple_of(*unit)).last();
    let (scale, unit) = exact.unwrap_or((0, 1));
    Cell::Number((scale, number / unit))
}

fn from_units(cell: Cell, units: [u64; 4]) -> Result<Option<u64>> {
    match cell {
        Cell::Absent => Ok(None),
        Cell::Zero => Ok(Some(0)),
        Cell::Number((scale, number)) => {
            let unit = units.get(usize::from(scale)).ok_or(Malformed)?;
            number.checked_mul(*unit).map(Some).ok_or(Malformed)
        }
    }
}

pub(super) fn of_bytes(bytes: u64) -> Cell {
    in_units(bytes, BYTES)
}

pub(super) fn to_bytes(cell: Cell) -> Result<Option<u64>> {
    from_units(cell, BYTES)
}

/// Spans of more than 584 years are told as that.
pub(super) fn of_span(span: Duration) -> Cell {
    in_units(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX), NANOSECONDS)
}

pub(super) fn to_span(cell: Cell) -> Result<Option<Duration>> {
    Ok(from_units(cell, NANOSECONDS)?.map(Duration::from_nanos))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number from 0 to 2^24, checked"
)]
pub(super) fn of_float(figure: f32) -> Cell {
    if figure.to_bits() == 0 {
        return Cell::Zero;
    }
    for (scale, unit) in (0..).zip(DECIMALS) {
        let number = (figure * unit).round();
        if number > 0.0 && number < MOST_WHOLE && (number / unit).to_bits() == figure.to_bits() {
            return Cell::Number((scale, number as u64));
        }
    }
    Cell::Number((3, u64::from(figure.to_bits())))
}

#[expect(clippy::cast_precision_loss, reason = "no larger than 2^24 where it counts")]
pub(super) fn to_float(cell: Cell) -> Result<Option<f32>> {
    match cell {
        Cell::Absent => Ok(None),
        Cell::Zero => Ok(Some(0.0)),
        Cell::Number((3, bits)) => {
            u32::try_from(bits).map(|bits| Some(f32::from_bits(bits))).map_err(|_| Malformed)
        }
        Cell::Number((scale, number)) => {
            let unit = DECIMALS.get(usize::from(scale)).ok_or(Malformed)?;
            Ok(Some(number as f32 / unit))
        }
    }
}
