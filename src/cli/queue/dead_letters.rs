//! `collector queue dead-letters …`: the samples that the server refused alone, through the daemon or
//! by hand.

use std::io::{self, Write};

use clap::Subcommand;
use comfy_table::{CellAlignment, Table, TableStyle};
use serde_json::json;

use super::{Access, reach};
use crate::{
    cli::{
        ConfigArgs,
        words::{ago, count},
    },
    clock::{Clock as _, SystemClock},
    config::Config,
    control::{DeadLettersAsked, ShownLetter},
    queue::{QueueError, Which},
};

/// Letters of one page.
const PAGE: usize = 500;
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
        Command::List(args) => list(&mut access, args.json).await,
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
    if number == 1 { "1 dead letter".into() } else { format!("{} dead letters", count(number)) }
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
async fn list(access: &mut Access, json: bool) -> anyhow::Result<()> {
    let mut shown = 0;
    let mut from = Some(0);
    if json {
        write!(io::stdout(), "{{\"dead_letters\":[")?;
    }
    while let Some(first) = from {
        let page = page(access, first).await?;
        from = page.last().map(|last| last.seq.saturating_add(1));
        if page.is_empty() {
            break;
        }
        if json {
            write_json(&page, shown > 0)?;
        } else {
            writeln!(io::stdout(), "{}", table(&page).trim_fmt())?;
        }
        shown += page.len();
    }
    match (json, shown) {
        (true, _) => writeln!(io::stdout(), "]}}")?,
        (false, 0) => writeln!(io::stdout(), "there are no dead letters")?,
        (false, _) => {}
    }
    Ok(())
}

fn write_json(page: &[ShownLetter], separated: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    for (at, letter) in page.iter().enumerate() {
        let comma = if separated || at > 0 { "," } else { "" };
        write!(out, "{comma}{}", serde_json::to_string(letter)?)?;
    }
    Ok(())
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
