//! `/api/ota/login/oidc`

pub mod begin;
pub mod callback;

use axum::{
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT, LOCATION, SET_COOKIE},
    },
    response::{Html, IntoResponse, Response},
};

use super::error::ApiError;
use crate::service::Service;

/// Holds what a login on its way is to fit.
const COOKIE: &str = "airlift_oidc";
const COOKIE_PATH: &str = "/api/ota/login/oidc";

fn cookie(value: &str, lifetime_seconds: i64, service: &Service) -> String {
    let secure = if service.settings().https {
        "; Secure"
    } else {
        ""
    };
    format!(
        "{COOKIE}={value}; HttpOnly; SameSite=Lax; Path={COOKIE_PATH}; \
         Max-Age={lifetime_seconds}{secure}"
    )
}

/// On to another address, with cookies.
fn on_to(address: &str, cookies: Vec<String>) -> Result<Response, ApiError> {
    let value =
        |text: &str| HeaderValue::try_from(text).map_err(|error| ApiError::internal(&error));
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(LOCATION, value(address)?);
    for cookie in cookies {
        response.headers_mut().append(SET_COOKIE, value(&cookie)?);
    }
    Ok(response)
}

/// A refusal as a page for who sees it in a browser.
fn refusal(error: ApiError, headers: &HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    if !accept.is_some_and(|accept| accept.contains("text/html")) {
        return error.into_response();
    }
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>airlift</title>\
         <h1>Not logged in</h1><p>{}</p><p><a href=\"/login\">Log in</a></p></html>",
        escaped(&error.message)
    );
    let mut response = (error.status, Html(page)).into_response();
    let envelope = error.into_response();
    for name in ["www-authenticate", "retry-after"] {
        if let Some(value) = envelope.headers().get(name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
