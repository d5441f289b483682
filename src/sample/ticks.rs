//! A span of time counted in the kernel's own ticks: a small integer on disk, seconds on the wire.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Time in units of `1 / PER_SECOND` seconds. Human-readable formats (JSON) carry seconds, others
/// (bincode) the count, so that a queued sample stays small and exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Ticks<const PER_SECOND: u32>(pub u64);

/// Processor time in hundredths of a second, the unit of `/proc/stat`.
pub type CpuTime = Ticks<100>;

/// Time of block devices in milliseconds, the unit of `/proc/diskstats`.
pub type IoTime = Ticks<1000>;

impl<const PER_SECOND: u32> Ticks<PER_SECOND> {
    /// The same span in seconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 ticks: 2.8 million years")]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / f64::from(PER_SECOND)
    }
}

impl<const PER_SECOND: u32> Serialize for Ticks<PER_SECOND> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.serialize_f64(self.seconds())
        } else {
            to.serialize_u64(self.0)
        }
    }
}

impl<'de, const PER_SECOND: u32> Deserialize<'de> for Ticks<PER_SECOND> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if !from.is_human_readable() {
            return u64::deserialize(from).map(Self);
        }
        let seconds = f64::deserialize(from)?;
        let ticks = (seconds * f64::from(PER_SECOND)).round();
        if !(0.0..9e15).contains(&ticks) {
            return Err(D::Error::custom("seconds out of range"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number in 0..9e15, checked above"
        )]
        let ticks = ticks as u64;
        Ok(Self(ticks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_carries_seconds_and_reads_them_back() {
        for (ticks, json) in
            [(0, "0.0"), (13455, "134.55"), (7, "0.07"), (u64::from(u32::MAX), "42949672.95")]
        {
            assert_eq!(serde_json::to_string(&Ticks::<100>(ticks)).unwrap(), json);
            assert_eq!(serde_json::from_str::<CpuTime>(json).unwrap(), Ticks(ticks));
        }
        assert!(serde_json::from_str::<IoTime>("-1").is_err());
    }
}
