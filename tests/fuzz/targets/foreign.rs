//! The structures of other platforms' kernels, whatever their bytes are: every decoder ends without a
//! panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| collector::sampler::parse_foreign(bytes));
