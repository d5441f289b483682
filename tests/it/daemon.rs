//! The real binary as a child process against a receiver that can be told what to do: does what
//! the contract promises come true from outside?

mod command_line;
mod commands;
mod files;
mod hold;
mod kill;
mod outage;
mod owner;
mod shutdown;
mod tools;
mod wire;
