//! The configuration: any bytes are a configuration or a list of faults. A configuration shows
//! itself in full and never with a secret.
#![no_main]

use std::path::Path;

use collector::config::{self, Environment};
use libfuzzer_sys::fuzz_target;

/// Stands in the environment as `${API_KEY}`.
const CANARY: &str = "canary-4711";

fuzz_target!(|bytes: &[u8]| {
    let environment = Environment::new(|name| (name == "API_KEY").then(|| CANARY.into()));
    let key = String::from_utf8_lossy(bytes).contains("api_key: ${API_KEY}");
    let shown = match config::parse(Path::new("collector-config.yaml"), bytes, &environment) {
        Ok(config) => format!("{config:?}\n{}\n{:?}", config.effective(), config.warnings),
        Err(error) => format!("{error}\n{error:?}"),
    };
    // As a host's name or a tag it is no secret.
    let elsewhere = String::from_utf8_lossy(bytes).matches("API_KEY").count() != 1;
    assert!(!key || elsewhere || !shown.contains(CANARY), "{shown}");
});
