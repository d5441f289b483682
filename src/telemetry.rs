//! Logging set-up: stderr or a rotating file, text or JSON, with the seed's level names. Whoever
//! logs never waits: not for a terminal, not for a disk. `RUST_LOG` means nothing here.
//!
//! A daemon-ending error is logged with a field: `error!(critical = true, …)` is shown as CRITICAL.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use tracing::{Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry, filter::FilterFn, fmt::MakeWriter, layer::SubscriberExt, reload,
};

mod line;
mod rotate;
mod writer;

use self::{
    line::{Line, is_critical},
    rotate::RotatingFile,
    writer::Guard,
};

/// What is logged where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The lowest level that is logged.
    pub level: Level,
    /// A file instead of stderr; rotated at 10 MB, 5 kept.
    pub file: Option<PathBuf>,
    /// How a line looks.
    pub format: Format,
}

/// The seed's level names, and `TRACE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Everything.
    Trace,
    /// For developers.
    Debug,
    /// State changes.
    Info,
    /// It mended itself, nothing lost.
    Warning,
    /// Data lost, or a person must act.
    Error,
    /// What ends the daemon; tracing has no such level, so only its errors marked critical.
    Critical,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be opened; its directory must exist.
    #[error("can't open the log file {} (its directory must exist)", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No thread for the writing.
    #[error("can't start the thread that writes the log")]
    Thread(#[source] io::Error),
    /// The process logs already.
    #[error("logging is set up already")]
    Again,
}

/// The log of this process. It is written out when this is dropped, which takes a second at most;
/// what is logged later is lost.
#[must_use = "the log ends when this is dropped"]
pub struct Log {
    threshold: Threshold,
    _guard: Guard,
}

impl Log {
    /// The way to another level.
    #[must_use]
    pub fn threshold(&self) -> Threshold {
        self.threshold.clone()
    }
}

/// The lowest level that is logged, to be changed while the process runs.
#[derive(Debug, Clone)]
pub struct Threshold(reload::Handle<Filter, Registry>);

impl Threshold {
    /// From now on this is the lowest level.
    pub fn set(&self, level: Level) {
        if let Err(error) = self.0.reload(filter(level)) {
            tracing::error!(%error, "the level of the log can't be changed");
        }
    }
}

/// Which events are logged.
type Filter = FilterFn<Box<dyn Fn(&Metadata<'_>) -> bool + Send + Sync>>;

/// Sets up logging for the whole process.
pub fn init(options: &Options) -> Result<Log, Error> {
    let (sink, is_terminal): (writer::Sink, bool) = match &options.file {
        None => (stderr().map_err(Error::Thread)?, io::stderr().is_terminal()),
        Some(path) => {
            let file = RotatingFile::open(path)
                .map_err(|source| Error::Open { path: path.clone(), source })?;
            (Box::new(file), false)
        }
    };
    let (lines, guard) = writer::spawn(sink).map_err(Error::Thread)?;
    let colour = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (subscriber, threshold) = subscriber(options, colour, move || lines.clone());
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::Again)?;
    Ok(Log { threshold, _guard: guard })
}

fn filter(level: Level) -> Filter {
    let is_logged: Box<dyn Fn(&Metadata<'_>) -> bool + Send + Sync> =
        Box::new(move |metadata| is_logged(level, metadata));
    FilterFn::new(is_logged).with_max_level_hint(threshold(level))
}

fn subscriber(
    options: &Options,
    colour: bool,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> (impl Subscriber + Send + Sync, Threshold) {
    let (filter, handle) = reload::Layer::new(filter(options.level));
    let layer = tracing_subscriber::fmt::layer()
        .event_format(Line::new(options.format))
        .with_ansi(colour && options.format == Format::Text)
        .with_writer(writer)
        // They would be printed to stderr, blocking.
        .log_internal_errors(false);
    (Registry::default().with(layer.with_filter(filter)), Threshold(handle))
}

/// Events of other crates are for their developers, and not checked for secrets: only what they
/// warn of is logged.
fn is_logged(level: Level, metadata: &Metadata<'_>) -> bool {
    let threshold = threshold(level);
    let threshold =
        if is_ours(metadata.target()) { threshold } else { threshold.min(LevelFilter::WARN) };
    *metadata.level() <= threshold && (level != Level::Critical || is_critical(metadata))
}

fn is_ours(target: &str) -> bool {
    target.split("::").next() == Some(env!("CARGO_CRATE_NAME"))
}

fn threshold(level: Level) -> LevelFilter {
    match level {
        Level::Trace => LevelFilter::TRACE,
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warning => LevelFilter::WARN,
        Level::Error | Level::Critical => LevelFilter::ERROR,
    }
}

/// A handle of its own: a write that waits must not hold the lock of [`io::stderr`], on which the
/// process's last message would wait in turn.
#[cfg(unix)]
fn stderr() -> io::Result<writer::Sink> {
    use std::os::fd::AsFd;
    let handle = io::stderr().as_fd().try_clone_to_owned()?;
    Ok(Box::new(std::fs::File::from(handle)))
}

/// The console takes text from the library's own handle only.
#[cfg(not(unix))]
fn stderr() -> io::Result<writer::Sink> {
    Ok(Box::new(io::stderr()))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{debug, error, info, trace, warn};

    use super::*;

    /// What is logged with these options while `events` runs.
    fn logged(level: Level, format: Format, colour: bool, events: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Sink(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Sink {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (sink, options) = (Sink::default(), Options { level, file: None, format });
        let writer = sink.clone();
        let (subscriber, _) = subscriber(&options, colour, move || writer.clone());
        tracing::subscriber::with_default(subscriber, events);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn all_levels() {
        trace!("t");
        debug!("d");
        info!("i");
        warn!("w");
        error!("e");
        error!(critical = true, "c");
        warn!(target: "sled::tree", "foreign w");
        info!(target: "collectors::x", "foreign i");
        trace!(target: "hyper", "foreign t");
    }

    #[test]
    fn a_level_lets_through_itself_and_what_is_worse() {
        for (level, expected) in [
            (Level::Trace, "tdiwecf"),
            (Level::Debug, "diwecf"),
            (Level::Info, "iwecf"),
            (Level::Warning, "wecf"),
            (Level::Error, "ec"),
            (Level::Critical, "c"),
        ] {
            let text = logged(level, Format::Json, false, all_levels);
            let messages = text.lines().map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                line["message"].as_str().unwrap().chars().next().unwrap()
            });
            assert_eq!(messages.collect::<String>(), expected, "{level:?}");
        }
    }

    #[test]
    fn lines_bear_the_seeds_level_names() {
        let text = logged(Level::Trace, Format::Text, false, all_levels);
        let names: Vec<_> =
            text.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        let expected = ["TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "WARNING"];
        assert_eq!(names, expected);
    }

    #[test]
    fn fields_follow_the_message_and_nothing_breaks_the_line() {
        let text = logged(Level::Info, Format::Text, false, || {
            let error = io::Error::other("no\nroute");
            warn!(
                status = 503,
                reason = "a \"b\"\n\u{1b}[31m",
                plain = "x-1",
                empty = "",
                error = &error as &dyn std::error::Error,
                "held\u{7}\nforged"
            );
        });
        let (_, line) = text.split_once(" WARNING  ").unwrap();
        assert_eq!(
            line,
            "telemetry::tests: held\\u{7}\\nforged status=503 reason=\"a \\\"b\\\"\\n\\u{1b}[31m\" \
             plain=x-1 empty=\"\" error=\"no\\nroute\"\n"
        );
    }

    #[test]
    fn json_keeps_the_types_of_fields() {
        let text = logged(Level::Info, Format::Json, true, || {
            info!(count = 3_u64, ratio = 0.5, ok = true, name = %"x", "sent");
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["target"], "telemetry::tests");
        assert_eq!((&line["count"], &line["ratio"]), (&3.into(), &0.5.into()));
        assert_eq!((&line["ok"], &line["name"]), (&true.into(), &"x".into()));
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn only_a_terminal_gets_colour() {
        let text = |colour| logged(Level::Info, Format::Text, colour, || warn!("x"));
        assert!(text(true).contains('\u{1b}') && !text(false).contains('\u{1b}'));
    }
}
