use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};

use super::{VersionQuery, text_answer};
use crate::{
    http::{envelope::ErrorEnvelope, error::ApiError, extract::ApiQuery},
    service::Service,
};

/// The signature of a version's content.json
///
/// Detached, OpenPGP, armored: as it was pushed.
#[utoipa::path(
    get,
    path = "/getSignature",
    tag = "package",
    params(
        VersionQuery,
        ("If-None-Match" = Option<String>, Header, description = "An `ETag`"),
    ),
    responses(
        (
            status = 200,
            description = "The signature",
            body = String,
            content_type = "application/pgp-signature",
        ),
        (status = 304, description = "Not modified"),
        (status = 400, description = "A parameter is missing or makes no sense", body = ErrorEnvelope),
        (
            status = 404,
            description = "No such version, it is withdrawn, or it has no signature",
            body = ErrorEnvelope,
        ),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn get_signature(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<VersionQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let signature = service
        .package_signature(&query.package, &query.branch, &query.version)
        .await?;
    text_answer(&headers, "application/pgp-signature", signature)
}
