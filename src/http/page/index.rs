use axum::response::Response;

use crate::http::error::ApiError;

/// The admin page
#[utoipa::path(
    get,
    path = "/",
    tag = "page",
    responses((status = 200, description = "HTML", body = String, content_type = "text/html"))
)]
pub async fn index() -> Result<Response, ApiError> {
    Ok(super::html(super::asset::page("index.html")?))
}
