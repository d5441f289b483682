//! `collector queue dead-letters …`: the samples that the server refused alone, through the daemon or
//! by hand.

use std::io::{self, Write};

use clap::Subcommand;
use comfy_table::{CellAlignment, Table, TableStyle};
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};

use super::{Access, reach};
use crate::{
    cli::{
        ConfigArgs,
        words::{ago, many},
    },
    clock::{Clock as _, SystemClock},
    config::Config,
    control::{DeadLettersAsked, ShownLetter},
    queue::{QueueError, Which},
};

/// Letters of one page.
const PAGE: usize = 500;
/// Of JSON one object holds about so much, so that memory is bounded whatever the cap.
const MAX_JSON: usize = 64 << 20;
/// Of an answer the table shows so many characters.
const EXCERPT: usize = 60;

/// What can be done with dead letters.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List them with the server's answers
    List(ListArgs),
    /// Show one whole, as JSON
    Show(ShowArgs),
    /// Send them again, before everything else
    Retry(WhichArgs),
    /// Throw them away; says what it would do, and does it with --yes
    Purge(PurgeArgs),
}

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Begin with this sequence number
    #[arg(long, value_name = "SEQ", default_value = "0")]
    from: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Arguments of `show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Its sequence number
    seq: u64,
}

/// Arguments of `retry`.
#[derive(Debug, clap::Args)]
pub struct WhichArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The sequence numbers of those that are meant
    #[arg(value_name = "SEQ", required_unless_present = "all", conflicts_with = "all", num_args = 1..=1000)]
    seqs: Vec<u64>,
    /// All of them
    #[arg(long)]
    all: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Arguments of `purge`.
#[derive(Debug, clap::Args)]
pub struct PurgeArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Do it; without this, say what would be done
    #[arg(long)]
    yes: bool,
}

impl Command {
    pub(super) fn config(&self) -> &ConfigArgs {
        match self {
            Self::List(args) => &args.config,
            Self::Show(args) => &args.config,
            Self::Retry(args) => &args.config,
            Self::Purge(args) => &args.which.config,
        }
    }
}

impl WhichArgs {
    fn which(&self) -> Which {
        if self.all { Which::All } else { Which::Seqs(self.seqs.clone()) }
    }

    fn means(&self, letter: &ShownLetter) -> bool {
        self.all || self.seqs.contains(&letter.seq)
    }
}

pub(super) async fn run(command: &Command, config: &Config) -> anyhow::Result<()> {
    let mut access = reach(config).await?;
    match command {
        Command::List(args) if args.json => list_json(&mut access, args.from).await,
        Command::List(args) => list(&mut access, args.from).await,
        Command::Show(args) => show(&mut access, args.seq).await,
        Command::Retry(args) => {
            let (_, done) = ask(&mut access, DeadLettersAsked::Retry(args.which())).await?;
            say(args.json, "retried", done, || match done {
                0 => "nothing is to be sent again".to_owned(),
                _ => format!("{} will be sent again", letters(done)),
            })
        }
        Command::Purge(args) => purge(&mut access, args).await,
    }
}

async fn purge(access: &mut Access, args: &PurgeArgs) -> anyhow::Result<()> {
    let which = &args.which;
    if args.yes {
        let (_, gone) = ask(access, DeadLettersAsked::Purge(which.which())).await?;
        return say(which.json, "purged", gone, || match gone {
            0 => "nothing was purged".to_owned(),
            _ => format!("purged {}", letters(gone)),
        });
    }
    let mut would = 0;
    let mut from = Some(0);
    while let Some(first) = from {
        let page = page(access, first).await?;
        would += page.iter().filter(|letter| which.means(letter)).count() as u64;
        from = page.last().map(|last| last.seq.saturating_add(1));
    }
    say(which.json, "would_purge", would, || match would {
        0 => "nothing would be purged".to_owned(),
        _ => format!("would purge {}; nothing was removed, --yes does it", letters(would)),
    })
}

fn letters(number: u64) -> String {
    many(number, "dead letter")
}

fn say(json: bool, key: &str, number: u64, words: impl Fn() -> String) -> anyhow::Result<()> {
    let line = if json { json!({ key: number }).to_string() } else { words() };
    Ok(writeln!(io::stdout(), "{line}")?)
}

async fn page(access: &mut Access, from: u64) -> anyhow::Result<Vec<ShownLetter>> {
    Ok(ask(access, DeadLettersAsked::List { from, max: PAGE }).await?.0)
}

/// Through the daemon or by hand.
async fn ask(
    access: &mut Access,
    asked: DeadLettersAsked,
) -> anyhow::Result<(Vec<ShownLetter>, u64)> {
    let inspector = match access {
        Access::Daemon(client) => return Ok(client.dead_letters(&asked).await?),
        Access::Here(queue) => &queue.inspector,
    };
    let nothing = |done: Result<u64, QueueError>| done.map(|count| (Vec::new(), count));
    Ok(match asked {
        DeadLettersAsked::List { from, max } => {
            let letters = inspector.dead_letters(from, max).await?;
            (letters.iter().map(ShownLetter::new).collect(), letters.len() as u64)
        }
        DeadLettersAsked::Retry(which) => nothing(inspector.retry_dead_letters(which).await)?,
        DeadLettersAsked::Purge(which) => nothing(inspector.purge_dead_letters(which).await)?,
    })
}

async fn show(access: &mut Access, seq: u64) -> anyhow::Result<()> {
    let (letters, _) = ask(access, DeadLettersAsked::List { from: seq, max: 1 }).await?;
    let Some(letter) = letters.first().filter(|letter| letter.seq == seq) else {
        anyhow::bail!("there is no dead letter with the number {seq}");
    };
    Ok(writeln!(io::stdout(), "{}", serde_json::to_string_pretty(letter)?)?)
}

/// Prints page by page: there may be many.
async fn list(access: &mut Access, from: u64) -> anyhow::Result<()> {
    let (mut shown, mut from) = (0, from);
    loop {
        let page = page(access, from).await?;
        let Some(last) = page.last() else { break };
        from = last.seq.saturating_add(1);
        shown += page.len();
        writeln!(io::stdout(), "{}", table(&page).trim_fmt())?;
    }
    if shown == 0 {
        writeln!(io::stdout(), "there are no dead letters")?;
    }
    Ok(())
}

/// What `list --json` prints.
#[derive(Default, serde::Serialize)]
struct Document {
    dead_letters: Vec<Box<RawValue>>,
    /// There are more behind these.
    more: bool,
    #[serde(skip)]
    bytes: usize,
}

impl Document {
    /// Whether there is room for more behind `page`.
    fn take(&mut self, page: &[ShownLetter], max_bytes: usize) -> serde_json::Result<bool> {
        for letter in page {
            self.more = self.bytes >= max_bytes;
            if self.more {
                return Ok(false);
            }
            let letter = to_raw_value(letter)?;
            self.bytes += letter.get().len();
            self.dead_letters.push(letter);
        }
        Ok(!page.is_empty())
    }
}

/// Prints when all is there: what breaks off leaves no part of an object.
async fn list_json(access: &mut Access, mut from: u64) -> anyhow::Result<()> {
    let mut document = Document::default();
    loop {
        let page = page(access, from).await?;
        if !document.take(&page, MAX_JSON)? {
            break;
        }
        from = page.last().map_or(u64::MAX, |last| last.seq.saturating_add(1));
    }
    Ok(writeln!(io::stdout(), "{}", serde_json::to_string(&document)?)?)
}

fn table(page: &[ShownLetter]) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_header(["seq", "refused", "", "status", "answer"]);
    let now = SystemClock.now();
    for letter in page {
        let answer: String = letter.answer.chars().take(EXCERPT).collect();
        table.add_row([
            letter.seq.to_string(),
            ago(letter.refused_at, now),
            if letter.retrying { "retrying".into() } else { String::new() },
            letter.status.to_string(),
            // A server may say anything.
            answer.escape_debug().to_string(),
        ]);
    }
    if let Some(column) = table.column_mut(0) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(seq: u64) -> ShownLetter {
        let answer = "a".repeat(100);
        let refused_at = SystemClock.now();
        ShownLetter { refused_at, status: 422, answer, retrying: false, sample: None, seq }
    }

    #[test]
    fn object_ends_at_its_bound_and_says_so() {
        let mut document = Document::default();
        assert!(document.take(&[letter(1), letter(2)], 1000).unwrap());
        assert!(!document.more);
        let page: Vec<_> = (3..100).map(letter).collect();
        assert!(!document.take(&page, 1000).unwrap());
        assert!(document.more);
        let taken = document.dead_letters.len();
        assert!((3..10).contains(&taken), "{taken}");
        assert!((1000..1300).contains(&document.bytes), "{}", document.bytes);
    }

    #[test]
    fn object_that_holds_all_says_that_there_is_no_more() {
        let mut document = Document::default();
        // The bound is reached by the very last one.
        assert!(document.take(&[letter(1)], 10).unwrap());
        assert!(!document.take(&[], 10).unwrap());
        assert!(!document.more);
    }
}
