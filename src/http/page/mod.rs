//! Pages for browsers. They show nothing by themselves: their scripts ask the API.

pub mod asset;
pub mod index;
pub mod login;
pub mod setup;

use axum::{
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::{IntoResponse, Response},
};

/// Browsers ask each time whether it is another by now.
fn html(text: String) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}
