//! The integration tests: one binary, a module a question.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests are sentences; they say what they found and may panic"
)]

mod config;
#[cfg(unix)]
mod daemon;
mod damage;
mod delivery;
mod fixtures;
mod forwarding;
#[cfg(target_os = "linux")]
mod machines;
mod model;
mod queue;
mod receiver;
mod support;
mod telemetry;
mod tidy;
mod tls;
mod upgrade;
