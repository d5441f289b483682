//! `verify`: opens what is left, takes everything out and compares it with the journal. One line of
//! figures, and exit 0 only when nothing is lost, wrong, out of order or out of balance.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use collector::queue::{Entry, Ledger, Queue, QueueError, Stats};

use crate::{
    content,
    journal::{Journal, Past, STREAMS},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The queue's directory.
    directory: PathBuf,
    /// The journal of the writer.
    #[arg(long)]
    journal: PathBuf,
    /// The power was cut: what was acknowledged may come again.
    #[arg(long)]
    power_cut: bool,
    /// So many confirmed samples may be missing, when they are counted as corrupt: the files were
    /// damaged on purpose.
    #[arg(long)]
    damaged: Option<u64>,
    /// Reads fail meanwhile: what was answered with an error may be asked again, and nothing else is
    /// allowed.
    #[arg(long)]
    failing_reads: bool,
    /// Bound on the bytes on disk.
    #[arg(long, default_value = "100000000")]
    cap: u64,
}

/// What was found.
#[derive(Default)]
struct Found {
    confirmed: usize,
    present: usize,
    lost: u64,
    damaged: u64,
    torn: u64,
    reordered: u64,
    repeated: u64,
    again: u64,
    reused: u64,
    wrong: u64,
    /// Answers that were an error, and right when they were asked for again.
    asked_again: u64,
    ledger: Ledger,
    unbalanced: u64,
}

/// Verifies; 0 when all is well.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let past = Past::read(&args.journal);
    let start = Instant::now();
    let mut queue = match content::open(content::options(&args.directory, args.cap)) {
        Ok(queue) => queue,
        Err(error) => {
            println!("opened=no confirmed={} error={error:?}", past.confirmed.len());
            return Ok(ExitCode::FAILURE);
        }
    };
    let open_ms = start.elapsed().as_millis();
    let journal = Journal::open(&args.journal)?;
    let mut found = Found { confirmed: past.confirmed.len(), ..Found::default() };
    found.balance(&queue);
    let entries = drain(&mut queue, &journal, &mut found.asked_again).await?;
    // Only now it is open for certain.
    found.balance(&queue);
    found.compare(&past, &journal, &entries);
    // What is damaged is known when everything has had its turn.
    found.balance(&queue);
    found.allow(args.damaged.unwrap_or(0));
    let works = works(&mut queue, &journal, past.next(0), &mut found.asked_again).await?
        && reopens(queue, &args, &journal, &mut found.asked_again).await?;
    let well = works && found.is_well(&args);
    println!("opened=yes open_ms={open_ms} {found} works={}", if works { "yes" } else { "no" });
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Most errors in a row that are answered by asking again.
const PATIENCE: u64 = 6;
/// Before that. What didn't open is tried again after a second.
const PAUSE: Duration = Duration::from_millis(500);

/// Takes everything out, as the forwarder would: a part that turns out to be damaged is mended when the
/// queue opens it again, and it is asked once more.
async fn drain(
    queue: &mut Queue,
    journal: &Journal,
    asked_again: &mut u64,
) -> Result<Vec<Entry>, QueueError> {
    let (mut all, most) = (Vec::new(), *asked_again + PATIENCE);
    loop {
        let entries = match queue.consumer.peek(500, 1 << 20).await {
            Err(_) if *asked_again < most => {
                *asked_again += 1;
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            peeked => peeked?,
        };
        if entries.is_empty() {
            return Ok(all);
        }
        journal.note_entries("taking", &entries);
        while let Err(error) = queue.consumer.acknowledge(&entries).await {
            if *asked_again == most {
                return Err(error);
            }
            *asked_again += 1;
            tokio::time::sleep(PAUSE).await;
        }
        journal.note_entries("taken", &entries);
        all.extend(entries);
    }
}

/// Whether the queue takes a sample and gives it back.
async fn works(
    queue: &mut Queue,
    journal: &Journal,
    number: u64,
    asked_again: &mut u64,
) -> Result<bool, QueueError> {
    journal.note("offered", [number]);
    let done = queue.producer.enqueue(vec![content::sample(number, 300)]).await?;
    journal.note("confirmed", [number]);
    let entries = drain(queue, journal, asked_again).await?;
    let numbers: Vec<_> = entries.iter().map(|entry| content::number(&entry.sample)).collect();
    Ok(done.refused == 0 && numbers == [Some(number)])
}

/// Whether it opens again with the same ledger, and empty.
async fn reopens(
    queue: Queue,
    args: &Args,
    journal: &Journal,
    asked_again: &mut u64,
) -> Result<bool, QueueError> {
    let stats = queue.stats.clone();
    queue.owner.close();
    let before = stats.borrow().ledger;
    let Ok(mut queue) = content::open(content::options(&args.directory, args.cap)) else {
        return Ok(false);
    };
    // A disk that fails now is no reason not to begin.
    let entries = drain(&mut queue, journal, asked_again).await?;
    Ok(entries.is_empty() && queue.stats.borrow().ledger == before)
}

impl Found {
    fn balance(&mut self, queue: &Queue) {
        let Stats { queue: depth, ledger, .. } = &*queue.stats.borrow();
        let left = ledger.acknowledged + ledger.dead_lettered + ledger.dropped.total();
        self.unbalanced += u64::from(ledger.enqueued != left + depth.samples);
        self.ledger = *ledger;
    }

    fn compare(&mut self, past: &Past, journal: &Journal, entries: &[Entry]) {
        let mut present = BTreeSet::new();
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        let mut last_seq = 0;
        for entry in entries {
            self.reordered += u64::from(entry.seq <= last_seq);
            last_seq = entry.seq;
            let Some(number) = content::number(&entry.sample) else {
                self.wrong += 1;
                continue;
            };
            let before = last.insert(number % STREAMS, number);
            self.reordered += u64::from(before.is_some_and(|before| before > number));
            self.repeated += u64::from(!present.insert(number));
            self.again += u64::from(past.taken.contains(&number));
            let known = past.taking.get(&(entry.agent_id, entry.seq));
            self.reused += u64::from(known.is_some_and(|known| *known != number));
        }
        let taking: BTreeSet<_> = past.taking.values().copied().collect();
        let torn = past
            .offered
            .difference(&past.confirmed)
            .filter(|number| !present.contains(number) && !taking.contains(number));
        self.torn = torn.count() as u64;
        let missing = past.confirmed.difference(&present).copied();
        let missing: Vec<_> = missing
            .filter(|number| !taking.contains(number) && !past.missed.contains(number))
            .collect();
        journal.note("missed", &missing);
        self.present = entries.len();
        // What gave way at the cap is counted, and no loss.
        self.lost = (missing.len() as u64).saturating_sub(self.ledger.dropped.overflow);
    }

    /// Takes what the damage cost out of what is lost, if it is counted.
    fn allow(&mut self, damaged: u64) {
        self.damaged = self.lost.min(damaged).min(self.ledger.dropped.corrupt);
        self.lost -= self.damaged;
    }

    fn is_well(&self, args: &Args) -> bool {
        let again = if args.power_cut { 0 } else { self.again };
        // What was never damaged on purpose holds nothing that can't be read, but for samples that
        // a power cut cut short.
        let torn = if args.power_cut { self.torn } else { 0 };
        let counted = self.ledger.dropped.corrupt;
        let corrupt = if args.damaged.is_some() { 0 } else { counted.saturating_sub(torn) };
        let faults = self.lost + self.reordered + self.repeated + self.reused + self.wrong;
        // Only what was damaged on purpose may turn out to be damaged.
        let may_fail = args.damaged.is_some() || args.failing_reads;
        let asked_again = if may_fail { 0 } else { self.asked_again };
        faults + again + corrupt + asked_again + self.unbalanced == 0
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { confirmed, present, lost, damaged, reordered, repeated, .. } = self;
        let Self { again, reused, wrong, .. } = self;
        write!(
            f,
            "confirmed={confirmed} present={present} lost={lost} damaged={damaged} \
             reordered={reordered} repeated={repeated} again={again} reused={reused} \
             wrong={wrong} corrupt={} overflow={} unbalanced={} asked_again={}",
            self.ledger.dropped.corrupt,
            self.ledger.dropped.overflow,
            self.unbalanced,
            self.asked_again
        )
    }
}
