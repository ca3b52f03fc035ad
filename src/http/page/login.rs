use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde::Deserialize;
use url::form_urlencoded::byte_serialize;
use utoipa::IntoParams;

use crate::{
    http::{envelope::ErrorEnvelope, error::ApiError, extract::ApiQuery},
    service::Service,
};

/// Where the page has room for the way to the provider.
const PROVIDER: &str = "<!-- provider -->";

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LoginQuery {
    /// A path of this server, to go on to after the login.
    next: Option<String>,
}

/// The page to log in on
#[utoipa::path(
    get,
    path = "/login",
    tag = "page",
    params(LoginQuery),
    responses(
        (status = 200, description = "HTML", body = String, content_type = "text/html"),
        (status = 400, description = "A query that makes no sense", body = ErrorEnvelope),
    )
)]
pub async fn login(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<LoginQuery>,
) -> Result<Response, ApiError> {
    let page = super::asset::page("login.html")?;
    if !service.has_oidc() {
        return Ok(super::html(page));
    }
    let next: String = match &query.next {
        Some(next) => byte_serialize(next.as_bytes()).collect(),
        None => "%2F".to_owned(),
    };
    let link = format!(
        "<p><a href=\"/api/ota/login/oidc?next={next}\">Log in with OpenID Connect</a></p>"
    );
    Ok(super::html(page.replace(PROVIDER, &link)))
}
