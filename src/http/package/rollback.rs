use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::PackageDto;
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::{ApiPath, ApiQuery},
    },
    service::Service,
};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RollbackQuery {
    #[param(example = "main")]
    branch: String,
    /// The version that is to be the head; default: the one below it.
    #[param(example = "1.9")]
    to: Option<String>,
}

/// Roll a branch back
///
/// Withdraws its head, or all versions above `to`: they are not given out any more, and devices that
/// follow the branch go back. Pushed again, a withdrawn version is restored.
#[utoipa::path(
    post,
    path = "/api/ota/packages/{name}/rollback",
    operation_id = "package_rollback",
    tag = "package",
    params(("name" = String, Path, example = "app"), RollbackQuery),
    responses(
        (status = 200, description = "The new head", body = Envelope<PackageDto>),
        (status = 400, description = "A parameter is missing or makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such package, branch or version", body = ErrorEnvelope),
        (status = 409, description = "No earlier version", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn rollback(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath(name): ApiPath<String>,
    ApiQuery(query): ApiQuery<RollbackQuery>,
) -> Result<Envelope<PackageDto>, ApiError> {
    let view = service
        .roll_back_package(&caller, &name, &query.branch, query.to.as_deref())
        .await?;
    Ok(Envelope::of(PackageDto::new(&service, view)?))
}
