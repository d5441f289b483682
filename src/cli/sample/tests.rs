//! The command against the real system: shape of the object, presence of figures.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

fn options(groups: &[Group]) -> Options {
    let interval = Duration::from_millis(2500);
    Options {
        groups: collect::Options {
            groups: groups.iter().map(|&group| (group, interval)).collect(),
        },
        samplers: sampler::Options { per_cpu: true, connections: true, ..Default::default() },
        own: Some((std::process::id(), Agent::default())),
        origin: Arc::new(crate::host::origin("web-1", BTreeMap::from([("a".into(), "b".into())]))),
    }
}

fn printed(groups: &[Group], format: Format) -> String {
    let mut out = Vec::new();
    run(&options(groups), format, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn json_is_one_line_with_a_sample_of_each_group() {
    let text = printed(&Group::ALL, Format::Json);
    assert_eq!(text.lines().count(), 1);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["schema"], 1);
    let samples = document["samples"].as_array().unwrap();
    let kinds: Vec<_> = samples.iter().map(|sample| sample["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["cpu", "memory", "disk", "network", "agent"]);
    for sample in samples {
        assert_eq!(sample["host"], "web-1");
        assert_eq!(sample["tags"]["a"], "b");
        assert_eq!(sample["interval"], 2.5);
        let timestamp = sample["timestamp"].as_str().unwrap();
        assert!(timestamp.parse::<Timestamp>().unwrap().subsec_nanosecond() % 1000 == 0);
    }
}

#[test]
fn second_reading_has_utilization_and_rates() {
    let text = printed(&[Group::Network, Group::Cpu], Format::Json);
    let document: Value = serde_json::from_str(&text).unwrap();
    let cpu = &document["samples"][0]["metrics"];
    let busy = cpu["utilization"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&busy), "{busy}");
    assert!(cpu["cpus"][0]["utilization"].is_number());
    let interfaces = document["samples"][1]["metrics"]["interfaces"].as_array().unwrap();
    assert!(
        interfaces.iter().all(|interface| interface["receive"]["bytes_per_second"].is_number())
    );
}

#[test]
fn tables_name_every_group() {
    let text = printed(&Group::ALL, Format::Tables);
    for title in ["Processors", "Memory", "File systems", "Interfaces", "Sockets", "Agent"] {
        assert!(text.contains(title), "{title} is missing in\n{text}");
    }
}
