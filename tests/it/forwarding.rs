//! How the forwarder paces itself, what it makes of each answer and what it keeps, on a real queue.

mod bisecting;
mod crash;
mod flushing;
mod herd;
mod judging;
mod pacing;
mod renewing;
mod reporting;
mod rig;
mod waiting;
mod wire;
