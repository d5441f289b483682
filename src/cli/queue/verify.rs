//! `collector queue verify`: examines the queue without changing it, through the daemon or by hand.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, TableStyle};
use serde::Serialize;

use super::{Access, expect_queue, reach_or};
use crate::{
    cli::{
        ConfigArgs,
        words::{count, many, size},
    },
    config::Config,
    control::client::Client,
    queue::{self, Database, Part, Verdict},
};

/// Arguments of `queue verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The object of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    running: bool,
    #[serde(flatten)]
    verdict: &'a Verdict,
}

pub(super) async fn run(args: &Args, config: &Config) -> anyhow::Result<()> {
    let here = || {
        expect_queue(config)?;
        let options = &config.queue;
        Ok(queue::verify_closed(&options.directory, options.max_bytes, |_| ())?)
    };
    let (running, verdict) = match reach_or(config, here).await? {
        Access::Daemon(client) => (true, ask(client, config).await?),
        Access::Here(verdict) => (false, verdict),
    };
    let mut out = io::stdout().lock();
    if args.json {
        let document = Document { running, verdict: &verdict };
        writeln!(out, "{}", serde_json::to_string_pretty(&document)?)?;
    } else {
        write!(out, "{}", text(&verdict))?;
    }
    match verdict.problems.as_slice() {
        [] => Ok(()),
        [problem] => anyhow::bail!("the queue is damaged: {problem}"),
        [first, ..] => {
            let problems = verdict.problems.len();
            anyhow::bail!("the queue is damaged in {problems} places, the first: {first}")
        }
    }
}

/// The daemon's verdict, and what the databases tell that it keeps closed: they are opened here, where
/// a damaged one can do no harm.
async fn ask(mut client: Client, config: &Config) -> anyhow::Result<Verdict> {
    let mut verdict = client.verify(|_| ()).await?;
    let damaged = verdict.open_closed_parts(&config.queue.directory);
    if damaged.is_empty() {
        return Ok(verdict);
    }
    let now = client.verify(|_| ()).await?;
    let is_closed = |name: &String| {
        let mut parts = now.parts.iter();
        parts.any(|part| part.name == *name && part.database == Database::NotOpened)
    };
    // What the daemon has opened or given up meanwhile wasn't damaged, but written to.
    Ok(if damaged.iter().all(is_closed) { verdict } else { now })
}

fn text(verdict: &Verdict) -> String {
    let mut text = format!("{}\n", table(&verdict.parts).trim_fmt());
    let lines = verdict.problems.iter().map(|problem| format!("damaged: {problem}\n"));
    lines.for_each(|line| text.push_str(&line));
    let lines = verdict.notes.iter().map(|note| format!("note: {note}\n"));
    lines.for_each(|line| text.push_str(&line));
    let (samples, on_disk) = (many(verdict.samples, "sample"), size(verdict.disk_bytes));
    let end = if verdict.clean {
        format!("clean: {samples} can be read; {on_disk} on disk\n")
    } else {
        let missing = count(verdict.missing);
        format!("{samples} can be read, {missing} can't; {on_disk} on disk\n")
    };
    text.push_str(&end);
    text
}

/// The number of the last sample that was ever in it.
fn last(part: &Part) -> String {
    let last = part.end_seq.checked_sub(1).filter(|last| *last >= part.first_seq);
    last.map_or_else(|| "-".to_owned(), |last| last.to_string())
}

fn table(parts: &[Part]) -> Table {
    let mut table = Table::new();
    let header = ["first", "last", "samples", "missing", "frames", "on disk", "database"];
    table.load_style(TableStyle::new()).set_header(header);
    for part in parts {
        let database = match part.database {
            Database::Whole => "whole",
            Database::Broken => "broken",
            Database::NotOpened => "not opened",
        };
        table.add_row([
            part.first_seq.to_string(),
            last(part),
            count(part.samples),
            count(part.expected.saturating_sub(part.samples)),
            count(part.frames),
            size(part.disk_bytes),
            database.to_owned(),
        ]);
    }
    for column in 0..6 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
