use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::RolloutRequest;
use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope, PageDto},
        error::ApiError,
        extract::{ApiQuery, JsonTarget, page_limit},
    },
    service::{DryRun, DryRunGateway, Service},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct DryRunQuery {
    /// Gateways per page, 1 to 500; default 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `nextCursor` of the page before; send the `seed` of its answer, too.
    cursor: Option<String>,
}

/// What a rollout would do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RolloutDryRun)]
pub struct DryRunDto {
    /// A rollout made with it has these waves.
    pub seed: i64,
    /// Gateways that would get the version.
    pub included: i64,
    /// Gateways of the target that would not.
    pub excluded: i64,
    pub wave_counters: Vec<DryRunWaveDto>,
    /// Why gateways of the target would not get it.
    pub exclusions: Vec<ExclusionDto>,
    /// The gateways of the target by id, a page of them.
    pub gateways: PageDto<DryRunGatewayDto>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RolloutDryRunWave)]
pub struct DryRunWaveDto {
    /// From 1.
    pub wave: usize,
    /// Of the target, with the waves before.
    pub percent: u8,
    pub total: i64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RolloutExclusion)]
pub struct ExclusionDto {
    /// A stable word for programs.
    #[schema(examples("already_runs"))]
    pub reason: String,
    /// The rule that keeps them from it, for the first of them.
    pub message: String,
    pub total: i64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RolloutDryRunGateway)]
pub struct DryRunGatewayDto {
    pub gateway_id: String,
    pub current_version: Option<String>,
    /// From 1; null if it would not get the version, or if the last wave does not reach it.
    pub wave: Option<usize>,
    /// The versions it would go through.
    pub path: Vec<String>,
    /// Why it would not get it.
    pub reason: Option<String>,
    pub message: Option<String>,
}

impl From<DryRunGateway> for DryRunGatewayDto {
    fn from(gateway: DryRunGateway) -> Self {
        let (path, reason, message) = match gateway.verdict {
            Ok(path) => (path, None, None),
            Err(refusal) => (
                Vec::new(),
                Some(refusal.code().to_owned()),
                Some(refusal.to_string()),
            ),
        };
        DryRunGatewayDto {
            gateway_id: gateway.gateway_id,
            current_version: gateway.current_version,
            wave: gateway.wave,
            path,
            reason,
            message,
        }
    }
}

impl From<DryRun> for DryRunDto {
    fn from(dry_run: DryRun) -> Self {
        DryRunDto {
            seed: dry_run.seed,
            included: dry_run.included,
            excluded: dry_run.exclusions.iter().map(|it| it.total).sum(),
            wave_counters: (1..)
                .zip(dry_run.waves)
                .map(|(wave, (percent, total))| DryRunWaveDto {
                    wave,
                    percent,
                    total,
                })
                .collect(),
            exclusions: dry_run
                .exclusions
                .into_iter()
                .map(|exclusion| ExclusionDto {
                    reason: exclusion.refusal.code().to_owned(),
                    message: exclusion.refusal.to_string(),
                    total: exclusion.total,
                })
                .collect(),
            gateways: PageDto::new(
                dry_run.gateways,
                |gateway| gateway.gateway_id.clone(),
                DryRunGatewayDto::from,
            ),
        }
    }
}

/// What a rollout would do
///
/// Who would get the version in which wave and on which path, and who would not, with the reason.
/// Takes what `POST /api/ota/rollouts` takes and stores nothing.
#[utoipa::path(
    post,
    path = "/api/ota/rollouts/dry-run",
    tag = "rollout",
    params(DryRunQuery),
    request_body = RolloutRequest,
    responses(
        (status = 200, description = "What would happen", body = Envelope<DryRunDto>),
        (status = 400, description = "A value that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such firmware or gateway", body = ErrorEnvelope),
        (status = 409, description = "The firmware can't be installed", body = ErrorEnvelope),
        (status = 413, description = "Larger than the limit that the message names", body = ErrorEnvelope),
        (status = 415, description = "Not JSON", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn dry_run(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<DryRunQuery>,
    JsonTarget(request): JsonTarget<RolloutRequest>,
) -> Result<Envelope<DryRunDto>, ApiError> {
    let dry_run = service
        .dry_run_rollout(
            request.rollout()?,
            query.cursor.unwrap_or_default(),
            page_limit(query.limit)?,
        )
        .await?;
    Ok(Envelope::of(dry_run.into()))
}
