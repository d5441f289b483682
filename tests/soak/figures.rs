//! What the kernel counts for the agent, over time, and whether it grows.
//!
//! The first fifth is the warm-up: caches fill, the allocator finds its size. Of the rest the first
//! third is compared with the last. Memory goes up and down with what is queued, so its medians are
//! compared; the allowed 2 MiB are what the agent may use for a hostile answer, and less than 60 kB
//! for each fault of a run of three minutes. Of descriptors, threads and tasks the least are: work
//! adds some for a moment, so noise lifts only the others, while a leak lifts all. One more is
//! allowed, as a thread of the pool or a kept connection may be there or not for a whole third.

use anyhow::ensure;

const MEMORY_KB: u64 = 2048;
const ANY: u64 = 1;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Footprint {
    pub(crate) rss_kb: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
}

#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) footprints: Vec<Footprint>,
    pub(crate) tasks: Vec<u64>,
}

impl Figures {
    /// Prints the comparison; the error names what grows.
    pub(crate) fn judge(&self) -> anyhow::Result<()> {
        let of = |figure: fn(&Footprint) -> u64| self.footprints.iter().map(figure).collect();
        let memory: Vec<u64> = of(|footprint| footprint.rss_kb);
        let tenths = memory.chunks(memory.len().div_ceil(10).max(1));
        let tenths: Vec<u64> = tenths.map(|tenth| median(&mut tenth.to_vec())).collect();
        println!("RSS in kB, median of each tenth: {tenths:?}");
        let growing = [
            grows("RSS in kB, median", &memory, median, MEMORY_KB)?,
            grows("descriptors, least", &of(|footprint| footprint.descriptors), least, ANY)?,
            grows("threads, least", &of(|footprint| footprint.threads), least, ANY)?,
            grows("tasks, least", &self.tasks, least, ANY)?,
        ];
        ensure!(!growing.contains(&true), "the agent grows");
        Ok(())
    }
}

/// Whether what is typical grows by more than what is allowed.
fn grows(
    name: &str,
    figures: &[u64],
    typical: fn(&mut [u64]) -> u64,
    allowed: u64,
) -> anyhow::Result<bool> {
    let (early, late) = thirds(figures, typical)?;
    println!("{name}: early {early}, late {late}, at most {allowed} more allowed");
    Ok(late > early + allowed)
}

/// What is typical of the first and of the last third behind the warm-up.
fn thirds(figures: &[u64], typical: fn(&mut [u64]) -> u64) -> anyhow::Result<(u64, u64)> {
    let mut warm = figures[figures.len() / 5..].to_vec();
    let third = warm.len() / 3;
    ensure!(third > 0, "too few figures");
    let late = warm.len() - third;
    Ok((typical(&mut warm[..third].to_vec()), typical(&mut warm[late..])))
}

fn median(figures: &mut [u64]) -> u64 {
    figures.sort_unstable();
    figures[figures.len() / 2]
}

fn least(figures: &mut [u64]) -> u64 {
    figures.iter().copied().min().unwrap_or_default()
}
