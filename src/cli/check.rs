//! `collector check`: the configuration in force, how long an outage the buffer holds, what is
//! unwise, and on request whether the server can be reached. Sends no samples, creates nothing.

use std::{io::Write, time::Duration};

use anyhow::Context;

use super::sample;
use crate::{collect, config::Config, queue, sample::Group, transport::http};

/// Tries to reach the server; says in one line how that went.
pub type Connect<'a> = &'a mut dyn FnMut(&http::Options) -> anyhow::Result<String>;

/// Prints the configuration in force as YAML, and all else as its comments, to `out`.
///
/// How long an outage the buffer holds is told from a sample of each group that is taken now, about
/// 250 ms long. An error is one of `connect` or of `out`.
pub fn check(
    config: &Config,
    connect: Option<Connect<'_>>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let options = super::sample_options(config.clone());
    let (mut samples, _) = sample::take(&options);
    // Where no agent runs, one that has just begun.
    samples.push(sample::of_new_agent(&options));
    let sample_bytes = |group| {
        let of_group = samples.iter().find(|sample| sample.metrics.group() == group);
        of_group.map_or(0, queue::record::size)
    };
    print(config, sample_bytes, out).context("can't print the configuration")?;
    let Some(connect) = connect else { return Ok(()) };
    let answer = connect(&config.http)?;
    writeln!(out, "# {answer}").context("can't print the server's answer")
}

fn print(
    config: &Config,
    sample_bytes: impl Fn(Group) -> u64,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    writeln!(out, "# {} is good. In force, secrets masked:", config.file.display())?;
    write!(out, "{}", config.effective())?;
    match estimate(&config.queue, &config.collect, sample_bytes) {
        Some(outage) => {
            // What expires is held so long and no longer; the rest is reckoned with the worst.
            let least = if config.queue.max_age == Some(outage) { "" } else { "at least " };
            writeln!(out, "# The buffer holds an outage of {least}{}.", rounded(outage))?;
        }
        None => writeln!(out, "# Nothing is collected.")?,
    }
    for warning in &config.warnings {
        writeln!(out, "# warning: {warning}")?;
    }
    out.flush()
}

/// How long an outage the buffer holds: until the cap is reached, or until the oldest samples
/// expire if that is sooner. `None` when nothing is collected.
pub fn estimate(
    queue: &queue::Options,
    collect: &collect::Options,
    sample_bytes: impl Fn(Group) -> u64,
) -> Option<Duration> {
    let per_day = |(group, interval): &(Group, Duration)| {
        let samples = DAY.as_nanos() / interval.as_nanos().max(1);
        samples * u128::from(queue::DISK_PERCENT) * u128::from(sample_bytes(*group)) / 100
    };
    let bytes_per_day: u128 = collect.groups.iter().map(per_day).sum();
    let seconds =
        (u128::from(queue.max_bytes) * u128::from(DAY.as_secs())).checked_div(bytes_per_day)?;
    let full = Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX));
    Some(queue.max_age.map_or(full, |max_age| full.min(max_age)))
}

const DAY: Duration = Duration::from_hours(24);

/// To two units: nobody counts on the seconds of days.
fn rounded(duration: Duration) -> humantime::FormattedDuration {
    let seconds = duration.as_secs();
    let unit = match seconds {
        86_400.. => 3600,
        3600.. => 60,
        _ => 1,
    };
    humantime::format_duration(Duration::from_secs(seconds - seconds % unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Overflow, Sync};

    fn held(
        max_bytes: u64,
        max_age: Option<Duration>,
        groups: &[(Group, u64)],
    ) -> Option<Duration> {
        let queue = queue::Options {
            directory: "b".into(),
            max_bytes,
            min_free_bytes: 0,
            overflow: Overflow::DropOldest,
            max_age,
            sync: Sync::Always,
        };
        let groups = groups.iter().map(|&(group, seconds)| (group, Duration::from_secs(seconds)));
        estimate(&queue, &collect::Options { groups: groups.collect() }, |_| 500)
    }

    #[test]
    fn the_estimate_is_the_cap_over_the_rate_of_all_groups() {
        // 1100 bytes on disk each 5 s and each 10 s: 330 bytes a second.
        let groups = [(Group::Cpu, 5), (Group::Disk, 10)];
        assert_eq!(held(3_300_000, None, &groups), Some(Duration::from_secs(10_000)));
    }

    #[test]
    fn what_expires_sooner_is_not_held() {
        let hour = Duration::from_hours(1);
        assert_eq!(held(1 << 40, Some(hour), &[(Group::Cpu, 5)]), Some(hour));
    }

    #[test]
    fn the_largest_buffer_does_not_overflow_and_nothing_collected_has_no_answer() {
        assert!(held(1_000_000_000_000_000, None, &[(Group::Cpu, 86_400)]).is_some());
        assert_eq!(held(1, None, &[]), None);
    }

    #[test]
    fn durations_are_shown_to_two_units() {
        for (seconds, expected) in [(59, "59s"), (3661, "1h 1m"), (90_061, "1day 1h")] {
            assert_eq!(rounded(Duration::from_secs(seconds)).to_string(), expected);
        }
    }

    #[test]
    fn the_output_is_yaml_with_comments_and_shows_no_secret() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("c.yaml");
        std::fs::write(&file, "collector: {api_key: canary, server_url: 'http://h'}").unwrap();
        let mut out = Vec::new();
        let mut connect = |_: &http::Options| Ok("The server answers 204.".to_owned());
        let config = crate::config::load(Some(&file), None).unwrap();
        check(&config, Some(&mut connect), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("\n  api_key: '********'\n"), "{text}");
        assert!(text.contains("\n# The buffer holds an outage of at least "), "{text}");
        assert!(text.contains("\n# warning: collector.server_url: the API key is sent"), "{text}");
        assert!(text.ends_with("\n# The server answers 204.\n"), "{text}");
        assert!(!text.contains("canary"), "{text}");
        println!("{text}");
    }
}
