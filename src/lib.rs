//! `collector`: a store-and-forward agent for host metrics.
//!
//! > Samplers fill the queue; the forwarder empties it; nothing else touches it.
//!
//! ```text
//!  sampler ─▶ Sample ─▶ Record ─▶ enqueue ═▶ QUEUE ═▶ peek ─▶ encode ─▶ send ─▶ Delivery ─▶ settle (removes)
//!  └───────────── collect ──────────────┘          └──────────────── forward: one task ──────────────────┘
//! ```
//!
//! Promises: a sample that was enqueued is delivered, or counted as dropped, and nothing else
//! becomes of it; when an enqueue has returned, a `kill -9` loses nothing, and with
//! `buffer.sync: always` a power cut doesn't either; delivery is at least once, in order, and every
//! sample carries an identity (agent id, sequence number) that makes it effectively once.
//!
//! Modules in reading order: [`sample`], [`sampler`] and [`host`] (what is measured), [`collect`] (when),
//! [`queue`] (where it waits), [`encode`], [`transport`], [`retry`] and [`forward`] (how it leaves),
//! [`control`] and [`cli`] (how people and scripts look in), [`agent`] (what holds it together). Beside
//! them: [`config`], [`clock`], [`telemetry`], and [`receiver`], a server for trying out.

pub mod agent;
pub mod cli;
pub mod clock;
pub mod collect;
pub mod config;
pub mod control;
pub mod encode;
pub mod forward;
pub mod host;
pub mod queue;
pub mod receiver;
pub mod retry;
pub mod sample;
pub mod sampler;
pub mod telemetry;
pub mod transport;
mod zigzag;
