//! The queue's probe: one command fills a queue and notes what was confirmed, another opens what a
//! crash or a fault left and compares, a third rebuilds what a power cut could have left of a
//! recorded run. The scripts `.ci/power-cut`, `.ci/crash-points`, `.ci/kill-rounds` and
//! `.ci/fault-injection` run it; it uses the queue as the daemon does, through its public roles.

#![expect(clippy::print_stdout, reason = "its results are lines for scripts")]
#![expect(clippy::unwrap_used, reason = "a probe that can't go on has failed")]

use std::process::ExitCode;

use clap::Parser;

mod content;
mod crash_points;
mod delivered;
mod journal;
mod rebuild;
mod recording;
mod verify;
mod write;

#[derive(Parser)]
#[command(
    name = "queue-probe",
    about = "Writes to a queue, crashes with it, and checks what is left"
)]
enum Command {
    /// Fill a queue and note every confirmed sample.
    Write(write::Args),
    /// Open a queue, take everything out and compare it with what was confirmed.
    Verify(verify::Args),
    /// Rebuild what power cuts could have left of a recorded run, and verify each.
    CrashPoints(crash_points::Args),
    /// Read the receiver's output: what came, what is missing, how late samples were taken.
    Delivered(delivered::Args),
    /// Compare a recorded run with the directory that it left: is everything recorded?
    Replay(crash_points::ReplayArgs),
}

fn main() -> anyhow::Result<ExitCode> {
    let shown = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // Inside of the database a panic is an error like others, as it is in the daemon.
        if !collector::queue::is_guarded() {
            shown(panic);
        }
    }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    match Command::parse() {
        Command::Write(args) => runtime.block_on(write::run(args)),
        Command::Verify(args) => runtime.block_on(verify::run(args)),
        Command::CrashPoints(args) => crash_points::run(&args),
        Command::Delivered(args) => delivered::run(&args),
        Command::Replay(args) => crash_points::replay(&args),
    }
}
