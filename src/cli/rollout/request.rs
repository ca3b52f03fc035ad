use std::{io::Read, path::PathBuf};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::{Map, Value, json};

const TARGET: &str = "Target (all that is given must hold)";
const WAVES: &str = "Waves and failures";
const PACE: &str = "Pace";
const TIME: &str = "Time";

/// What a rollout is to be; what is left out is as the server has it.
#[derive(Args, Clone, Debug)]
pub struct RequestArgs {
    /// Version to bring; its firmware must be released, or be testing
    #[arg(value_name = "VERSION")]
    version: String,
    /// For people
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Device type of the firmware and the gateways [default: gateway]
    #[arg(long, value_name = "TYPE")]
    device_type: Option<String>,

    /// Only this gateway; can be given again
    #[arg(long = "gateway", value_name = "ID", help_heading = TARGET)]
    gateways: Vec<String>,
    /// Only the gateways named in this file, an id per line; - reads standard input
    #[arg(long, value_name = "FILE", help_heading = TARGET)]
    gateways_file: Option<PathBuf>,
    /// Only gateways with this tag; can be given again
    #[arg(
        long = "tag",
        value_name = "KEY=VALUE",
        value_parser = tag,
        help_heading = TARGET
    )]
    tags: Vec<(String, String)>,
    /// Only gateways that run such a version, such as '<1.0.2' or 1.0.1
    #[arg(long, value_name = "CONDITION", help_heading = TARGET)]
    current_version: Option<String>,
    /// Only gateways that the filter finds, such as 'tag:site=lab online:true'
    #[arg(long, value_name = "FILTER", help_heading = TARGET)]
    filter: Option<String>,

    /// Percent of the target after each wave, rising [default: 100]
    #[arg(
        long,
        value_name = "PERCENT,…",
        value_delimiter = ',',
        help_heading = WAVES
    )]
    waves: Option<Vec<u8>>,
    /// Wait after each wave [default: 0]
    #[arg(long, value_name = "SECONDS", help_heading = WAVES)]
    soak: Option<u32>,
    /// More failures than this, in percent of a wave, halt the rollout [default: 10]
    #[arg(long, value_name = "PERCENT", help_heading = WAVES)]
    halt_at_failure_percent: Option<u8>,
    /// Silence that fails a gateway's update [default: 900]
    #[arg(long, value_name = "SECONDS", help_heading = WAVES)]
    task_timeout: Option<u32>,
    /// Also downgrades, and replaces updates that are under way
    #[arg(long, help_heading = WAVES)]
    force: bool,
    /// The order of gateways is made from it; a dry run's gives its waves [default: random]
    #[arg(long, value_name = "NUMBER", help_heading = WAVES)]
    seed: Option<u32>,

    /// Gateways that update at the same time, at most [default: 100]
    #[arg(long, value_name = "COUNT", help_heading = PACE)]
    max_in_flight: Option<u32>,
    /// Commands that leave in a minute, at most [default: no limit]
    #[arg(long, value_name = "COUNT", help_heading = PACE)]
    commands_per_minute: Option<u32>,
    /// Each gateway begins at a time of its own within this [default: 10]
    #[arg(long, value_name = "SECONDS", help_heading = PACE)]
    jitter_seconds: Option<u32>,

    /// Begin then, such as 2026-03-01T01:00:00Z [default: at once]
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = TIME)]
    start_at: Option<DateTime<Utc>>,
    /// Gateways that come to match the target join until then; the rollout stays open for them
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = TIME)]
    join_until: Option<DateTime<Utc>>,
    /// When updates may begin, every day; may go over midnight [default: always]
    #[arg(
        long,
        value_name = "FROM-TO",
        value_parser = window,
        requires = "timezone",
        help_heading = TIME
    )]
    window: Option<(String, String)>,
    /// Time zone of --window, such as Asia/Shanghai
    #[arg(long, value_name = "NAME", requires = "window", help_heading = TIME)]
    timezone: Option<String>,
}

impl RequestArgs {
    /// The body of the request; `stdin` is read where a file is named `-`.
    pub fn body(self, stdin: &mut dyn Read) -> Result<Value> {
        let gateway_ids = self.gateway_ids(stdin)?;
        let mut tags = Map::new();
        for (key, value) in self.tags {
            ensure!(
                tags.insert(key.clone(), value.into()).is_none(),
                "--tag {key} is given twice, and a gateway has one value of a tag"
            );
        }
        let window = self
            .window
            .map(|(from, to)| json!({ "from": from, "to": to, "timezone": self.timezone }));
        Ok(json!({
            "name": self.name,
            "version": self.version,
            "deviceType": self.device_type,
            "target": {
                "gatewayIds": gateway_ids,
                "tags": tags,
                "currentVersion": self.current_version,
                "filter": self.filter,
            },
            "waves": self.waves,
            "maxInFlight": self.max_in_flight,
            "commandsPerMinute": self.commands_per_minute,
            "jitterSeconds": self.jitter_seconds,
            "startAt": self.start_at,
            "joinUntil": self.join_until,
            "window": window,
            "haltAtFailurePercent": self.halt_at_failure_percent,
            "taskTimeoutSeconds": self.task_timeout,
            "soakSeconds": self.soak,
            "forceUpgrade": self.force,
            "seed": self.seed,
        }))
    }

    fn gateway_ids(&self, stdin: &mut dyn Read) -> Result<Option<Vec<String>>> {
        let mut ids = self.gateways.clone();
        if let Some(file) = &self.gateways_file {
            let mut text = String::new();
            match file.as_os_str() == "-" {
                true => stdin.read_to_string(&mut text).map(drop),
                false => std::fs::read_to_string(file).map(|read| text = read),
            }
            .with_context(|| format!("can't read --gateways-file {}", file.display()))?;
            let before = ids.len();
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            ids.extend(lines.map(str::to_owned));
            // Nobody named must not come to mean everybody.
            ensure!(
                ids.len() > before,
                "--gateways-file {} names no gateway: write an id per line",
                file.display()
            );
        }
        Ok((!ids.is_empty()).then_some(ids))
    }
}

fn tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as site=lab")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn window(text: &str) -> Result<(String, String), String> {
    let (from, to) = text.split_once('-').ok_or("write it as 01:00-05:00")?;
    Ok((from.trim().to_owned(), to.trim().to_owned()))
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| "write it as 2026-03-01T01:00:00Z or 2026-03-01T09:00:00+08:00".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        request: RequestArgs,
    }

    fn parse(flags: &[&str]) -> Result<RequestArgs, String> {
        Line::try_parse_from(["create"].iter().chain(flags))
            .map(|line| line.request)
            .map_err(|error| error.to_string())
    }

    fn body(flags: &[&str], stdin: &str) -> Result<Value> {
        parse(flags).unwrap().body(&mut stdin.as_bytes())
    }

    #[test]
    fn every_flag_becomes_its_field_of_the_request() {
        let flags = "1.0.2 --name first --device-type esp32 --gateway b --gateway c \
            --gateways-file - --tag site=lab --tag rack=a=b --current-version <1.0.2 \
            --filter online:true --waves 10,50,100 --max-in-flight 5 --commands-per-minute 60 \
            --jitter-seconds 0 --start-at 2026-03-01T09:00:00+08:00 \
            --join-until 2026-03-02T00:00:00Z --window 22:00-05:00 --timezone Asia/Shanghai \
            --halt-at-failure-percent 3 --task-timeout 600 --soak 60 --force --seed 7";
        let flags: Vec<&str> = flags.split_whitespace().collect();
        assert_eq!(
            body(&flags, " d \r\n\ne\n").unwrap(),
            json!({
                "name": "first",
                "version": "1.0.2",
                "deviceType": "esp32",
                "target": {
                    "gatewayIds": ["b", "c", "d", "e"],
                    "tags": { "site": "lab", "rack": "a=b" },
                    "currentVersion": "<1.0.2",
                    "filter": "online:true",
                },
                "waves": [10, 50, 100],
                "maxInFlight": 5,
                "commandsPerMinute": 60,
                "jitterSeconds": 0,
                "startAt": "2026-03-01T01:00:00Z",
                "joinUntil": "2026-03-02T00:00:00Z",
                "window": { "from": "22:00", "to": "05:00", "timezone": "Asia/Shanghai" },
                "haltAtFailurePercent": 3,
                "taskTimeoutSeconds": 600,
                "soakSeconds": 60,
                "forceUpgrade": true,
                "seed": 7,
            })
        );
    }

    #[test]
    fn a_file_that_names_nobody_does_not_mean_everybody() {
        let refusal = body(&["1.0.2", "--gateways-file", "-"], "\n \n").unwrap_err();
        assert!(
            refusal.to_string().contains("names no gateway"),
            "{refusal}"
        );
        let none = body(&["1.0.2"], "").unwrap();
        assert_eq!(none["target"]["gatewayIds"], Value::Null);
        let missing = body(&["1.0.2", "--gateways-file", "not-there"], "").unwrap_err();
        assert!(missing.to_string().contains("not-there"), "{missing}");
    }

    #[test]
    fn a_flag_that_makes_no_sense_is_refused_with_a_right_one() {
        for (flags, says) in [
            (&["1.0.2", "--tag", "lab"][..], "site=lab"),
            (
                &["1.0.2", "--window", "1", "--timezone", "UTC"],
                "01:00-05:00",
            ),
            (&["1.0.2", "--window", "01:00-05:00"], "--timezone"),
            (&["1.0.2", "--timezone", "UTC"], "--window"),
            (&["1.0.2", "--start-at", "tomorrow"], "2026-03-01T01:00:00Z"),
            (&["1.0.2", "--waves", "10,x"], "--waves"),
            (&[], "VERSION"),
        ] {
            let refusal = parse(flags).unwrap_err();
            assert!(refusal.contains(says), "{flags:?}: {refusal}");
        }
        let twice = body(&["1.0.2", "--tag", "a=1", "--tag", "a=2"], "").unwrap_err();
        assert!(twice.to_string().contains("given twice"), "{twice}");
    }
}
