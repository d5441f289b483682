//! Decodes what macOS gives: structures of xnu's and properties of its registry, as plain bytes and
//! numbers. Calls nothing, so that it is tested wherever the tests run; `macos` makes the calls
//! and holds each offset here, where libc declares the structure, against it when it is compiled.
#![cfg_attr(fuzzing, allow(dead_code, reason = "what only the calls need"))]

pub(super) mod answer;
pub(super) mod disk;
pub(super) mod interface;
pub(super) mod memory;
pub(super) mod pcblist;
pub(super) mod processors;
pub(super) mod statistics;
