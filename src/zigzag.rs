//! Signed differences as small unsigned numbers: 0, -1, 1, -2…

/// The sign of `number`, which is taken for a signed one, becomes its lowest bit.
pub(crate) fn zigzag(number: u64) -> u64 {
    let sign = number.cast_signed() >> 63;
    number << 1 ^ sign.cast_unsigned()
}

/// The reverse of [`zigzag`].
pub(crate) fn unzigzag(number: u64) -> u64 {
    number >> 1 ^ (number & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_differences_of_either_sign_become_small_and_come_back() {
        let signed = [0, -1, 1, -2, 2, i64::MIN, i64::MAX].map(i64::cast_unsigned);
        assert_eq!(signed[..5].iter().map(|n| zigzag(*n)).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(signed.map(zigzag).map(unzigzag), signed);
    }
}
