use std::sync::Arc;

use axum::{
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};

use crate::service::Service;

/// What Prometheus scrapes
///
/// OpenMetrics text. Gauges that mirror the database keep their last value while it is away.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "system",
    responses((status = 200, description = "The metrics", body = String, content_type = "application/openmetrics-text"))
)]
pub async fn metrics(State(service): State<Arc<Service>>) -> Response {
    if let Err(error) = service.refresh_gauges().await {
        tracing::debug!(%error, "gauges not refreshed");
    }
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, content_type)], service.metrics().render()).into_response()
}
