use std::sync::Arc;

use axum::{
    extract::State,
    http::{
        HeaderMap,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};

use crate::{metrics::without_openmetrics, service::Service};

const OPENMETRICS: &str = "application/openmetrics-text";
const OLDER: &str = "text/plain";

/// What Prometheus scrapes
///
/// OpenMetrics text; the older text format for who accepts `text/plain` and not OpenMetrics. Gauges that
/// mirror the database keep their last value while it is away.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "system",
    responses((status = 200, description = "The metrics", body = String, content_type = "application/openmetrics-text"))
)]
pub async fn metrics(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    if let Err(error) = service.refresh_gauges().await {
        tracing::debug!(%error, "gauges not refreshed");
    }
    let accepts = |media_type: &str| {
        let mut ranges = headers.get_all(ACCEPT).into_iter();
        ranges.any(|ranges| ranges.to_str().is_ok_and(|text| text.contains(media_type)))
    };
    let text = service.metrics().render();
    if accepts(OLDER) && !accepts(OPENMETRICS) {
        let content_type = format!("{OLDER}; version=0.0.4; charset=utf-8");
        return ([(CONTENT_TYPE, content_type)], without_openmetrics(&text)).into_response();
    }
    let content_type = format!("{OPENMETRICS}; version=1.0.0; charset=utf-8");
    ([(CONTENT_TYPE, content_type)], text).into_response()
}
