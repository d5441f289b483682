//! A `.env` file: any text is an environment or one fault with a line of that text.
#![no_main]

use std::path::Path;

use collector::config::Environment;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let lines = text.lines().count();
    match Environment::new(|_| None).with_file(Path::new(".env"), text) {
        Ok(environment) => drop(format!("{environment:?}")),
        Err(fault) => {
            let line = fault.line.expect("the fault names its line");
            assert!((1..=lines.max(1)).contains(&line), "line {line} of {lines}: {fault}");
        }
    }
});
