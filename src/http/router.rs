use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, http::StatusCode, middleware, routing::get};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{
    audit, changelog,
    error::ApiError,
    event,
    extract::{CSV_BYTES_MAX, TARGET_BYTES_MAX},
    firmware, gateway, gateway_token,
    guard::{Guard, guard},
    limits::Limits,
    observe::Route,
    oidc,
    openapi::{OPENAPI_PATH, openapi_text},
    package, page, provisioning_key, rollout,
    routes::{Routes, Rule},
    session, setting, setup, signing_key, statistics, system, task, token, upgrade, user, webhook,
};
use crate::{
    domain::Need::{
        Administer, BeGateway, Download, LoggedIn, Nothing, Operate, Publish, Read, ReadGateway,
        ReadRelease,
    },
    service::Service,
};

/// Every route of the server, and what it needs of who comes.
fn routes() -> Routes {
    Routes::default()
        .post(
            Publish,
            "/api/ota/firmware/upload",
            firmware::upload::upload,
        )
        .counted_as_upload()
        .get(Read, "/api/ota/firmware", firmware::list::list)
        .get(
            ReadRelease,
            "/api/ota/firmware/latest",
            firmware::latest::latest,
        )
        .get(Read, "/api/ota/firmware/{version}", firmware::get::get)
        .get(Read, "/api/ota/signing-keys", signing_key::list::list)
        .delete(
            Publish,
            "/api/ota/firmware/{version}",
            firmware::delete::delete,
        )
        .post(
            Publish,
            "/api/ota/firmware/{version}/release",
            firmware::release::release,
        )
        .post(
            Publish,
            "/api/ota/firmware/{version}/status",
            firmware::status::status,
        )
        .post(
            Operate,
            "/api/ota/upgrade/{gateway_id}",
            upgrade::trigger::trigger,
        )
        .get(ReadGateway, "/api/ota/task/{id}", task::newest::newest)
        .post(Operate, "/api/ota/task/{id}/cancel", task::cancel::cancel)
        .post(Operate, "/api/ota/task/{id}/retry", task::retry::retry)
        .get(Read, "/api/ota/task/{id}/events", task::events::events)
        .get(Read, "/api/ota/tasks", task::list::list)
        .get(Read, "/api/ota/tasks.csv", task::export::export)
        .get(Read, "/api/ota/gateways", gateway::list::list)
        .get(Read, "/api/ota/gateways.csv", gateway::export::export)
        .post(Operate, "/api/ota/gateways/tags", gateway::import::import)
        .with_bodies(DefaultBodyLimit::max(CSV_BYTES_MAX))
        .get(
            ReadGateway,
            "/api/ota/gateways/{gateway_id}",
            gateway::get::get,
        )
        .patch(
            Operate,
            "/api/ota/gateways/{gateway_id}",
            gateway::edit::edit,
        )
        .get(
            ReadGateway,
            "/api/ota/gateways/{gateway_id}/why",
            gateway::why::why,
        )
        .get(
            ReadGateway,
            "/api/ota/gateways/{gateway_id}/heartbeats",
            gateway::heartbeats::heartbeats,
        )
        .get(Read, "/api/ota/statistics", statistics::get::get)
        .get(
            Read,
            "/api/ota/statistics/timeline",
            statistics::timeline::timeline,
        )
        .get(
            Read,
            "/api/ota/statistics/gateways",
            statistics::gateways::gateways,
        )
        .get(Read, "/api/ota/events", event::stream::stream)
        .get(
            Download,
            "/firmware/{file_name}",
            firmware::download::download,
        )
        .get(Administer, "/api/ota/settings", setting::list::list)
        .get(Administer, "/api/ota/audit", audit::list::list)
        .get(Administer, "/api/ota/audit.csv", audit::export::export)
        .get(ReadRelease, "/ota/changelog", changelog::get::get)
        .get(Nothing, "/healthz", system::healthz::healthz)
        .get(Nothing, "/readyz", system::readyz::readyz)
        .get(Read, "/metrics", system::metrics::metrics)
        .and(linux_devices())
        .and(rollouts())
        .and(webhooks())
        .and(packages())
        .and(people())
        .and(pages())
        .and(gateway_tokens())
}

/// Who may come, and who has come.
fn people() -> Routes {
    Routes::default()
        .get(Administer, "/api/ota/tokens", token::list::list)
        .post(Administer, "/api/ota/tokens", token::create::create)
        .delete(
            Administer,
            "/api/ota/tokens/{token_id}",
            token::revoke::revoke,
        )
        .get(Administer, "/api/ota/users", user::list::list)
        .post(Administer, "/api/ota/users", user::create::create)
        .patch(Administer, "/api/ota/users/{user_id}", user::edit::edit)
        .delete(Administer, "/api/ota/users/{user_id}", user::delete::delete)
        .get(Nothing, "/api/ota/session", session::get::get)
        .post(
            LoggedIn,
            "/api/ota/session/password",
            session::password::password,
        )
        .post(Nothing, "/api/ota/login", session::log_in::log_in)
        .get(Nothing, "/api/ota/login/oidc", oidc::begin::begin)
        .get(
            Nothing,
            "/api/ota/login/oidc/callback",
            oidc::callback::callback,
        )
        .post(Nothing, "/api/ota/logout", session::log_out::log_out)
        .post(Nothing, "/api/ota/setup", setup::make_admin::make_admin)
}

/// What a browser shows before anybody is logged in.
fn pages() -> Routes {
    Routes::default()
        .get(Nothing, "/", page::index::index)
        .get(Nothing, "/login", page::login::login)
        .get(Nothing, "/setup", page::setup::setup)
        .get(Nothing, "/static/{*file}", page::asset::asset)
}

/// What gateways show themselves with.
fn gateway_tokens() -> Routes {
    Routes::default()
        .get(
            Administer,
            "/api/ota/gateways/tokens",
            gateway_token::list_all::list_all,
        )
        .post(
            Administer,
            "/api/ota/gateways/tokens",
            gateway_token::import::import,
        )
        .with_bodies(DefaultBodyLimit::max(CSV_BYTES_MAX))
        .post(
            Administer,
            "/api/ota/gateways/{gateway_id}/token",
            gateway_token::issue::issue,
        )
        .delete(
            Administer,
            "/api/ota/gateways/{gateway_id}/token",
            gateway_token::revoke::revoke,
        )
        .get(
            Administer,
            "/api/ota/gateways/{gateway_id}/tokens",
            gateway_token::list::list,
        )
        // Looks at the provisioning key itself.
        .post(
            Nothing,
            "/api/ota/gateways/{gateway_id}/claim",
            gateway_token::claim::claim,
        )
        .get(
            Administer,
            "/api/ota/broker/logins",
            gateway_token::broker::logins,
        )
        .get(
            Administer,
            "/api/ota/provisioning-keys",
            provisioning_key::list::list,
        )
        .post(
            Administer,
            "/api/ota/provisioning-keys",
            provisioning_key::create::create,
        )
        .delete(
            Administer,
            "/api/ota/provisioning-keys/{key_id}",
            provisioning_key::revoke::revoke,
        )
}

/// What devices without MQTT say and ask, and what is released for them.
fn linux_devices() -> Routes {
    Routes::default()
        .post(
            BeGateway,
            "/api/ota/gateways/{gateway_id}/report",
            gateway::report::report,
        )
        .get(
            BeGateway,
            "/api/ota/gateways/{gateway_id}/command",
            gateway::command::command,
        )
        .post(
            BeGateway,
            "/api/ota/gateways/{gateway_id}/task",
            gateway::task::task,
        )
        .post(
            Publish,
            "/api/ota/packages/{name}/{version}/release",
            firmware::release_package::release_package,
        )
}

fn rollouts() -> Routes {
    Routes::default()
        .post(Operate, "/api/ota/rollouts", rollout::create::create)
        // It may name thousands of gateways.
        .with_bodies(DefaultBodyLimit::max(TARGET_BYTES_MAX))
        .get(Read, "/api/ota/rollouts", rollout::list::list)
        .post(Read, "/api/ota/rollouts/dry-run", rollout::dry_run::dry_run)
        .with_bodies(DefaultBodyLimit::max(TARGET_BYTES_MAX))
        .get(Read, "/api/ota/rollouts/{id}", rollout::get::get)
        .get(
            Read,
            "/api/ota/rollouts/{id}/gateways",
            rollout::gateways::gateways,
        )
        .get(Read, "/api/ota/rollouts/{id}/tasks", rollout::tasks::tasks)
        .post(Operate, "/api/ota/rollouts/{id}/pause", rollout::act::pause)
        .post(
            Operate,
            "/api/ota/rollouts/{id}/resume",
            rollout::act::resume,
        )
        .post(
            Operate,
            "/api/ota/rollouts/{id}/cancel",
            rollout::act::cancel,
        )
        .post(Operate, "/api/ota/rollouts/{id}/retry", rollout::act::retry)
}

/// They send what happens to addresses elsewhere, and their secrets are made here.
fn webhooks() -> Routes {
    Routes::default()
        .get(Administer, "/api/ota/webhooks", webhook::list::list)
        .post(Administer, "/api/ota/webhooks", webhook::create::create)
        .get(
            Administer,
            "/api/ota/webhooks/{webhook_id}",
            webhook::get::get,
        )
        .delete(
            Administer,
            "/api/ota/webhooks/{webhook_id}",
            webhook::delete::delete,
        )
        .post(
            Administer,
            "/api/ota/webhooks/{webhook_id}/ping",
            webhook::ping::ping,
        )
        .get(
            Administer,
            "/api/ota/webhooks/{webhook_id}/deliveries",
            webhook::deliveries::deliveries,
        )
        .post(
            Administer,
            "/api/ota/webhooks/{webhook_id}/deliveries/{delivery_id}/retry",
            webhook::retry_delivery::retry_delivery,
        )
}

fn packages() -> Routes {
    Routes::default()
        .get(
            ReadRelease,
            "/maxVersion",
            package::max_version::max_version,
        )
        .get(
            ReadRelease,
            "/getVersion",
            package::get_version::get_version,
        )
        .get(
            ReadRelease,
            "/getSignature",
            package::get_signature::get_signature,
        )
        .get(Download, "/otafiles/{sha256}", package::download::download)
        .put(Publish, "/update", package::push::push)
        .counted_as_upload()
        .get(Read, "/api/ota/packages", package::list::list)
        .get(
            Read,
            "/api/ota/packages/{name}",
            package::branches::branches,
        )
        .post(
            Publish,
            "/api/ota/packages/{name}/rollback",
            package::rollback::rollback,
        )
        .get(
            Read,
            "/api/ota/packages/{name}/{version}",
            package::get::get,
        )
        .delete(
            Publish,
            "/api/ota/packages/{name}/{version}",
            package::delete::delete,
        )
}

/// What each route needs, for the documentation and for the test that walks them all.
pub fn rules() -> Vec<Rule> {
    routes().rules()
}

/// Every route behind its guard; `serve.rs` does what is done to each answer. A layer here would be
/// cloned for each request, with all below it.
pub fn router(service: Arc<Service>) -> Router {
    // The bar of the other layout has styles within it, which the pages' policy forbids.
    let docs: Router<Arc<Service>> = SwaggerUi::new("/docs")
        .config(Config::from(OPENAPI_PATH).use_base_layout())
        .into();
    let docs = docs.route(OPENAPI_PATH, get(openapi_text));
    let limits = Arc::new(Limits::new(service.settings()));
    let state = Guard {
        service: service.clone(),
        limits: limits.clone(),
        need: Read,
        route: Route("/docs"),
    };
    routes()
        .router(&service, &limits)
        .merge(docs.route_layer(middleware::from_fn_with_state(state, guard)))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .with_state(service)
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
