//! `collector receive`: the built-in reference receiver, for trying out and for tests.

use std::{fs::File, io::Read as _, io::Write as _, net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, ensure};
use secrecy::SecretString;

use super::Usage;
use crate::receiver::{Options, Receiver};

/// A key file beyond this isn't a key file.
const MAX_KEY_BYTES: u64 = 16 * 1024;

/// Accept the native format, remove duplicates, and print the totals at exit.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000", value_parser = address)]
    pub listen: SocketAddr,
    /// File with the key that requests must carry; without it the key is taken from `API_KEY`.
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// File to which accepted samples are appended, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What all other commands take: said to be of no use here, rather than taken and ignored.
    #[command(flatten)]
    refused: Refused,
}

/// Under the names that they have elsewhere.
#[derive(Debug, clap::Args)]
struct Refused {
    #[arg(short, long, hide = true)]
    config: Option<PathBuf>,
    #[arg(long, hide = true)]
    env_file: Option<PathBuf>,
}

/// `127.0.0.1:8000`, `[::1]:8000`, `localhost:8000`.
fn address(text: &str) -> Result<SocketAddr, &'static str> {
    let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let parsed = numeric.as_deref().unwrap_or(text).parse();
    parsed.map_err(|_| "expected an address with a port, 127.0.0.1:8000 or [::1]:8000 say")
}

/// Receives until `SIGINT` or `SIGTERM`, then prints one line of totals to stdout.
pub async fn run(args: Args) -> anyhow::Result<()> {
    if args.refused.config.is_some() || args.refused.env_file.is_some() {
        return Err(
            Usage("receive takes no configuration: neither -c nor --env-file".into()).into()
        );
    }
    let api_key = api_key(&args)?;
    let stopped = stop_signal()?;
    let options = Options { api_key, output: args.output, ..Options::new(args.listen) };
    let receiver = Receiver::bind(options).await?;
    tracing::info!(address = %receiver.local_addr(), "receiving");
    let totals = receiver.serve(stopped).await;
    writeln!(std::io::stdout(), "{totals}").context("can't print the totals")
}

fn api_key(args: &Args) -> anyhow::Result<Option<SecretString>> {
    let Some(path) = &args.api_key_file else {
        let key = std::env::var("API_KEY").unwrap_or_default();
        return Ok(Some(key.trim()).filter(|key| !key.is_empty()).map(SecretString::from));
    };
    let mut key = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_KEY_BYTES).read_to_string(&mut key))
        .with_context(|| format!("can't read the API key from {}", path.display()))?;
    // A file that was named and holds nothing must not open the door.
    ensure!(!key.trim().is_empty(), "{} holds no key", path.display());
    Ok(Some(SecretString::from(key.trim())))
}

#[cfg(unix)]
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("can't wait for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("can't wait for SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
