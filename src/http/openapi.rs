use utoipa::OpenApi;

use super::{firmware, gateway, statistics, system, task, upgrade};

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
        (name = "upgrade", description = "Bring a version to a gateway"),
        (name = "task", description = "Watch, cancel, try again"),
        (name = "gateway", description = "Who is out there"),
        (name = "statistics", description = "How it went"),
        (name = "download", description = "The files, for devices"),
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
        upgrade::trigger::trigger,
        task::newest::newest,
        task::list::list,
        task::cancel::cancel,
        task::retry::retry,
        gateway::list::list,
        gateway::export::export,
        gateway::import::import,
        gateway::get::get,
        gateway::edit::edit,
        statistics::get::get,
        system::healthz::healthz,
        system::readyz::readyz,
        system::metrics::metrics,
    )
)]
struct ApiDoc;

/// The OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    ApiDoc::openapi()
}
