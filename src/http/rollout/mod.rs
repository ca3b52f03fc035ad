//! `/api/ota/rollouts`

pub mod act;
pub mod create;
pub mod dry_run;
pub mod gateways;
pub mod get;
pub mod list;
pub mod tasks;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::ApiError;
use crate::{
    domain::{
        DEVICE_TYPE_DEFAULT, MemberState, RolloutPlan, RolloutState, RolloutTarget, WaveCounts,
        Window,
    },
    service::{CreateRollout, RolloutView, RolloutWave},
};

/// What a rollout is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolloutRequest {
    /// For people.
    name: Option<String>,
    #[schema(examples("1.0.2"))]
    version: String,
    /// Default `gateway`.
    device_type: Option<String>,
    /// Default: every gateway of the device type.
    #[serde(default)]
    target: TargetDto,
    /// Percent of the target, cumulative, rising; the last may be below 100. Default `[100]`.
    #[schema(examples(json!([10, 50, 100])))]
    waves: Option<Vec<u8>>,
    /// Gateways that update at the same time, at most. Default 100.
    max_in_flight: Option<u32>,
    /// Commands that leave in a minute, at most. Default: no limit.
    commands_per_minute: Option<u32>,
    /// Each gateway is asked (`notBefore`) to begin at a time of its own within this. Default 10.
    jitter_seconds: Option<u32>,
    /// Default: at once.
    start_at: Option<DateTime<Utc>>,
    /// Gateways that come to match the target join until then; the rollout stays open for them.
    join_until: Option<DateTime<Utc>>,
    /// When updates may begin. Default: always.
    window: Option<WindowDto>,
    /// More failures than this, in percent of a wave, halt the rollout. Default 10.
    halt_at_failure_percent: Option<u8>,
    /// Silence that fails a gateway's task. Default 900.
    task_timeout_seconds: Option<u32>,
    /// Wait after a wave; gateways that fall back to another version in it count as failed.
    /// Default 0.
    soak_seconds: Option<u32>,
    /// Also downgrades, and replaces upgrades that are under way. Default false.
    force_upgrade: Option<bool>,
    /// The order of gateways is made from it; the one of a dry run gives its waves again. Default:
    /// a random one.
    #[schema(minimum = 0, maximum = 2147483647)]
    seed: Option<i64>,
}

/// Which gateways; all that is given must hold.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schema(as = RolloutTarget)]
pub struct TargetDto {
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway_ids: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(examples(json!({"site": "lab"})))]
    tags: BTreeMap<String, String>,
    /// A condition on the version that a gateway runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("<1.0.2"))]
    current_version: Option<String>,
    /// A filter as for `GET /api/ota/gateways`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("tag:site=lab version<1.0.2"))]
    filter: Option<String>,
}

/// A time of day, every day. It may go over midnight.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = RolloutWindow)]
pub struct WindowDto {
    /// First minute.
    #[schema(examples("01:00"))]
    from: String,
    /// First minute after it.
    #[schema(examples("05:00"))]
    to: String,
    /// Of the IANA time zone database.
    #[schema(examples("Asia/Shanghai"))]
    timezone: String,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = RolloutState)]
pub enum StateDto {
    Scheduled,
    Running,
    Paused,
    Halted,
    Completed,
    Cancelled,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = RolloutGatewayState)]
pub enum MemberStateDto {
    /// Nothing was sent yet.
    Waiting,
    /// It has a task.
    Active,
    /// A heartbeat proved that it runs the version.
    Confirmed,
    Failed,
    /// It was not to be updated when its turn came; `reason` says why.
    Skipped,
    /// Its task was cancelled by hand, or the rollout was.
    Cancelled,
}

/// A rollout: what was asked for, and how it stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Rollout)]
pub struct RolloutDto {
    pub rollout_id: Uuid,
    pub name: String,
    pub version: String,
    pub device_type: String,
    pub target: TargetDto,
    pub waves: Vec<u8>,
    pub max_in_flight: u32,
    pub commands_per_minute: Option<u32>,
    pub jitter_seconds: u32,
    pub start_at: Option<DateTime<Utc>>,
    pub join_until: Option<DateTime<Utc>>,
    pub window: Option<WindowDto>,
    pub halt_at_failure_percent: u8,
    pub task_timeout_seconds: u32,
    pub soak_seconds: u32,
    pub force_upgrade: bool,
    pub seed: i64,
    pub state: StateDto,
    /// Why it is in this state.
    pub reason: Option<String>,
    /// What it waits for just now.
    #[schema(examples("wave 1 to end: 12 gateways are updating"))]
    pub waiting_for: Option<String>,
    /// Whether all gateways of the target were taken in; the counters grow until then.
    pub enrolled: bool,
    /// The wave that runs, from 1; 0 before the first.
    pub wave: usize,
    pub counters: CountersDto,
    pub wave_counters: Vec<WaveCountersDto>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub updated_at: DateTime<Utc>,
}

/// How many gateways are in which state.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RolloutCounters)]
pub struct CountersDto {
    pub total: i64,
    pub waiting: i64,
    pub active: i64,
    pub confirmed: i64,
    pub failed: i64,
    pub skipped: i64,
    pub cancelled: i64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RolloutWaveCounters)]
pub struct WaveCountersDto {
    /// From 1.
    pub wave: usize,
    /// Of the target, with the waves before.
    pub percent: u8,
    #[serde(flatten)]
    pub counters: CountersDto,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
}

impl RolloutRequest {
    fn rollout(self) -> Result<CreateRollout, ApiError> {
        let default = RolloutPlan::default();
        if let Some(seed) = self.seed
            && !(0..=i64::from(i32::MAX)).contains(&seed)
        {
            return Err(ApiError::bad_request(
                "invalid_seed",
                format!("seed {seed} must be between 0 and {}", i32::MAX),
            ));
        }
        Ok(CreateRollout {
            name: self.name.unwrap_or_default(),
            version: self.version,
            device_type: self
                .device_type
                .unwrap_or_else(|| DEVICE_TYPE_DEFAULT.to_owned()),
            target: RolloutTarget {
                gateway_ids: self.target.gateway_ids,
                tags: self.target.tags,
                current_version: self.target.current_version,
                filter: self.target.filter,
            },
            seed: self.seed,
            plan: RolloutPlan {
                waves: self.waves.unwrap_or(default.waves),
                max_in_flight: self.max_in_flight.unwrap_or(default.max_in_flight),
                commands_per_minute: self.commands_per_minute,
                jitter_seconds: self.jitter_seconds.unwrap_or(default.jitter_seconds),
                start_at: self.start_at,
                join_until: self.join_until,
                window: self.window.map(|window| Window {
                    from: window.from,
                    to: window.to,
                    timezone: window.timezone,
                }),
                halt_at_failure_percent: self
                    .halt_at_failure_percent
                    .unwrap_or(default.halt_at_failure_percent),
                task_timeout_seconds: self
                    .task_timeout_seconds
                    .unwrap_or(default.task_timeout_seconds),
                soak_seconds: self.soak_seconds.unwrap_or(default.soak_seconds),
                force_upgrade: self.force_upgrade.unwrap_or(default.force_upgrade),
            },
        })
    }
}

impl From<RolloutView> for RolloutDto {
    fn from(view: RolloutView) -> Self {
        let RolloutView {
            rollout,
            waves,
            waiting_for,
        } = view;
        let plan = rollout.plan;
        let mut counters = CountersDto::default();
        for wave in &waves {
            counters.add(&wave.counts);
        }
        RolloutDto {
            rollout_id: rollout.rollout_id,
            name: rollout.name,
            version: rollout.version,
            device_type: rollout.device_type,
            target: TargetDto {
                gateway_ids: rollout.target.gateway_ids,
                tags: rollout.target.tags,
                current_version: rollout.target.current_version,
                filter: rollout.target.filter,
            },
            waves: plan.waves,
            max_in_flight: plan.max_in_flight,
            commands_per_minute: plan.commands_per_minute,
            jitter_seconds: plan.jitter_seconds,
            start_at: plan.start_at,
            join_until: plan.join_until,
            window: plan.window.map(|window| WindowDto {
                from: window.from,
                to: window.to,
                timezone: window.timezone,
            }),
            halt_at_failure_percent: plan.halt_at_failure_percent,
            task_timeout_seconds: plan.task_timeout_seconds,
            soak_seconds: plan.soak_seconds,
            force_upgrade: plan.force_upgrade,
            seed: rollout.seed,
            state: rollout.state.into(),
            reason: rollout.reason,
            waiting_for,
            enrolled: rollout.enrolled,
            wave: rollout.wave,
            counters,
            wave_counters: (1..).zip(waves).map(WaveCountersDto::from).collect(),
            created_at: rollout.created_at,
            started_at: rollout.started_at,
            ended_at: rollout.ended_at,
            updated_at: rollout.updated_at,
        }
    }
}

impl CountersDto {
    fn add(&mut self, counts: &WaveCounts) {
        self.total += counts.total();
        self.waiting += counts.waiting;
        self.active += counts.active;
        self.confirmed += counts.confirmed;
        self.failed += counts.failed;
        self.skipped += counts.skipped;
        self.cancelled += counts.cancelled;
    }
}

impl From<(usize, RolloutWave)> for WaveCountersDto {
    fn from((wave, RolloutWave { counts, .. }): (usize, RolloutWave)) -> Self {
        let mut counters = CountersDto::default();
        counters.add(&counts);
        WaveCountersDto {
            wave,
            percent: counts.percent,
            counters,
            started_at: counts.started_at,
            ended_at: counts.ended_at,
        }
    }
}

/// The same words on both sides.
macro_rules! same_words {
    ($dto:ident, $domain:ident, $($word:ident),+) => {
        impl From<$domain> for $dto {
            fn from(word: $domain) -> Self {
                match word { $($domain::$word => $dto::$word),+ }
            }
        }
        impl From<$dto> for $domain {
            fn from(word: $dto) -> Self {
                match word { $($dto::$word => $domain::$word),+ }
            }
        }
    };
}
same_words!(
    StateDto,
    RolloutState,
    Scheduled,
    Running,
    Paused,
    Halted,
    Completed,
    Cancelled
);
same_words!(
    MemberStateDto,
    MemberState,
    Waiting,
    Active,
    Confirmed,
    Failed,
    Skipped,
    Cancelled
);
