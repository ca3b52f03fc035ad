use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_swagger_ui::SwaggerUi;

use super::{
    changelog,
    error::ApiError,
    event,
    extract::{BODY_BYTES_MAX, CSV_BYTES_MAX, TARGET_BYTES_MAX},
    firmware, gateway,
    observe::observe,
    openapi::openapi,
    package, rollout, statistics, system, task, upgrade, webhook,
};
use crate::service::Service;

/// Every route of the server.
pub fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route(
            "/api/ota/firmware/upload",
            // The upload counts its own bytes, against limits of its own.
            post(firmware::upload::upload).layer(DefaultBodyLimit::disable()),
        )
        .route("/api/ota/firmware", get(firmware::list::list))
        .route("/api/ota/firmware/latest", get(firmware::latest::latest))
        .route(
            "/api/ota/firmware/{version}",
            get(firmware::get::get).delete(firmware::delete::delete),
        )
        .route(
            "/api/ota/firmware/{version}/release",
            post(firmware::release::release),
        )
        .route(
            "/api/ota/firmware/{version}/status",
            post(firmware::status::status),
        )
        .route(
            "/api/ota/upgrade/{gateway_id}",
            post(upgrade::trigger::trigger),
        )
        .route("/api/ota/task/{id}", get(task::newest::newest))
        .route("/api/ota/task/{id}/cancel", post(task::cancel::cancel))
        .route("/api/ota/task/{id}/retry", post(task::retry::retry))
        .route("/api/ota/task/{id}/events", get(task::events::events))
        .route("/api/ota/tasks", get(task::list::list))
        .route("/api/ota/tasks.csv", get(task::export::export))
        .route("/api/ota/gateways", get(gateway::list::list))
        .route("/api/ota/gateways/{gateway_id}/why", get(gateway::why::why))
        .route("/api/ota/gateways.csv", get(gateway::export::export))
        .route(
            "/api/ota/gateways/tags",
            post(gateway::import::import).layer(DefaultBodyLimit::max(CSV_BYTES_MAX)),
        )
        .route(
            "/api/ota/gateways/{gateway_id}",
            get(gateway::get::get).patch(gateway::edit::edit),
        )
        .route("/api/ota/statistics", get(statistics::get::get))
        .route(
            "/api/ota/statistics/timeline",
            get(statistics::timeline::timeline),
        )
        .route("/api/ota/events", get(event::stream::stream))
        .route("/firmware/{file_name}", get(firmware::download::download))
        .route("/ota/changelog", get(changelog::get::get))
        .route("/healthz", get(system::healthz::healthz))
        .route("/readyz", get(system::readyz::readyz))
        .route("/metrics", get(system::metrics::metrics))
        .merge(linux_devices())
        .merge(rollouts())
        .merge(webhooks())
        .merge(packages())
        .merge(SwaggerUi::new("/docs").url("/openapi.json", openapi()))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(service.clone(), observe))
        .with_state(service)
}

/// What devices without MQTT say and ask, and what is released for them.
fn linux_devices() -> Router<Arc<Service>> {
    Router::new()
        .route(
            "/api/ota/gateways/{gateway_id}/report",
            post(gateway::report::report),
        )
        .route(
            "/api/ota/gateways/{gateway_id}/command",
            get(gateway::command::command),
        )
        .route(
            "/api/ota/gateways/{gateway_id}/task",
            post(gateway::task::task),
        )
        .route(
            "/api/ota/packages/{name}/{version}/release",
            post(firmware::release_package::release_package),
        )
}

fn rollouts() -> Router<Arc<Service>> {
    Router::new()
        .route(
            "/api/ota/rollouts",
            // It may name thousands of gateways.
            post(rollout::create::create)
                .layer(DefaultBodyLimit::max(TARGET_BYTES_MAX))
                .get(rollout::list::list),
        )
        .route(
            "/api/ota/rollouts/dry-run",
            post(rollout::dry_run::dry_run).layer(DefaultBodyLimit::max(TARGET_BYTES_MAX)),
        )
        .route("/api/ota/rollouts/{id}", get(rollout::get::get))
        .route(
            "/api/ota/rollouts/{id}/gateways",
            get(rollout::gateways::gateways),
        )
        .route("/api/ota/rollouts/{id}/tasks", get(rollout::tasks::tasks))
        .route("/api/ota/rollouts/{id}/pause", post(rollout::act::pause))
        .route("/api/ota/rollouts/{id}/resume", post(rollout::act::resume))
        .route("/api/ota/rollouts/{id}/cancel", post(rollout::act::cancel))
        .route("/api/ota/rollouts/{id}/retry", post(rollout::act::retry))
}

fn webhooks() -> Router<Arc<Service>> {
    Router::new()
        .route(
            "/api/ota/webhooks",
            get(webhook::list::list).post(webhook::create::create),
        )
        .route(
            "/api/ota/webhooks/{webhook_id}",
            get(webhook::get::get).delete(webhook::delete::delete),
        )
        .route(
            "/api/ota/webhooks/{webhook_id}/ping",
            post(webhook::ping::ping),
        )
        .route(
            "/api/ota/webhooks/{webhook_id}/deliveries",
            get(webhook::deliveries::deliveries),
        )
        .route(
            "/api/ota/webhooks/{webhook_id}/deliveries/{delivery_id}/retry",
            post(webhook::retry_delivery::retry_delivery),
        )
}

fn packages() -> Router<Arc<Service>> {
    Router::new()
        .route("/maxVersion", get(package::max_version::max_version))
        .route("/getVersion", get(package::get_version::get_version))
        .route("/getSignature", get(package::get_signature::get_signature))
        .route("/otafiles/{sha256}", get(package::download::download))
        .route(
            "/update",
            // As for firmwares.
            put(package::push::push).layer(DefaultBodyLimit::disable()),
        )
        .route("/api/ota/packages", get(package::list::list))
        .route("/api/ota/packages/{name}", get(package::branches::branches))
        .route(
            "/api/ota/packages/{name}/rollback",
            post(package::rollback::rollback),
        )
        .route(
            "/api/ota/packages/{name}/{version}",
            get(package::get::get).delete(package::delete::delete),
        )
}

async fn no_such_route() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "no_such_route",
        "there is nothing at this address: /docs lists what there is",
    )
}

async fn no_such_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this address does not take this method: /docs lists which it takes",
    )
}

/// The panic itself is in the log, by the panic hook.
fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    ApiError::internal(&"a handler panicked").into_response()
}
