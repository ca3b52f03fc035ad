use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{cookie, on_to, refusal};
use crate::{
    http::{envelope::ErrorEnvelope, error::ApiError, extract::ApiQuery},
    service::{OIDC_LOG_IN_LIFETIME, Service},
};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BeginQuery {
    /// Where on this server to go on after the login; default `/`.
    #[param(example = "/docs/")]
    next: Option<String>,
}

/// Log in with the OpenID Connect provider
///
/// For browsers: sends on to the provider, which sends back to `/api/ota/login/oidc/callback`.
#[utoipa::path(
    get,
    path = "/api/ota/login/oidc",
    operation_id = "oidc_begin",
    tag = "access",
    params(BeginQuery),
    responses(
        (status = 303, description = "On to the provider", headers(("Location" = String), ("Set-Cookie" = String))),
        (status = 400, description = "`next` is no path of this server", body = ErrorEnvelope),
        (status = 404, description = "This server has no provider", body = ErrorEnvelope),
        (status = 503, description = "Provider or database away", body = ErrorEnvelope),
    )
)]
pub async fn begin(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    ApiQuery(query): ApiQuery<BeginQuery>,
) -> Result<Response, ApiError> {
    let departure = match service.begin_oidc_log_in(query.next.as_deref()).await {
        Ok(departure) => departure,
        Err(error) => return Ok(refusal(error.into(), &headers)),
    };
    let lifetime = OIDC_LOG_IN_LIFETIME.num_seconds();
    let cookie = cookie(&departure.cookie, lifetime, &service);
    on_to(&departure.url, vec![cookie])
}
