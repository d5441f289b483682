//! Three secrets (the API key, the proxy's password, the value of a header) on their way through
//! refusals that echo them, at TRACE: they are in the request's head and nowhere else, in no
//! encoding.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::json;

use crate::support::{
    Step,
    faults::faults,
    hold_on,
    process::{Home, wait_until},
    say,
};

/// Plain, in both alphabets of base64, as hexadecimal digits, percent-encoded.
const KEY: [&str; 5] = [
    "canary/k3y+7f?~x",
    "Y2FuYXJ5L2szeSs3Zj9+eA",
    "Y2FuYXJ5L2szeSs3Zj9-eA",
    "63616e6172792f6b33792b37663f7e78",
    "canary%2Fk3y%2B7f%3F~x",
];
const PASSWORD: [&str; 5] = [
    "canary/p4ss>w~y",
    "Y2FuYXJ5L3A0c3M+d355",
    "dXNlcjpjYW5hcnkvcDRzcz53fnk",
    "63616e6172792f703473733e777e79",
    "canary%2Fp4ss%3Ew~y",
];
const HEADER: [&str; 5] = [
    "canary/h34d>er~z",
    "Y2FuYXJ5L2gzNGQ+ZXJ+eg",
    "Y2FuYXJ5L2gzNGQ-ZXJ-eg",
    "63616e6172792f683334643e65727e7a",
    "canary%2Fh34d%3Eer~z",
];

fn needles() -> Vec<String> {
    let all = [KEY, PASSWORD, HEADER].concat().into_iter().map(str::to_owned);
    let forms = |form: String| {
        [form.replace('~', "%7E"), form.to_ascii_lowercase(), form.to_ascii_uppercase(), form]
    };
    all.flat_map(forms).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Files below `path` that hold a needle, with it.
fn leaks(path: &Path, needles: &[String], searched: &mut usize) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(leaks(&entry.path(), needles, searched));
        } else if entry.file_type().unwrap().is_file() {
            *searched += 1;
            let bytes = fs::read(entry.path()).unwrap();
            let holds =
                |needle: &&String| memchr::memmem::find(&bytes, needle.as_bytes()).is_some();
            let held = needles.iter().filter(holds);
            found.extend(held.map(|needle| format!("{}: {needle}", entry.path().display())));
        }
    }
    found
}

/// Refusals that say back what they were told, wherever there is room.
fn echoes() -> Vec<Vec<Step>> {
    let said = [KEY, PASSWORD, HEADER].concat().join(" ");
    let mut scripts = Vec::new();
    for status in [301, 400, 401, 403, 404, 407, 409, 413, 422, 429, 503] {
        let head = format!(
            "HTTP/1.1 {status} {said}\r\nLocation: http://127.0.0.1:9/{said}\r\nX-Echo: {said}\r\n"
        );
        let length = said.len() + 300;
        let padding = "x".repeat(300);
        let body = format!("Content-Length: {length}\r\n\r\n{said}{padding}");
        scripts.push(vec![Step::Read, say(&format!("{head}Retry-After: {said}\r\n{body}"))]);
        // The cut of what is shown goes through a secret.
        let cut = "y".repeat(190);
        let body = format!("Content-Length: {}\r\n\r\n{cut}{said}", cut.len() + said.len());
        scripts.push(vec![Step::Read, say(&format!("{head}{body}"))]);
    }
    scripts.push(vec![Step::Read, say(&format!("{said}\r\n\r\n"))]);
    scripts
        .push(vec![Step::Read, say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {said}\r\n\r\n"))]);
    scripts
}

#[test]
fn secrets_are_in_the_head_of_a_request_and_nowhere_else() {
    let (echoes, faults) = (echoes(), faults());
    let refused = echoes.len();
    let bad = faults.into_iter().map(|fault| [vec![Step::Read], fault.steps].concat());
    let good = vec![[Step::Read, say("HTTP/1.1 204 No Content\r\n\r\n")]; 1_000].into_flattened();
    let server = hold_on(echoes.into_iter().chain(bad).chain([good]).collect());
    let proxy = format!("http://user:canary%2Fp4ss>w~y@{}", server.address);
    let settings = [
        ("collector.api_key", json!("${CANARY_KEY}")),
        ("forwarder.proxy", json!(proxy)),
        ("forwarder.headers", json!({"X-Tenant": HEADER[0]})),
        ("forwarder.timeout", json!("200ms")),
        ("forwarder.retry.initial_interval", json!("5ms")),
        ("forwarder.retry.max_interval", json!("20ms")),
        ("logging.level", json!("TRACE")),
        ("logging.file", json!("collector.log")),
    ];
    let home = Home::new("http://server.example", &settings);
    let secrets = home.path("config/collector-config.yaml");
    fs::write(home.path(".env"), format!("CANARY_KEY='{}'\n", KEY[0])).unwrap();
    let daemon = home.spawn(&["run"]);
    wait_until("the echoes", || server.connections() > refused);
    for command in [
        &["queue", "stats"][..],
        &["queue", "stats", "--json"],
        &["queue", "stats", "--check"],
        &["queue", "flush", "--timeout", "1s"],
        &["check"],
        &["sample"],
        &["run"],
    ] {
        home.run(command);
    }
    wait_until("a good answer", || home.stats()["forwarder"]["last_success"] != json!(null));
    assert_eq!(daemon.stop().code, Some(0));
    home.run(&["check", "--connect"]);
    let log = fs::read_to_string(home.path("collector.log")).unwrap();
    assert!(log.contains("***"), "nothing was masked: {log}");
    // Where a person has put them is no leak.
    fs::remove_file(home.path(".env")).unwrap();
    fs::remove_file(secrets).unwrap();
    let mut searched = 0;
    let found = leaks(&home.path(""), &needles(), &mut searched);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
    assert!(searched > 15, "{searched}");
    for seen in server.seen() {
        let head = &seen.head;
        assert_eq!(seen.header("x-api-key"), Some(KEY[0]));
        assert_eq!((head.matches(KEY[0]).count(), head.matches(HEADER[0]).count()), (1, 1));
        assert!(!head.contains(PASSWORD[0]) && head.contains(PASSWORD[2]), "{head}");
        let body = String::from_utf8(seen.body).unwrap();
        assert!(!needles().iter().any(|needle| body.contains(needle)), "{body}");
    }
}
