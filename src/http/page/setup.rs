use axum::response::Response;

use crate::http::error::ApiError;

/// The page that makes the first administrator
///
/// The link that a first start printed leads here; its secret stands behind the `#`, which browsers do
/// not send.
#[utoipa::path(
    get,
    path = "/setup",
    tag = "page",
    responses((status = 200, description = "HTML", body = String, content_type = "text/html"))
)]
pub async fn setup() -> Result<Response, ApiError> {
    Ok(super::html(super::asset::page("setup.html")?))
}
