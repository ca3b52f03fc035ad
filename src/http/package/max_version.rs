use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::text_answer;
use crate::{
    http::{envelope::ErrorEnvelope, error::ApiError, extract::ApiQuery},
    service::Service,
};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MaxVersionQuery {
    #[param(example = "app")]
    package: String,
    #[param(example = "main")]
    branch: String,
    /// Of the versions that it allows; comparisons that must all hold, such as `>=1.2, <2`, `^1.2`,
    /// `~1.2.3`, `1.2.*`.
    #[param(example = "^1.2")]
    requirement: Option<String>,
}

/// The highest version's content.json
///
/// Byte for byte as it was pushed. The `ETag` is its SHA-256.
#[utoipa::path(
    get,
    path = "/maxVersion",
    tag = "package",
    params(
        MaxVersionQuery,
        ("If-None-Match" = Option<String>, Header, description = "An `ETag`"),
    ),
    responses(
        (status = 200, description = "content.json", body = Object, content_type = "application/json"),
        (status = 304, description = "Not modified"),
        (status = 400, description = "A parameter is missing or makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such package, branch or version", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn max_version(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<MaxVersionQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let package = service
        .highest_package(&query.package, &query.branch, query.requirement.as_deref())
        .await?;
    text_answer(&headers, "application/json", package.content)
}
