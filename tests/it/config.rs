//! Does the configuration say what is wrong, where, and what is allowed, and is a good one taken
//! as it was meant?

mod bad_files;
mod dotenv;
mod files;
mod good_files;
mod ways_out;

use std::{ffi::OsString, path::Path};

use collector::config::{Config, Environment, Error, parse};

/// A real environment of fixed values.
pub(crate) fn environment(name: &str) -> Option<OsString> {
    let value = match name {
        "API_KEY" => "canary-key",
        "NUMBER" => "7",
        "DURATION" => "250ms",
        "FLAG" => "false",
        "WORD" => "canary-word",
        "EMPTY" => "",
        "NEWLINE" => "canary\nline",
        _ => return None,
    };
    Some(value.into())
}

/// Judges a text as the file `c.yaml`, in the environment above.
pub(crate) fn judge(text: impl AsRef<[u8]>) -> Result<Config, Error> {
    parse(Path::new("c.yaml"), text.as_ref(), &Environment::new(environment))
}
