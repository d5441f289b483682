//! `crash-points`: for random moments of a recorded run, rebuilds what a power cut could have left
//! and lets a process of its own verify it, so that a hang or an abort is seen as well.

use std::{
    fs,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, ensure};

use crate::{
    rebuild::{self, Loses},
    recording::Recording,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What `recorder.c` recorded.
    recording: PathBuf,
    /// Moments to rebuild.
    #[arg(long, default_value = "12")]
    count: usize,
    #[arg(long)]
    seed: Option<u64>,
    /// What the journal held before the recording.
    #[arg(long)]
    past: Option<PathBuf>,
    /// So many confirmed samples may be missing: they were damaged before the recording.
    #[arg(long)]
    damaged: Option<u64>,
    /// A directory that isn't there yet; what failed stays in it.
    #[arg(long)]
    work: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct ReplayArgs {
    /// What `recorder.c` recorded.
    recording: PathBuf,
    /// The directory that was recorded.
    #[arg(long)]
    against: PathBuf,
    /// A directory that isn't there yet.
    #[arg(long)]
    work: PathBuf,
}

/// Verifies each point three times; 0 when all are well.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let recording = Recording::read(&args.recording)?;
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    let mut random = fastrand::Rng::with_seed(seed);
    ensure!(recording.end > args.count, "the recording has {} events", recording.end);
    fs::create_dir(&args.work)?;
    let mut failed = 0;
    for _ in 0..args.count {
        let moment = random.usize(recording.start..recording.end);
        let cuts = [Loses::AllUnsynced, Loses::Nothing, Loses::Random(random.u64(..))];
        let survives = |cut: &Loses| args.check(&recording, moment, *cut);
        let well = cuts.iter().map(survives).collect::<anyhow::Result<Vec<_>>>()?;
        failed += usize::from(well.contains(&false));
    }
    let (events, points) = (recording.end - recording.start, args.count);
    println!("seed={seed} events={events} points={points} survived={}", points - failed);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Args {
    /// Whether the queue survives a power cut at `moment`; prints a line of figures.
    fn check(&self, recording: &Recording, moment: usize, cut: Loses) -> anyhow::Result<bool> {
        let (queue, journal) = (self.work.join("queue"), self.work.join("journal"));
        rebuild::build(recording, moment, cut, &queue)?;
        let mut lines = self.past.as_ref().map(fs::read).transpose()?.unwrap_or_default();
        lines.extend(rebuild::marks(recording, moment));
        fs::write(&journal, lines)?;
        let ended = Command::new("timeout")
            .args(["--kill-after=1", "20"])
            .arg(std::env::current_exe()?)
            .args(["verify", "--power-cut", "--journal"])
            .args([&journal, &queue])
            .args(self.damaged.map(|damaged| format!("--damaged={damaged}")))
            .output()
            .context("can't run the verifier")?;
        let said = String::from_utf8_lossy(&ended.stdout);
        println!("moment={moment} cut={cut:?} {}", said.trim_end());
        if ended.status.success() {
            fs::remove_dir_all(queue)?;
            return Ok(true);
        }
        println!("{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr).trim_end());
        fs::rename(queue, self.work.join(format!("failed-{moment}-{cut:?}")))?;
        Ok(false)
    }
}

/// Fails unless the recorded changes give the directory byte by byte.
pub(crate) fn replay(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let recording = Recording::read(&args.recording)?;
    rebuild::build(&recording, recording.end, Loses::Nothing, &args.work)?;
    let ended = Command::new("diff").arg("-r").args([&args.against, &args.work]).output()?;
    print!("{}", String::from_utf8_lossy(&ended.stdout));
    println!("events={} bytes={}", recording.end - recording.start, recording.bytes.len());
    Ok(if ended.status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
