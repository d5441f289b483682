//! What the fuzz target `proc` needs to reach and nobody else may: built with `--cfg fuzzing` alone.
//! The kernel's texts are given as they would be read: with stray bytes spelt out.

use super::{cpu, diskstats, memory, mountinfo, names, network, pressure, protocols, sockets, tcp};
use crate::sample::{Memory, TcpStates};

/// Parses the bytes as each of the files; panics if something isn't as it must be.
pub fn parse(bytes: &[u8]) {
    let text = names::escape(bytes);
    assert_eq!(names::unescape(&text), bytes, "a name comes back");
    if let Some(reading) = cpu::parse(&text) {
        assert!(reading.cpus.len() <= text.lines().count());
    }
    let _copy = cpu::parse_load(&text);
    drop(memory::parse(&text).map(Memory::derive));
    memory::add_vmstat(&text, 4096, &mut Memory::default());
    drop(diskstats::parse(&text));
    drop(network::parse(&text));
    let _copy = pressure::parse(&text);
    let _copy = protocols::tcp(&text, &text);
    let _copy = protocols::udp(&text, &text);
    drop(tcp::Population::parse(&text, &text, &text));
    sockets::add_listed(&text, &mut TcpStates::default());
    drop(mountinfo::parse(&text));
}
