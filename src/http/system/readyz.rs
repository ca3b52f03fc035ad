use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::service::Service;

/// Each part is `ok` or says what is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    ready: bool,
    database: String,
    broker: String,
    blobs: String,
}

/// Whether the server can do its work
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "system",
    responses(
        (status = 200, description = "Database, broker and blob store answer", body = Readiness),
        (status = 503, description = "One of them does not", body = Readiness),
    )
)]
pub async fn readyz(State(service): State<Arc<Service>>) -> Response {
    let health = service.health().await;
    let ready = health.database.is_ok() && health.broker.is_ok() && health.blobs.is_ok();
    let word = |part: Result<(), String>| part.err().unwrap_or_else(|| "ok".to_owned());
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = Readiness {
        ready,
        database: word(health.database),
        broker: word(health.broker),
        blobs: word(health.blobs),
    };
    (status, Json(body)).into_response()
}
