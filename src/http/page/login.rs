use axum::response::Response;

/// The page to log in on
///
/// `next`, a path of this server, is where it goes on to.
#[utoipa::path(
    get,
    path = "/login",
    tag = "page",
    responses((status = 200, description = "HTML", body = String, content_type = "text/html"))
)]
pub async fn login() -> Response {
    super::html(include_str!("../../../static/login.html"))
}
