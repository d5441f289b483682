//! Samples that check themselves: all that is in one follows from its number and its size, so that
//! a wrong value is seen whatever it is.

use std::{iter, path::Path, sync::Arc, time::Duration};

use collector::{
    clock::SystemClock,
    queue::{self, OpenError, Options, Overflow, Queue, Sync},
    sample::{Cpu, Metrics, Origin, Sample},
};
use jiff::Timestamp;

/// The sample of `number` with about `size` bytes of payload.
pub(crate) fn sample(number: u64, size: usize) -> Sample {
    let mut random = fastrand::Rng::with_seed(number);
    // Half of it is the same in all, as in samples of one machine.
    let alike = iter::repeat_n('=', size / 2);
    let text: String =
        alike.chain(iter::repeat_with(|| random.alphanumeric()).take(size.div_ceil(2))).collect();
    let origin = Origin { host: format!("{number}:{size}:{text}"), ..Origin::default() };
    Sample {
        timestamp: Timestamp::from_microsecond(i64::try_from(number).unwrap()).unwrap(),
        since_boot: Some(Duration::from_nanos(number)),
        origin: Arc::new(origin),
        interval: Duration::from_secs(5),
        metrics: Metrics::Cpu(Cpu::default()),
    }
}

/// The number of a sample; `None` when anything in it isn't what was put in.
pub(crate) fn number(found: &Sample) -> Option<u64> {
    let mut words = found.origin.host.splitn(3, ':');
    let number = words.next()?.parse().ok()?;
    let size = words.next()?.parse().ok()?;
    (size <= found.origin.host.len() && *found == sample(number, size)).then_some(number)
}

/// Opens the queue in `directory` as the daemon does, with a cap of `max_bytes`.
pub(crate) fn open(directory: &Path, max_bytes: u64) -> Result<Queue, OpenError> {
    let options = Options {
        directory: directory.to_owned(),
        max_bytes,
        min_free_bytes: 0,
        overflow: Overflow::DropOldest,
        max_age: None,
        sync: Sync::Always,
    };
    queue::open(options, Some("a machine"), Arc::new(SystemClock), Duration::from_secs(5))
}
