//! Bad files: each is refused in the right line, at the right key, with the right words, in less
//! than a second, and without showing a secret.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::judge;

/// Of the order of milliseconds in a release build; hostile input would take minutes if it were not
/// bounded, so a busy machine and a debug build change nothing about the verdict.
const SOON: Duration = Duration::from_secs(30);

/// File, line (0: none), key path, a part of the message.
type Bad<'a> = (&'a str, usize, &'a str, &'a str);

/// Not YAML that we take.
#[rustfmt::skip] // a file a line
const SHAPES: &[Bad<'_>] = &[
    ("collector: [", 2, "", "isn't valid YAML"),
    ("collector:\n  interval: 5\n   server_url: x\n", 3, "", "isn't valid YAML"),
    ("collector:\n  interval: 5\n\tserver_url: x\n", 3, "", "indent with spaces"),
    ("collector:\n  interval: \"5\n", 3, "", "isn't valid YAML"),
    ("collector:\n  api_key: *canary\n", 2, "", "unknown anchor"),
    ("collector: @canary\n", 1, "", "isn't valid YAML"),
    ("collector: `canary`\n", 1, "", "isn't valid YAML"),
    ("collector: !canary x\n", 1, "", "tags such as"),
    ("collector: !canary {interval: 5}\n", 1, "", "tags such as"),
    ("collector: {}\n---\ncollector: {}\n", 0, "", "more than one YAML document"),
    ("---\n---\n", 0, "", "more than one YAML document"),
    ("- collector\n", 1, "", "must be a mapping with collector, metrics"),
    ("canary", 1, "", "must be a mapping with"),
    ("5", 1, "", "must be a mapping with"),
    ("[]", 1, "", "must be a mapping with"),
    ("collector:\n  [1, 2]: 3\n", 2, "", "a key that isn't plain text"),
    ("collector:\n  {a: 1}: 3\n", 2, "", "a key that isn't plain text"),
    ("collector:\n  interval: 5\n  \0\n", 3, "", "control character (U+0000)"),
    ("a: \u{1b}[31m\n", 1, "", "control character (U+001B)"),
    ("collector:\n- interval: 5\n", 1, "collector", "must be a mapping with interval"),
    ("collector: http://canary\n", 1, "collector", "must be a mapping with interval"),
    ("collector:\n  interval:5\n", 1, "collector", "needs a colon and a blank"),
    ("metrics:\n  cpu: true\n", 2, "metrics.cpu", "must be a mapping with enabled, interval, per_cpu"),
    ("metrics: 5\n", 1, "metrics", "must be a mapping with cpu, memory, disk, network"),
    ("forwarder:\n  retry: 3\n", 2, "forwarder.retry", "must be a mapping with initial_interval"),
    ("collector:\n  api_key: !!int canary\n", 2, "", "doesn't fit its tag"),
    ("%YAML 1.9\n---\ncollector: {}\n", 1, "", "isn't valid YAML"),
];

/// Unknown and repeated keys.
#[rustfmt::skip] // a file a line
const KEYS: &[Bad<'_>] = &[
    ("colector:\n  interval: 5\n", 1, "colector", "did you mean `collector`?"),
    ("metrics:\n  cpu: &a\n    interval: 7\n  memory:\n    <<: *a\n", 5, "metrics.memory.…", "can't be merged"),
    ("collector:\n  intervall: 5\n", 2, "collector.intervall", "did you mean `interval`?"),
    ("collector:\n  Interval: 5\n", 2, "collector.Interval", "did you mean `interval`?"),
    ("collector:\n  apikey: canary\n", 2, "collector.apikey", "did you mean `api_key`?"),
    ("collector:\n  server: http://canary\n", 2, "collector.server", "did you mean `server_url`?"),
    ("collector:\n\n  # x\n  zzz: 1\n", 4, "collector.zzz", "known here: interval, server_url"),
    ("metrics:\n  gpu:\n    enabled: true\n", 2, "metrics.gpu", "did you mean `cpu`?"),
    ("metrics:\n  disk:\n    per_cpu: true\n", 3, "metrics.disk.per_cpu", "did you mean `metrics.cpu.per_cpu`?"),
    ("server_url: http://canary\n", 1, "server_url", "did you mean `collector.server_url`?"),
    ("collector.interval: 5\n", 1, "collector.interval", "write it as `collector: {interval: …}`"),
    ("collector:\n  tls:\n    ca_file: x\n", 2, "collector.tls", "known here"),
    ("buffer:\n  path: ./b\n", 2, "buffer.path", "known here: directory, max_size"),
    ("buffer:\n  maxsize: 1GB\n", 2, "buffer.maxsize", "did you mean `max_size`?"),
    ("logging:\n  levle: INFO\n", 2, "logging.levle", "did you mean `level`?"),
    ("x-anchors: &a {b: 1}\n", 1, "x-anchors", "known here: collector, metrics"),
    ("<<: {a: 1}\n", 1, "…", "unknown key"),
    ("5: x\n", 1, "5", "unknown key"),
    ("\"\": x\n", 1, "…", "unknown key"),
    ("{api_key:canary}\n", 1, "api_key…", "unknown key"),
    ("collector:\n  {api_key=canary: }\n", 2, "collector.api_key…", "unknown key"),
    ("collector:\n  interval: 5\ncollector:\n  interval: 6\n", 3, "collector", "stands twice, first in line 1"),
    ("collector:\n  interval: 5\n  hostname: a\n  interval: 6\n", 4, "collector.interval", "first in line 2"),
    ("collector:\n  tags:\n    a: b\n    a: c\n", 4, "collector.tags.a", "stands twice"),
    ("forwarder:\n  headers: {a: b, a: c}\n", 2, "forwarder.headers.a", "stands twice"),
    ("collector:\n  api_key: canary\n  api_key: canary\n", 3, "collector.api_key", "stands twice"),
];

/// Values of a wrong type, in a wrong unit, out of range.
#[rustfmt::skip] // a file a line
const VALUES: &[Bad<'_>] = &[
    ("collector:\n  interval: 0\n", 2, "collector.interval", "0 isn't valid; must be a duration from 100ms to 1d"),
    ("collector:\n  interval: -5\n", 2, "collector.interval", "-5 isn't valid"),
    ("collector:\n  interval: 99ms\n", 2, "collector.interval", "from 100ms to 1d"),
    ("collector:\n  interval: 86401\n", 2, "collector.interval", "from 100ms to 1d"),
    ("collector:\n  interval: 5 seconds\n", 2, "collector.interval", "\"5 seconds\" isn't valid"),
    ("collector:\n  interval: 5S\n", 2, "collector.interval", "(5 or 5s, 500ms, 1m, 2h, 7d)"),
    ("collector:\n  interval: .inf\n", 2, "collector.interval", "inf isn't valid"),
    ("collector:\n  interval: .nan\n", 2, "collector.interval", "NaN isn't valid"),
    ("collector:\n  interval: 1e400\n", 2, "collector.interval", "isn't valid"),
    ("collector:\n  interval: 99999999999999999999999\n", 2, "collector.interval", "isn't valid"),
    ("collector:\n  interval: true\n", 2, "collector.interval", "true isn't valid"),
    ("collector:\n  interval: \"\"\n", 2, "collector.interval", "\"\" isn't valid"),
    ("collector:\n  interval: [5]\n", 2, "collector.interval", "a list isn't valid"),
    ("collector:\n  interval: {a: 5}\n", 2, "collector.interval", "a mapping isn't valid"),
    ("metrics:\n  disk:\n    interval: 2d\n", 3, "metrics.disk.interval", "from 100ms to 1d"),
    ("metrics:\n  cpu:\n    enabled: yes\n", 3, "metrics.cpu.enabled", "\"yes\" isn't valid; must be true or false"),
    ("metrics:\n  cpu:\n    enabled: 1\n", 3, "metrics.cpu.enabled", "must be true or false"),
    ("metrics:\n  cpu:\n    enabled: \"true\"\n", 3, "metrics.cpu.enabled", "must be true or false, without quotes"),
    ("metrics:\n  host_root: host\n", 2, "metrics.host_root", "must be an absolute path"),
    ("metrics:\n  disk:\n    include_mounts: [\"[\"]\n", 3, "metrics.disk.include_mounts", "is no glob"),
    ("metrics:\n  disk:\n    exclude_types: tmpfs\n", 3, "metrics.disk.exclude_types", "must be a list"),
    ("metrics:\n  disk:\n    exclude_types: [a, [b]]\n", 3, "metrics.disk.exclude_types", "a list isn't valid; must be text"),
    ("metrics:\n  disk:\n    exclude_types:\n    - a\n    - 5\n", 5, "metrics.disk.exclude_types", "put it in quotes"),
    ("metrics:\n  disk:\n    exclude_mounts: [\"[a\"]\n", 3, "metrics.disk.exclude_mounts", "is no glob"),
    ("metrics:\n  disk:\n    exclude_mounts: [\"\"]\n", 3, "metrics.disk.exclude_mounts", "empty glob"),
    ("metrics:\n  network:\n    exclude_interfaces: [a***]\n", 3, "metrics.network.exclude_interfaces", "is no glob"),
    ("collector:\n  hostname: 5\n", 2, "collector.hostname", "must be text; put it in quotes"),
    ("collector:\n  hostname: [a]\n", 2, "collector.hostname", "must be text"),
    ("collector:\n  hostname: a b\n", 2, "collector.hostname", "blanks"),
    ("collector:\n  hostname: \"a\\0b\"\n", 2, "collector.hostname", "control characters"),
    ("collector:\n  tags: [a]\n", 2, "collector.tags", "must be a mapping of names to texts"),
    ("collector:\n  tags: {a: 5}\n", 2, "collector.tags.a", "must be text; put it in quotes"),
    ("collector:\n  tags:\n    a:\n      b: c\n", 3, "collector.tags.a", "a mapping isn't valid"),
    ("collector:\n  tags:\n    a:\n", 3, "collector.tags.a", "write \"\" for an empty one"),
    ("collector:\n  tags: {\"\": a}\n", 2, "collector.tags", "needs a name"),
    ("collector:\n  tags: {a: \"b\\n\"}\n", 2, "collector.tags", "control characters"),
    ("buffer:\n  directory: \"\"\n", 2, "buffer.directory", "must not be empty"),
    ("buffer:\n  directory: 5\n", 2, "buffer.directory", "must be text"),
    ("buffer:\n  directory: Cargo.toml\n", 2, "buffer.directory", "isn't a directory"),
    ("buffer:\n  max_size: 7MB\n", 2, "buffer.max_size", "must be a size from 8MB to 1000TB (bytes, or 100MB, 100MiB)"),
    ("buffer:\n  max_size: 0\n", 2, "buffer.max_size", "0 isn't valid"),
    ("buffer:\n  max_size: 100M\n", 2, "buffer.max_size", "\"100M\" isn't valid"),
    ("buffer:\n  max_size: 1.5\n", 2, "buffer.max_size", "1.5 isn't valid"),
    ("buffer:\n  max_size: 100 MB\n", 2, "buffer.max_size", "\"100 MB\" isn't valid"),
    ("buffer:\n  min_free: -1\n", 2, "buffer.min_free", "from 0B"),
    ("buffer:\n  overflow: drop\n", 2, "buffer.overflow", "must be one of drop_oldest, drop_newest"),
    ("buffer:\n  max_age: 0\n", 2, "buffer.max_age", "from 1s to 3650d"),
    ("buffer:\n  max_age: never\n", 2, "buffer.max_age", "\"never\" isn't valid"),
    ("buffer:\n  sync: sometimes\n", 2, "buffer.sync", "must be always, or a duration from 1ms to 1h"),
    ("buffer:\n  sync: 0\n", 2, "buffer.sync", "must be always"),
    ("buffer:\n  sync: 2h\n", 2, "buffer.sync", "must be always"),
    ("forwarder:\n  protocol: otlp\n", 2, "forwarder.protocol", "must be json"),
    ("forwarder:\n  batch:\n    max_samples: 0\n", 3, "forwarder.batch.max_samples", "a whole number from 1 to 10000"),
    ("forwarder:\n  batch:\n    max_samples: 1.5\n", 3, "forwarder.batch.max_samples", "1.5 isn't valid"),
    ("forwarder:\n  batch:\n    max_samples: \"5\"\n", 3, "forwarder.batch.max_samples", "without quotes"),
    ("forwarder:\n  batch:\n    max_bytes: 0\n", 3, "forwarder.batch.max_bytes", "a size from 1kB to 16MB"),
    ("forwarder:\n  batch:\n    linger: -1s\n", 3, "forwarder.batch.linger", "from 0s to 1d"),
    ("forwarder:\n  timeout: 0\n", 2, "forwarder.timeout", "from 1ms to 1h"),
    ("forwarder:\n  connect_timeout: 0s\n", 2, "forwarder.connect_timeout", "from 1ms to 1h"),
    ("forwarder:\n  compression: brotli\n", 2, "forwarder.compression", "must be one of none, gzip, zstd"),
    ("forwarder:\n  retry:\n    initial_interval: 1m\n", 3, "forwarder.retry.initial_interval", "at most max_interval"),
    ("forwarder:\n  retry:\n    max_interval: 500ms\n", 3, "forwarder.retry.max_interval", "below initial_interval (1s)"),
    ("forwarder:\n  retry:\n    max_interval: 2h\n", 3, "forwarder.retry.max_interval", "to 1h"),
    ("forwarder:\n  retry:\n    multiplier: 0.5\n", 3, "forwarder.retry.multiplier", "a number from 1 to 100"),
    ("forwarder:\n  retry:\n    multiplier: .nan\n", 3, "forwarder.retry.multiplier", "a number from 1 to 100"),
    ("forwarder:\n  replay_rate: 0\n", 2, "forwarder.replay_rate", "a number from 0.01 to 1000000"),
    ("forwarder:\n  replay_rate: -5\n", 2, "forwarder.replay_rate", "a number from 0.01 to 1000000"),
    ("forwarder:\n  replay_rate: 0.009\n", 2, "forwarder.replay_rate", "a number from 0.01 to 1000000"),
    ("forwarder:\n  replay_rate: .nan\n", 2, "forwarder.replay_rate", "a number from 0.01 to 1000000"),
    ("forwarder:\n  replay_rate: .inf\n", 2, "forwarder.replay_rate", "a number from 0.01 to 1000000"),
    ("forwarder:\n  replay_rate: -.inf\n", 2, "forwarder.replay_rate", "a number from 0.01 to 1000000"),
    ("forwarder:\n  replay_rate: 1000001\n", 2, "forwarder.replay_rate", "a number from 0.01 to 1000000"),
    ("forwarder:\n  replay_rate: 1e400\n", 2, "forwarder.replay_rate", "a number from 0.01 to 1000000"),
    ("forwarder:\n  replay_rate: 99999999999999999999\n", 2, "forwarder.replay_rate", "a number from 0.01 to 1000000"),
    ("forwarder:\n  replay_rate: fast\n", 2, "forwarder.replay_rate", "a number from 0.01 to 1000000"),
    ("forwarder:\n  replay_rate: [5]\n", 2, "forwarder.replay_rate", "a number from 0.01 to 1000000"),
    ("forwarder:\n  replay_rate: true\n", 2, "forwarder.replay_rate", "a number from 0.01 to 1000000"),
    ("forwarder:\n  replay_rate: 5/s\n", 2, "forwarder.replay_rate", "a number from 0.01 to 1000000"),
    ("logging:\n  level: VERBOSE\n", 2, "logging.level", "must be one of TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL"),
    ("logging:\n  level: 3\n", 2, "logging.level", "3 isn't valid"),
    ("logging:\n  format: xml\n", 2, "logging.format", "must be one of text, json"),
    ("logging:\n  file: src\n", 2, "logging.file", "is a directory"),
];

/// The URL, the key and the headers: where secrets are.
#[rustfmt::skip] // a file a line
const SECRETS: &[Bad<'_>] = &[
    ("collector:\n  server_url: \"\"\n", 2, "collector.server_url", "must not be empty"),
    ("collector:\n  server_url: 5\n", 2, "collector.server_url", "must be text"),
    ("collector:\n  server_url: canary:8000\n", 2, "collector.server_url", "http://host:8000"),
    ("collector:\n  server_url: ftp://canary\n", 2, "collector.server_url", "http:// or https://"),
    ("collector:\n  server_url: file:///canary\n", 2, "collector.server_url", "isn't a URL"),
    ("collector:\n  server_url: https://u:canary@h\n", 2, "collector.server_url", "user information"),
    ("collector:\n  server_url: https://canary@h\n", 2, "collector.server_url", "user information"),
    ("collector:\n  server_url: https://h?key=canary\n", 2, "collector.server_url", "query"),
    ("collector:\n  server_url: \"https://h/#canary\"\n", 2, "collector.server_url", "fragment"),
    ("collector:\n  server_url: \"https://h/\\r\\ncanary\"\n", 2, "collector.server_url", "control characters"),
    ("collector:\n  server_url: http://[::]:8000\n", 2, "collector.server_url", "use 127.0.0.1"),
    ("collector:\n  server_url: http://h:99999\n", 2, "collector.server_url", "port"),
    ("collector:\n  server_url: http://bücher.example\n", 2, "collector.server_url", "xn--"),
    ("collector:\n  server_url: ${WORD}\n", 2, "collector.server_url", "isn't a URL"),
    ("collector:\n  api_key: 5\n", 2, "collector.api_key", "must be text; put it in quotes"),
    ("collector:\n  api_key: true\n", 2, "collector.api_key", "must be text"),
    ("collector:\n  api_key: {canary: x}\n", 2, "collector.api_key", "a mapping isn't valid"),
    ("collector:\n  api_key: [canary]\n", 2, "collector.api_key", "a list isn't valid"),
    ("collector:\n  api_key: ${NEWLINE}\n", 2, "collector.api_key", "control character"),
    ("collector:\n  api_key: \"canary\\t\"\n", 2, "collector.api_key", "control character"),
    ("collector:\n  api_key: canaryé\n", 2, "collector.api_key", "ASCII"),
    ("collector:\n  api_key: \" canary\"\n", 2, "collector.api_key", "blank"),
    ("collector:\n  api_key: canary\n  api_key_file: LICENSE\n", 3, "collector.api_key_file", "only one of them"),
    ("collector:\n  api_key_file: canary\n", 2, "collector.api_key_file", "no such file"),
    ("collector:\n  api_key_file: /dev/null\n", 2, "collector.api_key_file", "regular file"),
    ("collector:\n  api_key_file: src\n", 2, "collector.api_key_file", "regular file"),
    ("collector:\n  api_key_header: \"X Key\"\n", 2, "collector.api_key_header", "isn't a header's name"),
    ("collector:\n  api_key_header: \"\"\n", 2, "collector.api_key_header", "must not be empty"),
    ("collector:\n  api_key_header: Content-Type\n", 2, "collector.api_key_header", "set by the program"),
    ("collector:\n  api_key_header: Idempotency-Key\n", 2, "collector.api_key_header", "set by the program"),
    ("forwarder:\n  headers: [canary]\n", 2, "forwarder.headers", "must be a mapping"),
    ("forwarder:\n  headers: {X: 5}\n", 2, "forwarder.headers.X", "must be text"),
    ("forwarder:\n  headers: {Host: canary}\n", 2, "forwarder.headers.Host", "set by the program"),
    ("forwarder:\n  headers: {content-length: canary}\n", 2, "forwarder.headers.content-length", "set by the program"),
    ("forwarder:\n  headers: {Transfer-Encoding: canary}\n", 2, "forwarder.headers.Transfer-Encoding", "set by"),
    ("forwarder:\n  headers: {Connection: canary}\n", 2, "forwarder.headers.Connection", "set by"),
    ("forwarder:\n  headers: {x-api-key: canary}\n", 2, "forwarder.headers.x-api-key", "set by"),
    ("forwarder:\n  headers: {\"a b\": canary}\n", 2, "forwarder.headers.a…", "isn't a header's name"),
    ("forwarder:\n  headers: {\"X:canary\": a}\n", 2, "forwarder.headers.X…", "isn't a header's name"),
    ("forwarder:\n  headers: {X: \"canary\\n\"}\n", 2, "forwarder.headers.X", "no header can have"),
    ("forwarder:\n  headers: {a: canary, A: canary}\n", 2, "forwarder.headers.A", "stands twice"),
    ("forwarder:\n  tls:\n    ca_file: /nonexistent\n", 3, "forwarder.tls.ca_file", "/nonexistent: there is no such file"),
    ("forwarder:\n  tls:\n    ca_file: Cargo.toml\n", 3, "forwarder.tls.ca_file", "PEM"),
    ("forwarder:\n  tls:\n    cert_file: a\n", 3, "forwarder.tls.cert_file", "needs forwarder.tls.key_file"),
    ("forwarder:\n  tls:\n    key_file: a\n", 3, "forwarder.tls.key_file", "needs forwarder.tls.cert_file"),
    ("forwarder:\n  proxy: canary:3128\n", 2, "forwarder.proxy", "must be like http://proxy:3128"),
    ("forwarder:\n  proxy: https://u:canary@p\n", 2, "forwarder.proxy", "must begin with http://"),
    ("forwarder:\n  proxy: http://u:canary@p/x\n", 2, "forwarder.proxy", "must not have a path"),
];

/// References to the environment.
#[rustfmt::skip] // a file a line
const REFERENCES: &[Bad<'_>] = &[
    ("collector:\n  api_key: ${NONE}\n", 2, "collector.api_key", "NONE isn't set"),
    ("collector:\n  interval: ${NONE}\n", 2, "collector.interval", "`${NONE:-default}`"),
    ("collector:\n  tags:\n    a: x\n    b: ${NONE}\n", 4, "collector.tags.b", "NONE isn't set"),
    ("metrics:\n  disk:\n    exclude_types:\n    - a\n    - ${NONE}\n", 5, "metrics.disk.exclude_types", "NONE isn't set"),
    ("forwarder:\n  headers: {X: \"${NONE}\"}\n", 2, "forwarder.headers.X", "NONE isn't set"),
    ("collector:\n  interval: ${WORD}\n", 2, "collector.interval", "the value of ${WORD} isn't valid; must be a duration"),
    ("collector:\n  interval: ${EMPTY}\n", 2, "collector.interval", "the value of ${EMPTY}"),
    ("metrics:\n  cpu:\n    enabled: ${WORD}\n", 3, "metrics.cpu.enabled", "the value of ${WORD}"),
    ("metrics:\n  cpu:\n    enabled: ${NUMBER}\n", 3, "metrics.cpu.enabled", "must be true or false"),
    ("forwarder:\n  batch:\n    max_samples: ${WORD}\n", 3, "forwarder.batch.max_samples", "the value of ${WORD}"),
    ("logging:\n  level: ${WORD}\n", 2, "logging.level", "the value of ${WORD}"),
    ("buffer:\n  max_size: ${NUMBER}\n", 2, "buffer.max_size", "the value of ${NUMBER}"),
    ("metrics:\n  disk:\n    exclude_mounts:\n    - /a\n    - \"[${WORD}\"\n", 5, "metrics.disk.exclude_mounts", "the value of ${WORD} is no glob"),
    ("collector:\n  api_key_header: \"${WORD} x\"\n", 2, "collector.api_key_header", "the value of ${WORD} isn't a header's name"),
    ("forwarder:\n  tls:\n    ca_file: ${WORD}\n", 3, "forwarder.tls.ca_file", "the value of ${WORD}: "),
    ("collector:\n  api_key: ${API_KEY\n", 2, "collector.api_key", "without `}`"),
    ("collector:\n  api_key: ${}\n", 2, "collector.api_key", "without a variable's name"),
    ("collector:\n  api_key: ${API_KEY-canary}\n", 2, "collector.api_key", "`${API_KEY:-default}`"),
    ("collector:\n  api_key: ${1KEY}\n", 2, "collector.api_key", "without a variable's name"),
    ("collector:\n  api_key: ${NONE:-${API_KEY}}\n", 2, "collector.api_key", "must not refer"),
];

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_bad_file_is_refused_at_its_place_and_no_message_shows_a_secret() {
    let all = [SHAPES, KEYS, VALUES, SECRETS, REFERENCES].concat();
    assert!(all.len() >= 150, "{}", all.len());
    let mut wrong = Vec::new();
    for (text, line, path, part) in all {
        let start = Instant::now();
        let error = judge(text).expect_err(text);
        println!("{error}\n");
        let good = matches!(error.faults(), [fault] if fault.line.unwrap_or(0) == line
            && fault.path == path
            && fault.message.contains(part));
        if !good || error.to_string().contains("canary") || start.elapsed() > SOON {
            wrong.push(format!("{text}expected {line}: {path}: {part}\n{error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn all_faults_of_a_file_are_listed_in_the_order_of_its_lines() {
    let text =
        "forwarder:\n  timeout: 0\ncollector:\n  interval: x\n  api_key: ${NONE}\n  zzz: 1\n";
    let error = judge(text).expect_err("four faults");
    let lines: Vec<_> = error.faults().iter().filter_map(|fault| fault.line).collect();
    assert_eq!(lines, [2, 4, 5, 6], "{error}");
    assert!(error.to_string().starts_with("the configuration is wrong in 4 places\n  c.yaml:2: "));
}

#[test]
fn a_flood_of_faults_is_cut_short() {
    let text = lines(3000, |key| format!("interva{key}: canary"));
    let start = Instant::now();
    let message = judge(text).expect_err("unknown keys").to_string();
    assert!(message.ends_with("… and 2950 more"), "{message}");
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn too_many_or_too_long_tags_and_headers_are_refused() {
    let many = |key: &str, count: usize, value: &str| {
        let entries = lines(count, |n| format!("    t{n}: {value}"));
        let (section, key) = key.split_once('.').unwrap();
        format!("{section}:\n  {key}:\n{entries}")
    };
    assert!(judge(many("collector.tags", 32, "x")).is_ok());
    for (text, part) in [
        (many("collector.tags", 33, "x"), "at most 32"),
        (many("collector.tags", 5, &"x".repeat(1000)), "at most 4KiB"),
        (many("forwarder.headers", 33, "x"), "at most 32 headers"),
        (many("forwarder.headers", 5, &"x".repeat(2000)), "8KiB"),
    ] {
        let error = judge(text).expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    }
}

/// Each would take a naive parser seconds, gigabytes or its stack.
#[test]
fn hostile_files_are_refused_quickly() {
    const FULL: usize = 64 << 10;
    let laughs = |width: usize| {
        let mut text = "a0: &a0 [x]\n".to_owned();
        for level in 1..20 {
            let inner = vec![format!("*a{}", level - 1); width].join(",");
            text = format!("{text}a{level}: &a{level} [{inner}]\n");
        }
        text
    };
    let hostile: [(&str, Vec<u8>); 14] = [
        ("1 MiB and a byte", vec![b' '; (1 << 20) + 1]),
        ("64 KiB and a byte", vec![b' '; FULL + 1]),
        ("alias bomb", laughs(9).into()),
        ("wide alias bomb", laughs(100).into()),
        ("nested lists", "[".repeat(FULL).into()),
        ("open lists", ("[".repeat(1000) + &"a, ".repeat(20_000)).into()),
        ("nested mappings", "{a: ".repeat(FULL / 4).into()),
        ("nested blocks", lines(350, |n| format!("{}a:", " ".repeat(n))).into()),
        ("dashes", "- ".repeat(FULL / 2).into()),
        ("question marks", "? ".repeat(FULL / 2).into()),
        ("directives", lines(3000, |n| format!("%TAG !a{n}! b:c")).into()),
        ("keys", "a: b\n".repeat(FULL / 5).into()),
        ("not UTF-8", b"collector:\n  hostname: \xff\n".into()),
        ("UTF-16", b"\xff\xfea\0:\0\n\0".into()),
    ];
    for (name, bytes) in hostile {
        let start = Instant::now();
        let error = judge(&bytes).expect_err(name);
        println!("{name}: {} ms\n{error}\n", start.elapsed().as_millis());
        assert!(start.elapsed() < SOON, "{name}: {:?}", start.elapsed());
    }
    let error = judge(b"collector:\n  hostname: \xff\n").expect_err("not UTF-8");
    assert_eq!(error.faults()[0].line, Some(2), "{error}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _judged = judge(bytes);
    }

    #[test]
    fn arbitrary_text_made_of_yaml_never_panics(
        parts in proptest::collection::vec(
            prop_oneof![
                "[a-z$&*!{}\\[\\]:,#|>'\"%@`?~ \n-]{0,6}",
                proptest::sample::select(vec![
                    "collector:", "\n  ", "interval: ", "tags: ", "${", "}", ":-", "&a", "*a", "- ",
                    "server_url: http://", "@", "metrics:", "cpu:", "\n", "headers: {", "---\n",
                ]).prop_map(String::from),
            ],
            0..60,
        )
    ) {
        let _judged = judge(parts.concat());
    }
}
