//! `write`: fills a queue at the rate of an agent, in a burst, or with group commits, and lets a
//! consumer take samples out meanwhile if asked to. What fails is noted and tried again with new
//! samples, as the daemon's next tick would.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use clap::ValueEnum;
use collector::{
    queue::{Consumer, Producer, QueueError},
    sample::Sample,
};
use tokio::{
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval, timeout_at},
};

use crate::{
    content,
    journal::{Journal, Past, STREAMS},
};

/// How samples come.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rate {
    /// Four samples every 20 ms, as those of an agent's tick.
    Agent,
    /// One sample after the other.
    Burst,
    /// Eight writers with ten samples each at once: they share commits.
    Group,
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The queue's directory.
    directory: PathBuf,
    /// File of what was confirmed, on another file system than the one that is damaged.
    #[arg(long)]
    journal: PathBuf,
    #[arg(long, value_enum, default_value = "burst")]
    rate: Rate,
    /// Enqueues of each writer; for ever without it.
    #[arg(long)]
    count: Option<u64>,
    /// What doesn't end in this time fails.
    #[arg(long, default_value = "60")]
    seconds: u64,
    /// Payload of every sample in bytes; 100 to 1500 in turn without it.
    #[arg(long)]
    size: Option<usize>,
    /// Bound on the bytes on disk.
    #[arg(long, default_value = "100000000")]
    cap: u64,
    /// Peek and acknowledge meanwhile.
    #[arg(long)]
    drain: bool,
}

/// Runs until the count is reached (0) or the time is over (3).
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let deadline = Instant::now() + Duration::from_secs(args.seconds);
    let past = Past::read(&args.journal);
    let journal = Arc::new(Journal::open(&args.journal)?);
    let opening = Instant::now();
    let queue = content::open(content::options(&args.directory, args.cap))?;
    journal.note("opened", [opening.elapsed().as_millis()]);
    let mut consumer = tokio::spawn(drain(queue.consumer, Arc::clone(&journal), args.drain));
    let tally = Arc::new(Tally::default());
    let mut writers = JoinSet::new();
    for stream in 0..if args.rate == Rate::Group { STREAMS } else { 1 } {
        let (next, size) = (past.next(stream), args.size);
        let (journal, tally) = (Arc::clone(&journal), Arc::clone(&tally));
        let writer = Writer { producer: queue.producer.clone(), journal, next, size, tally };
        writers.spawn(writer.run(args.rate, args.count));
    }
    let done = async { while let Some(Ok(())) = writers.join_next().await {} };
    let in_time = timeout_at(deadline, done).await.is_ok();
    drop(writers);
    consumer.abort();
    (&mut consumer).await.ok();
    queue.owner.close();
    println!("{tally}");
    Ok(if in_time { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// What became of the enqueues.
#[derive(Default)]
struct Tally {
    confirmed: AtomicU64,
    failed: AtomicU64,
    worst_ms: AtomicU64,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [confirmed, failed, worst] =
            [&self.confirmed, &self.failed, &self.worst_ms].map(|count| count.load(Relaxed));
        write!(f, "confirmed={confirmed} failed={failed} worst_ms={worst}")
    }
}

/// One stream of samples.
struct Writer {
    producer: Producer,
    journal: Arc<Journal>,
    next: u64,
    size: Option<usize>,
    tally: Arc<Tally>,
}

/// Ticks of which those are skipped for which there was no time.
fn ticks(milliseconds: u64) -> Interval {
    let mut ticks = interval(Duration::from_millis(milliseconds));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

impl Writer {
    async fn run(mut self, rate: Rate, count: Option<u64>) {
        let (mut agent, mut again) = (ticks(20), ticks(50));
        let mut done = 0;
        while count.is_none_or(|count| done < count) {
            let samples = match rate {
                Rate::Agent => 4,
                Rate::Burst => 1,
                Rate::Group => 10,
            };
            if rate == Rate::Agent {
                agent.tick().await;
            }
            if self.enqueue(samples).await {
                done += 1;
            } else {
                again.reset();
                again.tick().await;
            }
        }
    }

    async fn enqueue(&mut self, samples: u64) -> bool {
        let numbers: Vec<_> = (0..samples).map(|nth| self.next + nth * STREAMS).collect();
        self.next += samples * STREAMS;
        self.journal.note("offered", &numbers);
        let start = Instant::now();
        let batch = numbers.iter().map(|number| self.sample(*number)).collect();
        let result = self.producer.enqueue(batch).await;
        let took = u64::try_from(start.elapsed().as_millis()).unwrap();
        self.tally.worst_ms.fetch_max(took, Relaxed);
        match result {
            Ok(done) if done.refused == 0 => {
                self.journal.note("confirmed", &numbers);
                self.tally.confirmed.fetch_add(samples, Relaxed);
                true
            }
            Ok(_) => self.fail("refused: the queue is full"),
            Err(error) => self.fail(&error.to_string()),
        }
    }

    fn fail(&self, why: &str) -> bool {
        self.tally.failed.fetch_add(1, Relaxed);
        self.journal.note("failed:", [why]);
        false
    }

    fn sample(&self, number: u64) -> Sample {
        let size = self.size.unwrap_or(100 + usize::try_from(number * 37 % 1400).unwrap());
        content::sample(number, size)
    }
}

/// Takes samples out as a forwarder does.
async fn drain(mut consumer: Consumer, journal: Arc<Journal>, wanted: bool) {
    if !wanted {
        return;
    }
    let (mut stats, mut again) = (consumer.stats(), ticks(50));
    loop {
        match take(&mut consumer, &journal).await {
            Ok(0) if stats.changed().await.is_err() => return,
            Ok(_) => {}
            Err(QueueError::Closed) => return,
            Err(_) => {
                again.reset();
                again.tick().await;
            }
        }
    }
}

async fn take(consumer: &mut Consumer, journal: &Journal) -> Result<usize, QueueError> {
    let entries = consumer.peek(20, 1 << 20).await?;
    if !entries.is_empty() {
        journal.note_entries("taking", &entries);
        consumer.acknowledge(&entries).await?;
        journal.note_entries("taken", &entries);
    }
    Ok(entries.len())
}
