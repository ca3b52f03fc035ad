use axum::{http::StatusCode, response::Response};

use crate::http::{envelope::ErrorEnvelope, error::ApiError, extract::ApiPath};

/// Script and style of the pages
#[utoipa::path(
    get,
    path = "/static/{file}",
    tag = "page",
    params(("file" = String, Path, example = "airlift.js")),
    responses(
        (status = 200, description = "The file", content(
            (String = "text/javascript"),
            (String = "text/css")
        )),
        (status = 400, description = "A name that makes no sense", body = ErrorEnvelope),
        (status = 404, description = "No such file", body = ErrorEnvelope),
    )
)]
pub async fn asset(ApiPath(file): ApiPath<String>) -> Result<Response, ApiError> {
    match file.as_str() {
        "airlift.js" => Ok(super::file(
            "text/javascript; charset=utf-8",
            include_str!("../../../static/airlift.js"),
        )),
        "airlift.css" => Ok(super::file(
            "text/css; charset=utf-8",
            include_str!("../../../static/airlift.css"),
        )),
        _ => Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "no_such_file",
            "there is no such file: the pages use airlift.js and airlift.css",
        )),
    }
}
