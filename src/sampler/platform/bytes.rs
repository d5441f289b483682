//! Numbers out of a structure of a kernel's, by their place in it. The byte order is the machine's;
//! a structure that ends too early has no number there, whatever its bytes are.
#![expect(clippy::host_endian_bytes, reason = "the kernels' structures have the machine's order")]

/// The 16 bits that begin at byte `at`.
#[cfg(any(windows, test, fuzzing))]
pub(in crate::sampler) fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The 32 bits that begin at byte `at`.
pub(in crate::sampler) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The 64 bits that begin at byte `at`.
pub(in crate::sampler) fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The 64 bits at byte `at` as a count; a negative one is none.
pub(in crate::sampler) fn count(bytes: &[u8], at: usize) -> Option<u64> {
    long(bytes, at).filter(|&count| i64::try_from(count).is_ok())
}

/// A structure of `length` bytes with these numbers at these places, for tests.
#[cfg(test)]
pub(in crate::sampler) fn structure(
    length: usize,
    words: &[(usize, u32)],
    longs: &[(usize, u64)],
) -> Vec<u8> {
    let mut bytes = vec![0; length];
    for &(at, number) in words {
        bytes[at..at + 4].copy_from_slice(&number.to_ne_bytes());
    }
    for &(at, number) in longs {
        bytes[at..at + 8].copy_from_slice(&number.to_ne_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_beyond_the_end_is_none() {
        let bytes = structure(12, &[(8, 7)], &[(0, u64::MAX)]);
        assert_eq!((word(&bytes, 8), word(&bytes, 9)), (Some(7), None));
        assert_eq!((long(&bytes, 0), long(&bytes, 5)), (Some(u64::MAX), None));
        assert_eq!((count(&bytes, 0), word(&bytes, usize::MAX)), (None, None));
    }
}
