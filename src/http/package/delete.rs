use std::sync::Arc;

use axum::extract::State;

use super::{BranchQuery, PackageDto};
use crate::{
    domain::Caller,
    http::{
        envelope::{Envelope, ErrorEnvelope},
        error::ApiError,
        extract::{ApiPath, ApiQuery},
    },
    service::Service,
};

/// Delete a version of a package
///
/// Its file goes too, unless another version or a firmware has the same bytes.
#[utoipa::path(
    delete,
    path = "/api/ota/packages/{name}/{version}",
    operation_id = "package_delete",
    tag = "package",
    params(
        ("name" = String, Path, example = "app"),
        ("version" = String, Path, example = "1.10"),
        BranchQuery,
    ),
    responses(
        (status = 200, description = "What was deleted", body = Envelope<PackageDto>),
        (status = 400, description = "A parameter is missing or makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such version", body = ErrorEnvelope),
        (status = 409, description = "Released as a firmware", body = ErrorEnvelope),
        (status = 503, description = "Database or blob store away", body = ErrorEnvelope),
    )
)]
pub async fn delete(
    State(service): State<Arc<Service>>,
    caller: Caller,
    ApiPath((name, version)): ApiPath<(String, String)>,
    ApiQuery(query): ApiQuery<BranchQuery>,
) -> Result<Envelope<PackageDto>, ApiError> {
    let view = service
        .delete_package(&caller, &name, &query.branch, &version)
        .await?;
    Ok(Envelope::of(PackageDto::new(&service, view)?))
}
