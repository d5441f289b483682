//! The kernel's texts, whatever they are: every parser of `/proc` ends without a panic, and names come
//! back as they were.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    #[cfg(target_os = "linux")]
    collector::sampler::fuzzing::parse(bytes);
    #[cfg(not(target_os = "linux"))]
    let _ = bytes;
});
