use std::{sync::Arc, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};

use crate::{
    metrics::{HttpLabels, RouteLabels},
    service::Service,
};

/// Counts and logs each request.
pub async fn observe(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned();
    let method = known_method(request.method().as_str());
    let path = request.uri().path().to_owned();
    let began = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let elapsed = began.elapsed();
    tracing::debug!(method, path, status, ?elapsed, "request");
    let metrics = service.metrics();
    let labels = RouteLabels {
        method,
        route: route.clone(),
    };
    metrics
        .http_request_duration
        .get_or_create(&labels)
        .observe(elapsed.as_secs_f64());
    let labels = HttpLabels {
        method: method.to_owned(),
        route,
        status,
    };
    metrics.http_requests.get_or_create(&labels).inc();
    response
}

/// A client may invent methods; a label must not.
fn known_method(method: &str) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("OTHER")
}
