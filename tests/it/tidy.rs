//! Is the source laid out as `docs/architecture.md` says: who may name which library, who may
//! import whom, how files begin and how long they are? Rules are data; a broken one names the line.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The longest file, in lines.
const LONGEST: usize = 400;

/// A word that may stand only in the files that begin with one of these paths.
struct Only {
    word: &'static str,
    within: &'static [&'static str],
}

/// Libraries, each behind the one module that knows its promises.
const LIBRARIES: &[Only] = &[
    Only { word: "sled::", within: &["queue/generation.rs"] },
    Only { word: "bincode::", within: &["queue/record.rs"] },
    Only { word: "backoff::", within: &["retry.rs"] },
    Only { word: "serde_yaml::", within: &["config/yaml.rs"] },
    Only { word: "hyper::", within: HTTP },
    Only { word: "hyper_util::", within: HTTP },
    Only { word: "hyper_rustls::", within: &["transport/"] },
    Only { word: "rustls::", within: &["transport/"] },
    Only { word: "base64::", within: &["transport/"] },
    Only { word: "percent_encoding::", within: &["transport/", "config/proxy.rs"] },
    Only { word: "anyhow::", within: &["cli.rs", "cli/"] },
    Only { word: "clap::", within: &["cli.rs", "cli/"] },
    Only { word: "windows_service::", within: &["cli/service.rs"] },
    Only { word: "indicatif::", within: &["cli/"] },
    Only { word: "comfy_table::", within: &["cli/"] },
    Only {
        word: "tracing_subscriber::",
        within: &["telemetry.rs", "telemetry/", "forward/journal.rs"],
    },
    Only { word: "procfs::", within: &["sampler/", "host/"] },
    Only {
        word: "sysinfo::",
        within: &["sampler.rs", "sampler/", "host.rs", "host/", "queue/files.rs"],
    },
    Only {
        word: "spawn_blocking",
        within: &["collect.rs", "agent.rs", "agent/reload.rs", "transport/", "receiver/"],
    },
    Only { word: "std::process::exit", within: &[] },
    Only { word: "println!", within: &[] },
    Only { word: "eprintln!", within: &[] },
    Only { word: "print!(", within: &[] },
];

/// Where HTTP is spoken, and where its types of URLs and header names are judged.
const HTTP: &[&str] = &["transport/", "control/", "receiver.rs", "receiver/", "config/"];

/// Modules (a file and the directory of its name) that must not name others of the crate.
const LAYERS: &[(&str, &[&str])] = &[
    ("clock", &["agent", "cli", "collect", "config", "control", "forward", "queue", "receiver"]),
    ("sample", &["agent", "cli", "clock", "collect", "config", "control", "encode", "forward"]),
    ("sample", &["queue", "receiver", "sampler", "transport"]),
    ("sampler", &["agent", "cli", "collect", "config", "control", "encode", "forward", "queue"]),
    ("sampler", &["receiver", "transport"]),
    ("collect", &["agent", "cli", "config", "control", "encode", "forward", "queue", "receiver"]),
    ("collect", &["retry", "transport"]),
    ("queue", &["agent", "cli", "collect", "config", "control", "encode", "forward", "receiver"]),
    ("queue", &["retry", "sampler", "transport"]),
    ("encode", &["agent", "cli", "collect", "config", "control", "forward", "receiver", "sampler"]),
    ("retry", &["agent", "cli", "collect", "config", "control", "encode", "forward", "queue"]),
    ("transport", &["agent", "cli", "collect", "config", "control", "forward", "queue"]),
    ("transport", &["receiver", "sampler", "sample"]),
    ("forward", &["agent", "cli", "collect", "config", "control", "receiver", "sampler"]),
    ("control", &["agent", "cli", "collect", "config", "encode", "receiver", "sampler"]),
    ("receiver", &["agent", "cli", "collect", "config", "control", "forward", "queue", "sampler"]),
    ("host", &["agent", "cli", "collect", "config", "control", "encode", "forward", "queue"]),
    ("telemetry", &["agent", "cli", "collect", "config", "control", "forward", "queue"]),
    ("agent", &["cli"]),
    ("config", &["agent", "cli", "control", "receiver"]),
];

/// A source file: its path below `src` and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Lines of code with their numbers: no comments, no tests at the file's end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().zip(1..).map(|(line, number)| (number, line));
        let code = lines.take_while(|(_, line)| *line != "#[cfg(test)]");
        code.filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(number, line)| (number, line.split(" // ").next().unwrap_or(line)))
    }

    fn is_in(&self, module: &str) -> bool {
        let rest = self.path.strip_prefix(module);
        rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    }

    fn at(&self, number: usize, what: &str) -> String {
        format!("src/{}:{number}: {what}", self.path)
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut directories = vec![root.clone()];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let list = if entry.path().is_dir() { &mut directories } else { &mut files };
            list.push(entry.path());
        }
    }
    files.sort();
    let read = |path: &PathBuf| Source {
        path: path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/"),
        text: fs::read_to_string(path).unwrap(),
    };
    files.iter().filter(|path| path.extension().is_some_and(|end| end == "rs")).map(read).collect()
}

/// Whether `word` stands in `line` and isn't the end of a longer name.
fn names(line: &str, word: &str) -> bool {
    let ends_a_name = |before: &str| before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let in_a_string = |before: &str| before.matches('"').count() % 2 == 1;
    line.match_indices(word).any(|(at, _)| !ends_a_name(&line[..at]) && !in_a_string(&line[..at]))
}

fn libraries(source: &Source) -> Vec<String> {
    let mut broken = Vec::new();
    for Only { word, within } in LIBRARIES {
        if within.iter().any(|allowed| source.path.starts_with(allowed)) {
            continue;
        }
        let lines = source.code().filter(|(_, line)| names(line, word));
        broken
            .extend(lines.map(|(number, _)| source.at(number, &format!("{word} isn't for here"))));
    }
    broken
}

/// The modules of the crate that a file names, with lines: `crate::a::b`, or `crate::{a, b}` as
/// rustfmt sets it.
fn imports(source: &Source) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_list = false;
    for (number, line) in source.code() {
        let word =
            |text: &'static str| line.match_indices(text).map(move |(at, _)| at + text.len());
        for at in word("crate::") {
            let rest = &line[at..];
            in_list |= rest == "{";
            found.extend(rest.trim_start_matches('{').split(", ").map(|name| (number, name)));
        }
        if in_list && line.starts_with("    ") && !line.starts_with("     ") {
            found.push((number, line.trim()));
        }
        in_list &= !line.starts_with('}');
    }
    let name_of = |text: &'_ str| text.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    found
        .into_iter()
        .map(|(number, text)| (number, &text[..name_of(text).unwrap_or(text.len())]))
        .collect()
}

fn layers(source: &Source) -> Vec<String> {
    let mut broken = Vec::new();
    for (module, forbidden) in LAYERS.iter().filter(|(module, _)| source.is_in(module)) {
        let wrong = imports(source).into_iter().filter(|(_, name)| forbidden.contains(name));
        broken.extend(
            wrong.map(|(number, name)| source.at(number, &format!("{module} must not see {name}"))),
        );
    }
    broken
}

fn shape(source: &Source) -> Vec<String> {
    let mut broken = Vec::new();
    let lines = source.text.lines().count();
    if lines > LONGEST {
        broken.push(source.at(lines, "longer than 400 lines"));
    }
    if !source.text.starts_with("//! ") {
        broken.push(source.at(1, "doesn't begin by saying what it owns"));
    }
    if source.path.ends_with("mod.rs") {
        broken.push(source.at(1, "modules are files beside their directory"));
    }
    let vague = ["utils", "util", "common", "helpers", "manager", "handler", "misc"];
    if vague.iter().any(|name| source.is_in(name) || source.path.ends_with(&format!("/{name}.rs")))
    {
        broken.push(source.at(1, "a name that says nothing"));
    }
    broken
}

fn assert_none(broken: impl Iterator<Item = String>) {
    let broken: Vec<_> = broken.collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn libraries_stay_behind_their_modules() {
    assert_none(sources().iter().flat_map(libraries));
}

#[test]
fn modules_see_only_what_is_below_them() {
    assert_none(sources().iter().flat_map(layers));
}

#[test]
fn files_are_short_and_say_what_they_own() {
    let sources = sources();
    assert!(sources.len() > 50, "they aren't where this looks");
    assert_none(sources.iter().flat_map(shape));
}

#[test]
fn broken_rules_are_found() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let text = "use std::io;\nuse crate::{\n    clock::Clock,\n    queue::{self, Entry},\n};\n";
    assert_eq!(
        layers(&source("collect.rs", text)),
        ["src/collect.rs:4: collect must not see queue"]
    );
    let text = "fn a(b: &crate::config::Config) {}\n";
    assert_eq!(layers(&source("forward/x.rs", text)).len(), 1);
    assert_eq!(layers(&source("forward.rs", "use crate::{agent, config};")).len(), 2);
    assert_eq!(libraries(&source("queue/store.rs", "let tree: sled::Tree;")).len(), 1);
    assert_eq!(libraries(&source("queue/generation.rs", "let tree: sled::Tree;")).len(), 0);
    assert_eq!(libraries(&source("a.rs", "// sled::Tree\nunsled::x()\n\"sled::x\"")).len(), 0);
    assert_eq!(libraries(&source("a.rs", "    println!(\"x\");")).len(), 1);
    assert_eq!(shape(&source("a/mod.rs", "use x;")).len(), 2);
    assert_eq!(shape(&source("a.rs", &"//! x\n".repeat(401))).len(), 1);
}
