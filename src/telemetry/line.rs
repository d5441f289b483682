//! How a log line looks, as text and as JSON. One event is one line whatever it holds: control
//! characters, from a server's answer say, are escaped.

use std::{error::Error, fmt};

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::Format;
use crate::clock::{Clock, SystemClock};

/// The field that makes an error critical.
const CRITICAL: &str = "critical";

/// Whether an event ends the daemon.
pub(super) fn is_critical(metadata: &Metadata<'_>) -> bool {
    *metadata.level() == Level::ERROR && metadata.fields().field(CRITICAL).is_some()
}

/// Formats events.
pub(super) struct Line {
    format: Format,
}

impl Line {
    pub(super) fn new(format: Format) -> Self {
        Self { format }
    }
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut parts = Parts {
            timestamp: format!("{:.6}", SystemClock.now()),
            level: name(event.metadata()),
            target: target(event.metadata().target()),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut parts);
        match self.format {
            Format::Text => parts.write_text(&mut to),
            Format::Json => {
                let line = serde_json::to_string(&parts).map_err(|_| fmt::Error)?;
                writeln!(to, "{line}")
            }
        }
    }
}

fn name(metadata: &Metadata<'_>) -> &'static str {
    match *metadata.level() {
        Level::TRACE => "TRACE",
        Level::DEBUG => "DEBUG",
        Level::INFO => "INFO",
        Level::WARN => "WARNING",
        Level::ERROR if is_critical(metadata) => "CRITICAL",
        Level::ERROR => "ERROR",
    }
}

/// The module, without the name of the program that every line would repeat.
fn target(target: &'static str) -> &'static str {
    target.strip_prefix(concat!(env!("CARGO_CRATE_NAME"), "::")).unwrap_or(target)
}

/// An event taken apart.
struct Parts {
    timestamp: String,
    level: &'static str,
    target: &'static str,
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Parts {
    fn write_text(&self, to: &mut Writer<'_>) -> fmt::Result {
        let (on, off) = match self.level {
            _ if !to.has_ansi_escapes() => ("", ""),
            "CRITICAL" => ("\u{1b}[1;31m", "\u{1b}[0m"),
            "ERROR" => ("\u{1b}[31m", "\u{1b}[0m"),
            "WARNING" => ("\u{1b}[33m", "\u{1b}[0m"),
            "INFO" => ("\u{1b}[32m", "\u{1b}[0m"),
            _ => ("\u{1b}[2m", "\u{1b}[0m"),
        };
        write!(to, "{} {on}{:<8}{off} {}:", self.timestamp, self.level, self.target)?;
        if !self.message.is_empty() {
            write!(to, " {}", Bare(&self.message))?;
        }
        for (name, value) in &self.fields {
            match value {
                Value::String(text) if needs_quotes(text) => write!(to, " {name}={text:?}")?,
                Value::String(text) => write!(to, " {name}={text}")?,
                value => write!(to, " {name}={value}")?,
            }
        }
        writeln!(to)
    }

    fn push(&mut self, field: &Field, value: impl Into<Value>) {
        match (field.name(), value.into()) {
            ("message", Value::String(text)) => self.message = text,
            (CRITICAL, _) => {}
            (name, value) => self.fields.push((name, value)),
        }
    }
}

impl Serialize for Parts {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("timestamp", &self.timestamp)?;
        map.serialize_entry("level", self.level)?;
        map.serialize_entry("target", self.target)?;
        map.serialize_entry("message", &self.message)?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Visit for Parts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, value);
    }

    /// The whole chain: no error repeats its source.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let chain = std::iter::successors(Some(value), |&error| error.source());
        let text: Vec<_> = chain.map(ToString::to_string).collect();
        self.push(field, text.join(": "));
    }
}

fn needs_quotes(text: &str) -> bool {
    text.is_empty()
        || text.chars().any(|c| c.is_control() || c.is_whitespace() || "\"=".contains(c))
}

/// Text without quotes, its control characters escaped.
struct Bare<'a>(&'a str);

impl fmt::Display for Bare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if c.is_control() { write!(f, "{}", c.escape_debug()) } else { write!(f, "{c}") }
        })
    }
}
