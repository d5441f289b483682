//! `logging`: what is logged where.

use std::path::PathBuf;

use super::reader::Reader;
use crate::telemetry::{Format, Level, Options};

pub(super) fn telemetry(reader: &mut Reader<'_>) -> Options {
    Options {
        level: reader.choice(
            "logging.level",
            &[
                ("INFO", Level::Info),
                ("TRACE", Level::Trace),
                ("DEBUG", Level::Debug),
                ("WARNING", Level::Warning),
                ("ERROR", Level::Error),
                ("CRITICAL", Level::Critical),
            ],
        ),
        file: file(reader),
        format: reader.choice("logging.format", &[("text", Format::Text), ("json", Format::Json)]),
    }
}

fn file(reader: &mut Reader<'_>) -> Option<PathBuf> {
    const PATH: &str = "logging.file";
    let file = PathBuf::from(reader.text(PATH)?);
    if file.is_dir() {
        reader.refuse(PATH, format!("{} is a directory; must be a file", file.display()));
    }
    Some(file)
}
