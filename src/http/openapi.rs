use std::sync::LazyLock;

use axum::{
    body::Bytes,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use utoipa::OpenApi;

use super::{
    audit, changelog, event, firmware, gateway, gateway_token, oidc, openapi_access::add_access,
    package, page, provisioning_key, rollout, session, setting, setup, signing_key, statistics,
    system, task, token, upgrade, user, webhook,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "airlift",
        description = "Over-the-air updates for gateways. Answers under /api are envelopes: \
            `{status, message, data}`, on failure with a stable `code`. Times are RFC 3339 UTC, \
            sizes bytes.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/")),
    tags(
        (name = "firmware", description = "Upload, release, list"),
        (name = "package", description = "Push and follow versions for Linux devices"),
        (name = "upgrade", description = "Bring a version to a gateway"),
        (name = "task", description = "Watch, cancel, try again"),
        (name = "rollout", description = "Bring a version to a fleet"),
        (name = "gateway", description = "Who is out there"),
        (name = "package", description = "Packages for Linux devices"),
        (name = "statistics", description = "How it went"),
        (name = "event", description = "Hear what happens, or be called"),
        (name = "download", description = "The files, for devices"),
        (name = "access", description = "Who may come"),
        (name = "page", description = "For browsers"),
        (name = "system", description = "For operators")
    ),
    paths(
        firmware::upload::upload,
        firmware::release::release,
        firmware::status::status,
        firmware::latest::latest,
        firmware::list::list,
        firmware::get::get,
        firmware::delete::delete,
        firmware::download::download,
        signing_key::list::list,
        changelog::get::get,
        package::max_version::max_version,
        package::get_version::get_version,
        package::get_signature::get_signature,
        package::download::download,
        package::push::push,
        package::list::list,
        package::branches::branches,
        package::get::get,
        package::delete::delete,
        package::rollback::rollback,
        upgrade::trigger::trigger,
        task::newest::newest,
        task::list::list,
        task::export::export,
        task::events::events,
        task::cancel::cancel,
        task::retry::retry,
        rollout::create::create,
        rollout::dry_run::dry_run,
        rollout::list::list,
        rollout::get::get,
        rollout::gateways::gateways,
        rollout::tasks::tasks,
        rollout::act::pause,
        rollout::act::resume,
        rollout::act::cancel,
        rollout::act::retry,
        gateway::list::list,
        gateway::export::export,
        gateway::import::import,
        gateway::get::get,
        gateway::why::why,
        gateway::heartbeats::heartbeats,
        gateway::report::report,
        gateway::command::command,
        gateway::task::task,
        firmware::release_package::release_package,
        gateway::edit::edit,
        gateway_token::list_all::list_all,
        gateway_token::import::import,
        gateway_token::issue::issue,
        gateway_token::revoke::revoke,
        gateway_token::list::list,
        gateway_token::claim::claim,
        gateway_token::broker::logins,
        provisioning_key::list::list,
        provisioning_key::create::create,
        provisioning_key::revoke::revoke,
        statistics::get::get,
        statistics::timeline::timeline,
        statistics::gateways::gateways,
        event::stream::stream,
        webhook::create::create,
        webhook::list::list,
        webhook::get::get,
        webhook::delete::delete,
        webhook::ping::ping,
        webhook::deliveries::deliveries,
        webhook::retry_delivery::retry_delivery,
        setting::list::list,
        audit::list::list,
        audit::export::export,
        token::create::create,
        token::list::list,
        token::revoke::revoke,
        user::create::create,
        user::list::list,
        user::edit::edit,
        user::delete::delete,
        session::get::get,
        session::log_in::log_in,
        oidc::begin::begin,
        oidc::callback::callback,
        session::log_out::log_out,
        session::password::password,
        setup::make_admin::make_admin,
        page::index::index,
        page::login::login,
        page::setup::setup,
        page::asset::asset,
        system::healthz::healthz,
        system::readyz::readyz,
        system::metrics::metrics,
    )
)]
struct ApiDoc;

pub const OPENAPI_PATH: &str = "/openapi.json";

/// The document as text, made when somebody first asks for it: most servers are never asked, and
/// making it takes 11 MB.
pub async fn openapi_text() -> Response {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| {
        let text = serde_json::to_vec(&openapi());
        text.expect("a description is JSON").into()
    });
    ([(CONTENT_TYPE, "application/json")], TEXT.clone()).into_response()
}

/// The OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut openapi = ApiDoc::openapi();
    add_access(&mut openapi);
    openapi
}
