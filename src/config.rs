//! The configuration: YAML → a checked [`Config`] of the option structs that the modules own.
//! Judged whole, all faults at once, before anything else is done; judging creates nothing on disk.
//! No module below `agent` sees [`Config`]: each gets its own options.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{collect, forward, queue, sampler, telemetry, transport};

mod apikey;
mod buffer;
mod changes;
mod defaults;
mod endpoint;
mod environment;
mod expand;
mod fault;
mod file;
mod forwarder;
mod keys;
mod logging;
mod metrics;
mod proxy;
mod reader;
mod tls;
mod units;
mod url;
mod values;
mod yaml;

pub use self::{
    changes::Change,
    environment::Environment,
    fault::{Error, Fault},
    units::parse_duration,
};
use self::{file::Text, reader::Reader, yaml::Document};

/// A whole configuration, checked: whoever holds one can trust every value in it.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it came from.
    pub file: PathBuf,
    /// The configured name of the host; empty: to be detected.
    pub hostname: String,
    /// Labels put on every sample.
    pub tags: BTreeMap<String, String>,
    /// Which groups are sampled, and how often.
    pub collect: collect::Options,
    /// What the samplers leave out or add.
    pub sampler: sampler::Options,
    /// Where the queue lives and what bounds it.
    pub queue: queue::Options,
    /// How the forwarder paces itself.
    pub forward: forward::Options,
    /// Where and how requests are sent.
    pub http: transport::http::Options,
    /// What is logged where.
    pub telemetry: telemetry::Options,
    /// Where the control socket is.
    pub socket: PathBuf,
    /// What isn't wrong but unwise; to be shown, in one line each, without a secret.
    pub warnings: Vec<String>,
    effective: Document,
}

impl Config {
    /// Every key with the value in force, as YAML; secrets are masked.
    #[must_use]
    pub fn effective(&self) -> String {
        self.effective.to_string()
    }
}

/// Reads and judges the configuration: `file`, or the first of the two usual places that exists.
/// `env_file` takes the place of `.env` in the working directory, and must exist.
pub fn load(file: Option<&Path>, env_file: Option<&Path>) -> Result<Config, Error> {
    let file = file::locate(file, file::PLACES.map(Path::new))?;
    let (environment, warning) = environment(env_file, Path::new(".env"))?;
    let mut config = judge(&file::read(&file, file::MOST_CONFIG_BYTES)?, &environment)?;
    config.warnings.extend(warning);
    Ok(config)
}

/// Judges the bytes of a configuration as though they came from `file`.
pub fn parse(file: &Path, bytes: &[u8], environment: &Environment) -> Result<Config, Error> {
    if bytes.len() as u64 > file::MOST_CONFIG_BYTES {
        return Err(file::too_large(file, file::MOST_CONFIG_BYTES).into());
    }
    let content = file::decode(file, bytes)?.to_owned();
    judge(&Text { file: file.into(), content, others_may_read: false }, environment)
}

/// The process's environment over the `.env` file that was asked for, or else the usual one if
/// there is one. A service may lack the right to the latter when its manager reads it.
fn environment(given: Option<&Path>, usual: &Path) -> Result<(Environment, Option<String>), Fault> {
    let environment = Environment::new(|name| std::env::var_os(name));
    let file = match given {
        Some(file) => file,
        None if usual.is_file() => usual,
        None => return Ok((environment, None)),
    };
    if given.is_none() && file::is_forbidden(file) {
        let warning = format!("{}: may not be read by this user, left out", file.display());
        return Ok((environment, Some(warning)));
    }
    Ok((environment.with_text(file::read(file, file::MOST_BYTES)?)?, None))
}

fn judge(source: &Text, environment: &Environment) -> Result<Config, Error> {
    let root = yaml::parse(&source.content)
        .map_err(|broken| Fault::of_file(&source.file, broken.message).at(broken.line))?;
    let mut reader = Reader::new(source, &root, environment);
    let config = read(&mut reader);
    reader.judge_keys();
    match config {
        Some(config) if reader.faults.is_empty() => {
            Ok(Config { warnings: reader.warnings, effective: reader.effective, ..config })
        }
        _ => Err(Error::new(reader.faults)),
    }
}

/// Reads every key there is. `None`, or a configuration of no worth, after a fault was noted.
fn read(reader: &mut Reader<'_>) -> Option<Config> {
    let collect = metrics::collect(reader);
    let sampler = metrics::sampler(reader);
    let http = endpoint::http(reader);
    let hostname = metrics::hostname(reader);
    let tags = metrics::tags(reader);
    let queue = buffer::queue(reader);
    let forward = forwarder::forward(reader);
    let telemetry = logging::telemetry(reader);
    let socket = buffer::socket(reader, &queue.directory);
    Some(Config {
        file: reader.source.file.clone(),
        hostname,
        tags,
        collect,
        sampler,
        queue,
        forward: forward?,
        http: http?,
        telemetry,
        socket,
        warnings: Vec::new(),
        effective: Document::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environment::Lookup;

    #[test]
    fn the_usual_env_file_is_read_when_there_is_one() {
        let home = tempfile::tempdir().unwrap();
        let usual = home.path().join(".env");
        let value = || environment(None, &usual).map(|(environment, _)| environment.get("NO_SUCH"));
        assert_eq!(value(), Ok(Lookup::Unset));
        std::fs::write(&usual, "NO_SUCH=x\n").unwrap();
        assert_eq!(value(), Ok(Lookup::File("x".into())));
        std::fs::write(&usual, "canary\n").unwrap();
        assert_eq!(value().expect_err("broken").line, Some(1));
    }

    #[test]
    fn a_directory_in_the_place_of_the_usual_env_file_is_none() {
        let home = tempfile::tempdir().unwrap();
        let found =
            environment(None, home.path()).map(|(environment, _)| environment.get("NO_SUCH"));
        assert_eq!(found, Ok(Lookup::Unset));
    }
}
