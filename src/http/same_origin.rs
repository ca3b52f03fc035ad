//! Whether a page of this server asks, or one of another that makes a browser send our cookie.

use axum::{
    extract::FromRequestParts,
    http::{
        HeaderMap, Method, StatusCode,
        header::{HOST, ORIGIN},
        request::Parts,
    },
};
use std::sync::Arc;
use url::Url;

use super::error::ApiError;
use crate::service::Service;

/// Refuses who does not prove it.
pub struct SameOrigin;

impl FromRequestParts<Arc<Service>> for SameOrigin {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        service: &Arc<Service>,
    ) -> Result<Self, ApiError> {
        check_same_origin(&parts.headers, &service.settings().public_url).map(|()| SameOrigin)
    }
}

/// Whether a request changes nothing, so that another page may cause it.
pub fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Browsers say where a request is from, and no page can make them lie.
pub fn check_same_origin(headers: &HeaderMap, public_url: &str) -> Result<(), ApiError> {
    let text = |value: &axum::http::HeaderValue| value.to_str().unwrap_or("?").to_owned();
    let is_ours = match headers.get("sec-fetch-site").map(text) {
        Some(site) => matches!(site.as_str(), "same-origin" | "none"),
        None => headers.get(ORIGIN).map(text).is_some_and(|origin| {
            let host = headers.get(HOST).map(text);
            is_own_origin(&origin, host.as_deref(), public_url)
        }),
    };
    match is_ours {
        true => Ok(()),
        false => Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "cross_site_request",
            "this request is not shown to come from a page of this server (Sec-Fetch-Site or \
             Origin): programs send Authorization: Bearer <token> instead of a cookie; behind a \
             proxy --public-url must be what people type",
        )),
    }
}

fn is_own_origin(origin: &str, host: Option<&str>, public_url: &str) -> bool {
    let public = Url::parse(public_url).map(|url| url.origin().ascii_serialization());
    if public.is_ok_and(|public| public.eq_ignore_ascii_case(origin)) {
        return true;
    }
    let origin_host = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    match (origin_host, host) {
        (Some(origin), Some(host)) => origin.eq_ignore_ascii_case(host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_of_this_server_is_one() {
        let asks = |headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| {
                (
                    axum::http::HeaderName::from_static(name),
                    axum::http::HeaderValue::from_static(value),
                )
            });
            check_same_origin(&headers.collect(), "https://ota.example.com").is_ok()
        };
        let host = ("host", "10.0.0.1:8018");
        for ours in [
            &[("sec-fetch-site", "same-origin")][..],
            &[("sec-fetch-site", "none")],
            &[host, ("origin", "http://10.0.0.1:8018")],
            &[host, ("origin", "https://10.0.0.1:8018")],
            &[host, ("origin", "https://ota.example.com")],
            &[("origin", "https://ota.example.com")],
        ] {
            assert!(asks(ours), "{ours:?}");
        }
        for others in [
            &[][..],
            &[host],
            &[("sec-fetch-site", "same-site")],
            &[
                ("sec-fetch-site", "cross-site"),
                host,
                ("origin", "http://10.0.0.1:8018"),
            ],
            &[("sec-fetch-site", "cross-site")],
            &[host, ("origin", "null")],
            &[host, ("origin", "http://10.0.0.1")],
            &[host, ("origin", "http://10.0.0.1:8019")],
            &[host, ("origin", "http://evil.example")],
            &[host, ("origin", "http://10.0.0.1:8018.evil.example")],
            &[("origin", "http://ota.example.com.evil.example")],
            &[("origin", "http://ota.example.com")],
            &[("origin", "10.0.0.1:8018"), host],
        ] {
            assert!(!asks(others), "{others:?}");
        }
    }
}
