use axum::response::Response;

/// The landing page
///
/// Says who is logged in.
#[utoipa::path(
    get,
    path = "/",
    tag = "page",
    responses((status = 200, description = "HTML", body = String, content_type = "text/html"))
)]
pub async fn landing() -> Response {
    super::html(include_str!("../../../static/landing.html"))
}
