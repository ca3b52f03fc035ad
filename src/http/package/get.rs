use std::sync::Arc;

use axum::extract::State;

use super::{BranchQuery, PackageDto};
use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::{ApiPath, ApiQuery},
    },
    service::Service,
};

/// One version of a package
///
/// Withdrawn or not.
#[utoipa::path(
    get,
    path = "/api/ota/packages/{name}/{version}",
    tag = "package",
    params(
        ("name" = String, Path, example = "app"),
        ("version" = String, Path, example = "1.10"),
        BranchQuery,
    ),
    responses(
        (status = 200, description = "The version", body = Envelope<PackageDto>),
        (status = 400, description = "A parameter is missing or makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such version", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn get(
    State(service): State<Arc<Service>>,
    ApiPath((name, version)): ApiPath<(String, String)>,
    ApiQuery(query): ApiQuery<BranchQuery>,
) -> Result<Envelope<PackageDto>, ApiError> {
    let view = service.package(&name, &query.branch, &version).await?;
    Ok(Envelope::of(PackageDto::new(&service, view)?))
}
