//! The configuration: any bytes are a configuration or a list of faults. A configuration shows
//! itself in full and never with a secret; a fault shows nothing that isn't in the file.
#![no_main]

use std::path::Path;

use collector::config::{self, Environment};
use libfuzzer_sys::fuzz_target;

/// Stands in the environment as `${API_KEY}`.
const CANARY: &str = "canary-4711";

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let environment = Environment::new(|name| (name == "API_KEY").then(|| CANARY.into()));
    let (shown, is_secret) =
        match config::parse(Path::new("collector-config.yaml"), bytes, &environment) {
            Ok(config) => {
                // As a host's name, a glob or a tag it is no secret.
                let only_there = config.http.api_key.is_some()
                    && ["api_key", "API_KEY"].map(|name| text.matches(name).count()) == [1, 1]
                    && text.contains("api_key: ${API_KEY}");
                let shown = format!("{config:?}\n{}\n{:?}", config.effective(), config.warnings);
                (shown, only_there)
            }
            Err(error) => (format!("{error}\n{error:?}"), true),
        };
    assert!(!is_secret || text.contains(CANARY) || !shown.contains(CANARY), "{shown}");
});
