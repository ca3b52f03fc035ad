//! The server's answers, for people.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::cli::{
    answer::{Page, read},
    table::Table,
    text::time,
};

/// As much of a rollout as is shown.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    pub rollout_id: String,
    pub name: String,
    pub version: String,
    pub device_type: String,
    pub target: Target,
    pub max_in_flight: u32,
    pub commands_per_minute: Option<u32>,
    pub jitter_seconds: u32,
    pub start_at: Option<DateTime<Utc>>,
    pub join_until: Option<DateTime<Utc>>,
    pub window: Option<Window>,
    pub halt_at_failure_percent: u8,
    pub task_timeout_seconds: u32,
    pub soak_seconds: u32,
    pub force_upgrade: bool,
    pub seed: i64,
    pub state: String,
    pub reason: Option<String>,
    pub waiting_for: Option<String>,
    /// The wave that runs, from 1; 0 before the first.
    pub wave: usize,
    pub counters: Counters,
    pub wave_counters: Vec<Wave>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    gateway_ids: Option<Vec<String>>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    current_version: Option<String>,
    filter: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Window {
    from: String,
    to: String,
    timezone: String,
}

/// How many gateways are in which state.
#[derive(Clone, Debug, Deserialize)]
pub struct Counters {
    pub total: u64,
    pub waiting: u64,
    pub active: u64,
    pub confirmed: u64,
    pub failed: u64,
    pub skipped: u64,
    pub cancelled: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wave {
    pub wave: usize,
    pub percent: u8,
    #[serde(flatten)]
    pub counters: Counters,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DryRun {
    seed: i64,
    included: u64,
    excluded: u64,
    wave_counters: Vec<DryRunWave>,
    exclusions: Vec<Exclusion>,
    gateways: Page<DryRunGateway>,
}

#[derive(Debug, Deserialize)]
struct DryRunWave {
    wave: usize,
    percent: u8,
    total: u64,
}

#[derive(Debug, Deserialize)]
struct Exclusion {
    reason: String,
    message: String,
    total: u64,
}

/// A gateway in a rollout.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    pub gateway_id: String,
    /// From 1; `None` until all gateways are enrolled.
    pub wave: Option<usize>,
    pub state: String,
    /// Why it failed or was skipped.
    pub reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DryRunGateway {
    gateway_id: String,
    current_version: Option<String>,
    wave: Option<usize>,
    path: Vec<String>,
    message: Option<String>,
}

fn time_or_none(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "-".to_owned(), time)
}

impl Counters {
    /// Gateways for which nothing more is to come.
    pub fn ended(&self) -> u64 {
        self.confirmed + self.failed + self.skipped + self.cancelled
    }

    /// `3 of 25 confirmed, 1 failed, 4 active, 17 waiting`, without what nobody is.
    pub fn sentence(&self) -> String {
        let others = [
            (self.failed, "failed"),
            (self.skipped, "skipped"),
            (self.cancelled, "cancelled"),
            (self.active, "active"),
            (self.waiting, "waiting"),
        ];
        let mut sentence = format!("{} of {} confirmed", self.confirmed, self.total);
        for (count, state) in others {
            if count > 0 {
                sentence += &format!(", {count} {state}");
            }
        }
        sentence
    }
}

impl Target {
    fn sentence(&self) -> String {
        let mut terms = Vec::new();
        if let Some(ids) = &self.gateway_ids {
            terms.push(match ids.as_slice() {
                [id] => format!("gateway {id}"),
                ids => format!("{} gateways by id", ids.len()),
            });
        }
        let tags = self.tags.iter();
        terms.extend(tags.map(|(key, value)| format!("tag {key}={value}")));
        let version = self.current_version.as_ref();
        terms.extend(version.map(|condition| format!("version {condition}")));
        terms.extend(self.filter.clone());
        match terms.is_empty() {
            true => "every gateway".to_owned(),
            false => terms.join(", "),
        }
    }
}

impl Rollout {
    /// In one line how it stands.
    pub fn sentence(&self) -> String {
        let wave = match (self.wave, self.wave_counters.len()) {
            (0, _) | (_, 1) => String::new(),
            (wave, of) => format!(", wave {wave} of {of}"),
        };
        let counters = self.counters.sentence();
        let mut sentence = format!("{}{wave}, {counters}", self.state);
        for why in [&self.reason, &self.waiting_for].into_iter().flatten() {
            sentence += &format!(": {why}");
        }
        sentence
    }

    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for (name, value) in self.facts() {
            writeln!(out, "{name:<9} {value}")?;
        }
        writeln!(out)?;
        let mut table = Table::new(&[
            " WAVE",
            " PERCENT",
            " TOTAL",
            " WAITING",
            " ACTIVE",
            " CONFIRMED",
            " FAILED",
            " SKIPPED",
            " CANCELLED",
            "STARTED",
            "ENDED",
        ]);
        let numbers = |counters: &Counters| {
            [
                counters.total,
                counters.waiting,
                counters.active,
                counters.confirmed,
                counters.failed,
                counters.skipped,
                counters.cancelled,
            ]
            .map(|count| count.to_string())
        };
        for wave in &self.wave_counters {
            let name = [wave.wave.to_string(), wave.percent.to_string()];
            let times = [wave.started_at, wave.ended_at].map(time_or_none);
            table.row(name.into_iter().chain(numbers(&wave.counters)).chain(times));
        }
        let name = ["all".to_owned(), String::new()];
        let times = [self.started_at, self.ended_at].map(time_or_none);
        table.row(name.into_iter().chain(numbers(&self.counters)).chain(times));
        table.write(out)
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![("rollout", self.rollout_id.clone())];
        if !self.name.is_empty() {
            facts.push(("name", self.name.clone()));
        }
        facts.extend([
            ("version", self.version.clone()),
            ("type", self.device_type.clone()),
            ("target", self.target.sentence()),
            ("plan", self.plan()),
        ]);
        if let Some(Window { from, to, timezone }) = &self.window {
            facts.push(("window", format!("{from} to {to}, {timezone}")));
        }
        facts.push(("created", time(self.created_at)));
        facts.extend(self.start_at.map(|at| ("begins", time(at))));
        facts.extend(self.join_until.map(|at| ("open till", time(at))));
        let state = match &self.reason {
            Some(reason) => format!("{}: {reason}", self.state),
            None => self.state.clone(),
        };
        facts.push(("state", state));
        facts.extend(self.waiting_for.clone().map(|why| ("waits", why)));
        facts
    }

    fn plan(&self) -> String {
        let mut plan = vec![format!("at most {} at once", self.max_in_flight)];
        plan.extend(
            self.commands_per_minute
                .map(|rate| format!("{rate} commands a minute")),
        );
        plan.push(format!("jitter {} s", self.jitter_seconds));
        plan.push(format!("timeout {} s", self.task_timeout_seconds));
        plan.push(format!("soak {} s", self.soak_seconds));
        plan.push(format!(
            "halts above {} % failed",
            self.halt_at_failure_percent
        ));
        if self.force_upgrade {
            plan.push("forced".to_owned());
        }
        plan.push(format!("seed {}", self.seed));
        plan.join(", ")
    }
}

/// What a dry run of `version` answered.
pub fn write_dry_run(version: &str, data: &Value, out: &mut dyn Write) -> Result<()> {
    let dry_run: DryRun = read(data)?;
    writeln!(
        out,
        "{version} would go to {} of {} gateways; --seed {} gives the same waves again",
        dry_run.included,
        dry_run.included + dry_run.excluded,
        dry_run.seed
    )?;
    let mut waves = Table::new(&[" WAVE", " PERCENT", " GATEWAYS"]);
    for wave in &dry_run.wave_counters {
        waves.row([
            wave.wave.to_string(),
            wave.percent.to_string(),
            wave.total.to_string(),
        ]);
    }
    writeln!(out)?;
    waves.write(out)?;
    if !dry_run.exclusions.is_empty() {
        let mut table = Table::new(&[" LEFT OUT", "REASON", "THE FIRST OF THEM"]);
        for exclusion in dry_run.exclusions {
            table.row([
                exclusion.total.to_string(),
                exclusion.reason,
                exclusion.message,
            ]);
        }
        writeln!(out)?;
        table.write(out)?;
    }
    let mut table = Table::new(&["GATEWAY", "RUNS", " WAVE", "WOULD RUN"]);
    for gateway in dry_run.gateways.items {
        let would = match gateway.message {
            Some(why) => format!("not: {why}"),
            None => gateway.path.join(", then "),
        };
        table.row([
            gateway.gateway_id,
            gateway.current_version.unwrap_or_else(|| "-".to_owned()),
            gateway.wave.map_or("-".to_owned(), |wave| wave.to_string()),
            would,
        ]);
    }
    writeln!(out)?;
    table.write(out)?;
    if dry_run.gateways.next_cursor.is_some() {
        writeln!(out, "… and more: --limit shows them")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_gateway_said_can_do_nothing_to_a_terminal() {
        let data = json!({
            "gatewayId": "a", "wave": 1, "state": "failed", "reason": "\u{1b}[2J\r\ngüte\u{9b}"
        });
        let gateway: Gateway = read(&data).unwrap();
        assert_eq!(
            gateway.reason.unwrap(),
            "\u{fffd}[2J\u{fffd}\u{fffd}güte\u{fffd}"
        );
    }

    #[test]
    fn counters_are_told_without_what_nobody_is() {
        let counters = |failed, waiting| Counters {
            total: 5,
            waiting,
            active: 0,
            confirmed: 5 - failed - waiting,
            failed,
            skipped: 0,
            cancelled: 0,
        };
        assert_eq!(counters(0, 0).sentence(), "5 of 5 confirmed");
        assert_eq!(
            counters(1, 2).sentence(),
            "2 of 5 confirmed, 1 failed, 2 waiting"
        );
    }

    #[test]
    fn a_target_is_told_by_all_that_must_hold() {
        let target = |data: Value| serde_json::from_value::<Target>(data).unwrap().sentence();
        assert_eq!(target(json!({})), "every gateway");
        assert_eq!(
            target(json!({ "gatewayIds": ["a", "b"], "tags": { "site": "lab" },
                "currentVersion": "<1.0.2", "filter": "online:true" })),
            "2 gateways by id, tag site=lab, version <1.0.2, online:true"
        );
    }
}
