//! Decodes what Windows gives: structures of the NT kernel's and lists of names, as plain bytes and
//! UTF-16. Calls nothing, so that it is tested wherever the tests run; `windows` makes the calls
//! and holds each offset here against the structure's declaration when it is compiled.
#![cfg_attr(fuzzing, allow(dead_code, reason = "what only the calls need"))]

pub(super) mod drive;
pub(super) mod interface;
pub(super) mod names;
pub(super) mod processors;
pub(super) mod statistics;
pub(super) mod system;
pub(super) mod tcp_table;
