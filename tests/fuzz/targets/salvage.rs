//! A damaged database's raw bytes: what the salvage finds in them, accounts for and writes anew.
//! The first byte tells whether checksums are put right first, so that what lies behind them is reached.
#![no_main]

use collector::queue::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if how % 2 == 1 {
        fuzzing::mend_checksums(&mut bytes);
    }
    fuzzing::salvage(&bytes);
    fuzzing::pages(&bytes);
    fuzzing::pieces(&bytes);
});
