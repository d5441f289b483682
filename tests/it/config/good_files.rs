//! Good files: taken as they were meant. The shipped file is the defaults, the seed's file works.

use std::{collections::BTreeSet, path::Path, time::Duration};

use collector::{
    encode::Compression,
    queue::{Overflow, Sync},
    sample::Group,
    telemetry::{Format, Level},
    transport::http::KeySource,
};
use secrecy::ExposeSecret;

use super::judge;

const SHIPPED: &str = include_str!("../../../config/collector-config.yaml");

const SEED: &str = r#"collector:
  interval: 5                          # collection interval (seconds)
  server_url: http://localhost:8000    # API server URL
  api_key: ${API_KEY}                  # API key (environment variable)
  hostname: ""                         # host name (empty: detected)

metrics:
  cpu:
    enabled: true
    per_cpu: true
  memory:
    enabled: true
  disk:
    enabled: true
    interval: 30
  network:
    enabled: true
"#;

/// The key paths of a YAML text that is written as one `key:` a line.
fn paths(yaml: &str) -> BTreeSet<String> {
    let mut above: Vec<(usize, &str)> = Vec::new();
    let mut paths = BTreeSet::new();
    for line in yaml.lines().filter(|line| !line.trim_start().starts_with(['#', '-', '['])) {
        let indent = line.len() - line.trim_start().len();
        let Some((key, _)) = line.trim_start().split_once(':') else { continue };
        if key.contains(' ') || key.contains(',') {
            continue;
        }
        above.retain(|(other, _)| *other < indent);
        above.push((indent, key));
        paths.insert(above.iter().map(|(_, key)| *key).collect::<Vec<_>>().join("."));
    }
    paths
}

#[test]
fn the_shipped_file_equals_the_defaults_and_names_every_key() {
    let defaults = judge("").unwrap();
    let shipped = judge(SHIPPED.replace("${API_KEY:-}", "${NONE:-}")).unwrap();
    assert_eq!(shipped.effective(), defaults.effective());
    assert_eq!(paths(SHIPPED), paths(&defaults.effective()));
    assert!(shipped.warnings.is_empty(), "{:?}", shipped.warnings);
}

#[test]
fn the_shipped_file_runs_on_a_fresh_machine_and_takes_the_key_when_there_is_one() {
    let config = judge(SHIPPED).unwrap();
    let key = config.http.api_key.expect("API_KEY is set");
    assert!(matches!(key.source, KeySource::Value(key) if key.expose_secret() == "canary-key"));
}

#[test]
fn the_seeds_file_works_as_it_is() {
    let config = judge(SEED).unwrap();
    assert_eq!(config.http.url, "http://localhost:8000/api/v1/metrics");
    assert_eq!(config.hostname, "");
    let five = Duration::from_secs(5);
    assert_eq!(
        config.collect.groups,
        [
            (Group::Cpu, five),
            (Group::Memory, five),
            (Group::Disk, Duration::from_secs(30)),
            (Group::Network, five),
            (Group::Agent, Duration::from_mins(1))
        ]
    );
    let key = config.http.api_key.expect("a key");
    assert_eq!(key.header, "x-api-key");
    assert!(matches!(key.source, KeySource::Value(key) if key.expose_secret() == "canary-key"));
}

#[test]
fn empty_files_and_empty_sections_are_the_defaults() {
    let defaults = judge("").unwrap().effective();
    for text in [
        "\u{feff}",
        "\n\n",
        "# only a comment\n",
        "---\n",
        "---\n...\n",
        "~",
        "{}",
        "collector:\n",
        "metrics:\n  disk:\n",
        "metrics: {cpu: , disk: ~}",
        "collector:\n  interval:\n  tags: null\n",
        "\u{feff}collector: {interval: 5}\r\n",
    ] {
        assert_eq!(judge(text).expect(text).effective(), defaults, "{text:?}");
    }
}

#[test]
fn include_list_replaces_the_default_of_what_is_left_out() {
    let config = judge(
        "metrics:\n  host_root: /host\n  disk: {include_types: [tmpfs], include_mounts: [/run*], \
         exclude_mounts: [/run/x]}\n  network: {include_interfaces: [lo]}\n",
    )
    .unwrap();
    let sampler = config.sampler;
    assert_eq!(sampler.host_root.0.as_deref(), Some(Path::new("/host")));
    assert!(sampler.include_types[0].matches("tmpfs") && sampler.exclude_types.is_empty());
    assert!(sampler.include_mounts[0].matches("/run/y"));
    assert!(sampler.exclude_mounts[0].matches("/run/x"));
    assert!(sampler.include_interfaces[0].matches("lo") && sampler.exclude_interfaces.is_empty());
    assert!(sampler.include_devices.is_empty() && !sampler.exclude_devices.is_empty());
}

#[test]
fn every_key_does_what_it_says() {
    let config = judge(
        "collector: {interval: 0.5, server_url: 'https://h/x', api_key: k, \
         api_key_header: Authorization, hostname: web-1, tags: {site: $$eoul, b: '${NUMBER}'}}\n\
         metrics:\n  cpu: {interval: 1m, per_cpu: false}\n  memory: {enabled: false}\n  \
         disk: {exclude_types: [a*], exclude_mounts: [/mnt/*], exclude_devices: []}\n  \
         network: {connections: false, exclude_interfaces: [eth0]}\n  agent: {interval: 5m}\n\
         buffer: {directory: /b, max_size: 10MiB, min_free: 0, overflow: drop_newest, \
         max_age: 7d, sync: 500ms}\n\
         forwarder: {protocol: json, timeout: 5, connect_timeout: 1s, compression: zstd, \
         batch: {max_samples: 10, max_bytes: 5KB, linger: 1m}, headers: {X-Scope: canary}, \
         retry: {initial_interval: 2s, max_interval: 1m, multiplier: 1.5}}\n\
         logging: {level: warning, file: /var/log/c.log, format: JSON}\n\
         control: {socket: /run/c.sock}\n",
    )
    .unwrap();
    let groups: Vec<_> = config.collect.groups.iter().map(|&(g, i)| (g, i.as_millis())).collect();
    let expected = [
        (Group::Cpu, 60_000),
        (Group::Disk, 30_000),
        (Group::Network, 500),
        (Group::Agent, 300_000),
    ];
    assert_eq!(groups, expected);
    assert_eq!(config.http.url, "https://h/x");
    assert_eq!(config.http.api_key.as_ref().unwrap().header, "authorization");
    assert_eq!(config.http.timeout, Duration::from_secs(5));
    assert_eq!(config.http.connect_timeout, Duration::from_secs(1));
    assert_eq!(config.http.headers[0].1, "canary");
    assert_eq!(config.hostname, "web-1");
    assert_eq!((&*config.tags["site"], &*config.tags["b"]), ("$eoul", "7"));
    assert!(!config.sampler.per_cpu && !config.sampler.connections);
    assert!(config.sampler.exclude_types[0].matches("abc"));
    assert!(config.sampler.exclude_mounts[0].matches("/mnt/x"));
    assert!(config.sampler.exclude_devices.is_empty());
    assert!(config.sampler.exclude_interfaces[0].matches("eth0"));
    assert_eq!(config.queue.directory.to_str(), Some("/b"));
    assert_eq!(config.queue.max_bytes, 10 << 20);
    assert_eq!(config.queue.min_free_bytes, 0);
    assert_eq!(config.queue.overflow, Overflow::DropNewest);
    assert_eq!(config.queue.max_age, Some(Duration::from_hours(24 * 7)));
    assert_eq!(config.queue.sync, Sync::Every(Duration::from_millis(500)));
    assert_eq!((config.forward.limits.max_samples, config.forward.limits.max_bytes), (10, 5000));
    assert_eq!(config.forward.linger, Duration::from_mins(1));
    assert_eq!(config.forward.compression, Compression::Zstd);
    assert_eq!(config.forward.retry.max(), Duration::from_mins(1));
    assert_eq!(config.telemetry.level, Level::Warning);
    assert_eq!(config.telemetry.format, Format::Json);
    assert_eq!(config.telemetry.file.unwrap().to_str(), Some("/var/log/c.log"));
    assert_eq!(config.socket.to_str(), Some("/run/c.sock"));
}

#[test]
fn a_value_from_the_environment_has_the_type_of_its_key() {
    let config = judge(
        "collector: {interval: '${DURATION}', hostname: '${NUMBER}'}\n\
         metrics: {cpu: {enabled: '${FLAG}'}}\n\
         forwarder: {batch: {max_samples: '${NUMBER}'}, timeout: '${NUMBER}', \
         retry: {multiplier: '${NUMBER}'}}\n\
         buffer: {max_size: '${NUMBER}GB', max_age: '${NONE:-2h}'}\n",
    )
    .unwrap();
    assert_eq!(config.collect.groups[0], (Group::Memory, Duration::from_millis(250)));
    assert_eq!(config.hostname, "7");
    assert_eq!(config.forward.limits.max_samples, 7);
    assert_eq!(config.http.timeout, Duration::from_secs(7));
    assert_eq!(config.queue.max_bytes, 7_000_000_000);
    assert_eq!(config.queue.max_age, Some(Duration::from_hours(2)));
}

#[test]
fn a_value_from_the_environment_can_add_no_yaml() {
    let real = |name: &str| (name == "EVIL").then(|| "a\n  tags: {x: y}, *b ]} # '".into());
    let text = b"collector:\n  tags: {t: '${EVIL}'}\n";
    let environment = collector::config::Environment::new(real);
    let error = collector::config::parse("c.yaml".as_ref(), text, &environment).unwrap_err();
    assert!(error.to_string().contains("collector.tags: a tag must not hold control characters"));
}

#[test]
fn the_effective_configuration_reads_back_as_the_same_and_shows_no_secret() {
    let text = "collector: {api_key: '${API_KEY}', tags: {a: '$$x', b: 'y: z'}, interval: 1m}\n\
                forwarder: {headers: {Authorization: canary}}\nbuffer: {max_age: 3h, sync: 1s}\n";
    let first = judge(text).unwrap();
    assert!(!first.effective().contains("canary"), "{}", first.effective());
    assert!(first.effective().contains("api_key: '********'"), "{}", first.effective());
    assert!(!format!("{first:?}").contains("canary"), "{first:?}");
    println!("{}", first.effective());
    assert_eq!(judge(first.effective()).unwrap().effective(), first.effective());
}

#[test]
fn aliases_share_values_between_groups() {
    let config = judge("metrics:\n  cpu: &g {interval: 7s}\n  memory: *g\n").unwrap();
    let seven = Duration::from_secs(7);
    assert_eq!(config.collect.groups[..2], [(Group::Cpu, seven), (Group::Memory, seven)]);
}

#[test]
fn the_built_in_receiver_takes_localhost_in_any_case() {
    let address = |url: &str| {
        let config = judge(format!("collector: {{server_url: '{url}'}}")).unwrap();
        collector::agent::loopback(&config).ok()
    };
    assert_eq!(address("http://LocalHost:81").as_deref(), Some("LocalHost:81"));
    assert_eq!(address("http://[::1]:81").as_deref(), Some("[::1]:81"));
    assert_eq!(address("http://localhost.example:81"), None);
    assert_eq!(address("https://localhost:81"), None);
}
