//! `collector queue export`: everything that is queued as NDJSON, to stdout or into a file, page by
//! page. It removes nothing.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use anyhow::Context as _;

use super::pages::Pages;
use crate::{
    cli::{ConfigArgs, words::many},
    config::Config,
};

/// Samples of one page; the queue sends fewer when they are large.
const PAGE: usize = 2000;

/// Arguments of `queue export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Write into this file, for its owner only, instead of stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Args {
    /// Opens the output; what is in it stays until there is something to write.
    pub(super) fn open(&self) -> anyhow::Result<Option<File>> {
        let Some(path) = &self.output else { return Ok(None) };
        let file = File::options().write(true).create(true).truncate(false).open(path);
        file.map(Some).with_context(|| format!("can't write {}", path.display()))
    }
}

pub(super) async fn run(args: &Args, output: Option<File>, config: &Config) -> anyhow::Result<()> {
    let mut pages = Pages::of(config).await?;
    match (output, &args.output) {
        (Some(file), Some(path)) => {
            let written = write_file(&mut pages, file).await;
            let samples = written.with_context(|| format!("can't write {}", path.display()))?;
            let samples = many(samples, "sample");
            writeln!(io::stdout(), "{samples} exported to {}", path.display())?;
        }
        _ => {
            write_lines(&mut pages, &mut io::stdout().lock()).await?;
        }
    }
    pages.warning().map_or(Ok(()), |warning| writeln!(io::stderr(), "{warning}"))?;
    Ok(())
}

/// When it returns, the file is on stable storage.
async fn write_file(pages: &mut Pages, file: File) -> anyhow::Result<u64> {
    let is_file = file.metadata()?.is_file();
    if is_file {
        file.set_len(0)?;
    }
    let mut out = BufWriter::new(file);
    let samples = write_lines(pages, &mut out).await?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    if is_file {
        file.sync_all()?;
    }
    Ok(samples)
}

/// Writes one sample a line; how many they were.
async fn write_lines(pages: &mut Pages, out: &mut impl Write) -> anyhow::Result<u64> {
    let mut samples = 0;
    while !pages.is_at_end() {
        for shown in pages.next(PAGE).await? {
            writeln!(out, "{}", shown.line.get())?;
            samples += 1;
        }
        out.flush()?;
    }
    Ok(samples)
}
