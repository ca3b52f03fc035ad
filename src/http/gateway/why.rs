use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    domain::{Finding, Verdict},
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::ApiPath,
    },
    service::{GatewayWhy, Service},
};

/// Why a gateway does not get its update.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Why)]
pub struct WhyDto {
    #[schema(examples("HQ2026TEST001"))]
    pub gateway_id: String,
    pub device_type: String,
    pub current_version: Option<String>,
    /// The latest release for its device type.
    pub latest_version: Option<String>,
    pub online: bool,
    pub last_seen_at: Option<DateTime<Utc>>,
    pub verdict: VerdictDto,
    /// The verdict and what decides it, for people.
    #[schema(examples(
        "HQ2026TEST001 gets no update because nothing asks for one: the rollout \"spring\" of \
         1.0.2 does not mean it: it is for tag:site=lab, and its tag site is \"home\""
    ))]
    pub summary: String,
    /// What speaks for or against the update, the most decisive first.
    pub findings: Vec<FindingDto>,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WhyVerdict)]
pub enum VerdictDto {
    /// It runs the latest release, or something newer.
    UpToDate,
    /// It is at it.
    Updating,
    /// The update comes by itself.
    Waiting,
    /// Nothing happens until a person changes something.
    Blocked,
    /// It was tried and failed; nobody tries again by itself.
    Failed,
    /// There is something newer, but nobody has asked for it.
    NotTargeted,
    NothingReleased,
}

/// One thing that speaks for or against an update.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WhyFinding)]
pub struct FindingDto {
    /// A stable word for programs; new ones may come.
    #[schema(examples("not_in_target"))]
    pub rule: String,
    /// For people.
    pub message: String,
    pub rollout_id: Option<Uuid>,
    pub task_id: Option<Uuid>,
    /// When that ends or is decided by itself.
    pub until: Option<DateTime<Utc>>,
}

impl From<Verdict> for VerdictDto {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::UpToDate => VerdictDto::UpToDate,
            Verdict::Updating => VerdictDto::Updating,
            Verdict::Waiting => VerdictDto::Waiting,
            Verdict::Blocked => VerdictDto::Blocked,
            Verdict::Failed => VerdictDto::Failed,
            Verdict::NotTargeted => VerdictDto::NotTargeted,
            Verdict::NothingReleased => VerdictDto::NothingReleased,
        }
    }
}

impl From<Finding> for FindingDto {
    fn from(finding: Finding) -> Self {
        FindingDto {
            rule: finding.rule.as_str().to_owned(),
            message: finding.message,
            rollout_id: finding.rollout_id,
            task_id: finding.task_id,
            until: finding.until,
        }
    }
}

impl From<GatewayWhy> for WhyDto {
    fn from(why: GatewayWhy) -> Self {
        let GatewayWhy {
            gateway,
            explanation,
        } = why;
        let findings = explanation.findings.into_iter();
        WhyDto {
            gateway_id: gateway.gateway_id,
            device_type: gateway.device_type,
            current_version: gateway.current_version,
            latest_version: explanation.latest_version,
            online: gateway.online,
            last_seen_at: gateway.last_seen_at,
            verdict: explanation.verdict.into(),
            summary: explanation.summary,
            findings: findings.map(FindingDto::from).collect(),
        }
    }
}

/// Why a gateway does not get its update
///
/// Names the rules that keep it from the update, or says what brings it and when.
#[utoipa::path(
    get,
    path = "/api/ota/gateways/{gatewayId}/why",
    tag = "gateway",
    params(("gatewayId" = String, Path, example = "HQ2026TEST001")),
    responses(
        (status = 200, description = "The reasons", body = Envelope<WhyDto>),
        (status = 400, description = "A gateway id that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "Never heard of", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn why(
    State(service): State<Arc<Service>>,
    ApiPath(gateway_id): ApiPath<String>,
) -> Result<Envelope<WhyDto>, ApiError> {
    Ok(Envelope::of(service.why(&gateway_id).await?.into()))
}
