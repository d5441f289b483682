//! The soak: the real agent under random faults of the network and the server for as long as one
//! likes, then the verdict. Nothing may be lost or out of order, every fault must have struck, and
//! memory, descriptors, threads and tasks must not grow. `.ci/soak` builds and runs it.

#![expect(clippy::print_stdout, reason = "its results are lines for people")]
#![expect(clippy::unwrap_used, reason = "a soak that can't go on has failed")]

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use clap::Parser;

mod agent;
mod delivered;
mod fault;
mod figures;
#[path = "../it/support/relay.rs"]
#[allow(dead_code, reason = "the integration tests use the rest")]
mod relay;
#[path = "../it/support/server.rs"]
#[allow(dead_code, reason = "the integration tests use the rest")]
mod server;
mod world;

use fault::Fault;
use world::World;

#[derive(Parser)]
#[command(name = "soak", about = "Runs the agent under random faults and judges what became of it")]
struct Args {
    /// The agent.
    #[arg(long)]
    binary: PathBuf,
    /// At least so many seconds, and every fault once.
    #[arg(long, default_value_t = 180)]
    seconds: u64,
    /// Gives the same faults in the same order again.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("seed {seed}, {} s", args.seconds);
    fastrand::seed(seed);
    let mut world = World::new(&args.binary)?;
    let struck = soak(&mut world, Duration::from_secs(args.seconds)).inspect_err(|_| {
        println!("--- the end of the agent's log:\n{}", world.log_end());
    })?;
    for (fault, (times, strikes)) in struck {
        println!("{fault:?}: {times} times, struck {strikes}");
    }
    world.end()
}

/// Faults in random order, each a few times; how often each came and how often it struck.
fn soak(world: &mut World, length: Duration) -> anyhow::Result<BTreeMap<Fault, (u64, u64)>> {
    let start = Instant::now();
    let mut struck: BTreeMap<Fault, (u64, u64)> = BTreeMap::new();
    let mut deck = Vec::new();
    world.recover().context("at the start")?;
    while start.elapsed() < length || struck.len() < Fault::ALL.len() {
        if deck.is_empty() {
            // The agent remembers what is too large, and tries that ever more rarely.
            let known = |fault: &Fault| *fault == Fault::TooLarge && struck.contains_key(fault);
            deck = Fault::ALL.into_iter().filter(|fault| !known(fault)).collect();
            fastrand::shuffle(&mut deck);
        }
        let fault = deck.pop().context("a deck without faults")?;
        let strikes = round(world, fault).with_context(|| format!("{fault:?}"))?;
        let (times, all) = struck.entry(fault).or_default();
        (*times, *all) = (*times + 1, *all + strikes);
    }
    Ok(struck)
}

/// One fault, and what comes after it; how often it struck.
fn round(world: &mut World, fault: Fault) -> anyhow::Result<u64> {
    let before = world.strikes(fault)?;
    world.strike(fault)?;
    world.pass(Duration::from_millis(fastrand::u64(800..3000)))?;
    let deadline = Instant::now() + Duration::from_secs(20);
    let strikes = loop {
        let strikes = world.strikes(fault)?.saturating_sub(before);
        if strikes > 0 {
            break strikes;
        }
        ensure!(Instant::now() < deadline, "it never struck");
        world.pass(Duration::from_millis(100))?;
    };
    world.mend()?;
    world.recover()?;
    world.count_tasks()?;
    Ok(strikes)
}
