//! What the fuzz target `foreign` needs to reach and nobody else may: built with `--cfg fuzzing` alone.
//! The bytes are taken for each of the structures that the other platforms' kernels give.

use super::{darwin, nt};
use crate::sample::{Interface, Memory, TcpStates};

/// Decodes the bytes as each of the structures; panics if something isn't as it must be.
pub fn parse(bytes: &[u8]) {
    windows(bytes);
    macos(bytes);
}

fn windows(bytes: &[u8]) {
    if let Some(processors) = nt::processors::parse(bytes) {
        let sum = processors.into_iter().reduce(nt::processors::Processor::and);
        let _copy = sum.map(nt::processors::Processor::times);
    }
    if let Some(counters) = nt::system::Counters::parse(bytes) {
        counters.add_to(&mut Memory::default(), 4096);
    }
    let _copy = nt::system::boot_time(bytes);
    drop(nt::drive::parse(String::new(), bytes));
    let _copy = nt::drive::kind(bytes);
    drop(nt::interface::parse(bytes));
    let versions: Vec<_> = bytes.chunks(nt::statistics::TCP_BYTES).map(<[u8]>::to_vec).collect();
    let _copy = nt::statistics::tcp(&versions);
    let _copy = nt::statistics::udp(&versions);
    let _copy = nt::statistics::udp_sockets(&versions);
    let words: Vec<u32> = bytes.chunks(4).filter_map(|word| super::bytes::word(word, 0)).collect();
    for family in [nt::tcp_table::Family::V4, nt::tcp_table::Family::V6] {
        nt::tcp_table::add(&words, family, &mut TcpStates::default());
    }
    let units: Vec<u16> = bytes.chunks(2).filter_map(|unit| super::bytes::half(unit, 0)).collect();
    drop(nt::names::device(&units));
    drop(nt::names::remote(&units));
    drop(nt::names::drives(&units));
}

fn macos(bytes: &[u8]) {
    let ticks: Vec<i32> = bytes
        .chunks(4)
        .filter_map(|word| super::bytes::word(word, 0).map(u32::cast_signed))
        .collect();
    if let Some(cpus) = darwin::processors::parse(&ticks) {
        let _copy = darwin::processors::total(&cpus);
    }
    let _copy = darwin::processors::boot_time(bytes);
    drop(darwin::memory::parse(bytes, 1 << 34, 16_384).map(Memory::derive));
    let _copy = (darwin::memory::swap(bytes), darwin::memory::total(bytes));
    drop(darwin::interface::parse(bytes));
    let status = super::bytes::word(bytes, 0).unwrap_or_default();
    darwin::interface::set_carrier(&mut Interface::default(), status);
    let _copy = (darwin::statistics::tcp(bytes), darwin::statistics::udp(bytes));
    let states = darwin::pcblist::tcp_states(bytes);
    let sockets = darwin::pcblist::sockets(bytes);
    // Whatever else is wrong, both see the same records.
    assert!(states.is_none() || sockets.is_some());
}
