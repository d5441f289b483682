//! `logging`: what is logged where.

use std::path::PathBuf;

use super::{defaults, reader::Reader};
use crate::telemetry::{Format, Level, Options};

pub(super) fn telemetry(reader: &mut Reader<'_>) -> Options {
    Options {
        level: reader.choice(
            "logging.level",
            defaults::LEVEL,
            &[
                ("TRACE", Level::Trace),
                ("DEBUG", Level::Debug),
                ("INFO", Level::Info),
                ("WARNING", Level::Warning),
                ("ERROR", Level::Error),
                ("CRITICAL", Level::Critical),
            ],
        ),
        file: file(reader),
        format: reader.choice(
            "logging.format",
            defaults::FORMAT,
            &[("text", Format::Text), ("json", Format::Json)],
        ),
    }
}

fn file(reader: &mut Reader<'_>) -> Option<PathBuf> {
    const PATH: &str = "logging.file";
    let file = PathBuf::from(reader.text(PATH)?);
    if file.is_dir() {
        reader.refuse(PATH, format!("{} is a directory; must be a file", file.display()));
    }
    // No error yet: a service manager may make it just before the start.
    if let Some(directory) = file.parent().filter(|parent| !parent.as_os_str().is_empty())
        && !directory.exists()
    {
        let warning = format!("{PATH}: the directory {} doesn't exist", directory.display());
        reader.warnings.push(warning);
    }
    Some(file)
}
