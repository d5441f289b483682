//! The integration tests: one binary, a module a question.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests are sentences; they say what they found and may panic"
)]

#[cfg(unix)]
mod canary;
mod cap;
mod clock;
mod config;
#[cfg(unix)]
mod daemon;
mod damage;
mod delivery;
mod fixtures;
mod forwarding;
mod hostile;
#[cfg(unix)]
mod limits;
mod losses;
#[cfg(target_os = "linux")]
mod machines;
mod model;
#[cfg(unix)]
mod network;
mod proxy;
mod queue;
mod receiver;
mod support;
mod telemetry;
mod tidy;
mod tls;
mod tools;
mod upgrade;
