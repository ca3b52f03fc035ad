//! Pages for browsers. They show nothing by themselves: their script asks the API.

pub mod asset;
pub mod landing;
pub mod login;
pub mod setup;

use axum::{
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::{IntoResponse, Response},
};

/// A file that is part of this program; browsers ask each time whether it is another by now.
fn file(content_type: &'static str, text: impl IntoResponse) -> Response {
    let headers = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-cache")];
    (headers, text).into_response()
}

fn html(text: impl IntoResponse) -> Response {
    file("text/html; charset=utf-8", text)
}
