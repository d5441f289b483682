//! The real binary as a child process against a receiver that can be told what to do: does what
//! the contract promises come true from outside?

mod command_line;
mod commands;
mod dead_letters;
mod files;
mod hold;
mod kill;
#[cfg(target_os = "linux")]
mod notify;
mod outage;
mod owner;
mod reload;
mod shutdown;
mod tools;
mod wire;
