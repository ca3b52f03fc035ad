//! REST, downloads and the pages around them. One verb per handler file: its DTOs, its OpenAPI
//! text, its handler, which parses, calls one service and maps the answer.
//!
//! To add an endpoint: the file, its route in `router.rs`, its name in `openapi.rs` (a test
//! compares the two and the snapshot `tests/server/openapi.json`).

mod audit;
mod changelog;
mod client_address;
mod connection;
mod csv_answer;
mod envelope;
mod error;
mod event;
mod extract;
mod file;
mod firmware;
mod form;
mod gateway;
mod gateway_token;
mod guard;
mod limits;
mod observe;
mod oidc;
mod openapi;
mod openapi_access;
mod package;
mod page;
mod peer;
mod provisioning_key;
mod rollout;
mod router;
mod routes;
mod same_origin;
mod security_headers;
mod serve;
mod session;
mod setting;
mod setup;
mod shown;
mod signing_key;
mod statistics;
mod system;
mod task;
mod token;
mod upgrade;
mod user;
mod webhook;

pub use openapi::openapi;
pub use peer::Peer;
pub use router::{router, rules};
pub use routes::Rule;
pub use serve::{HttpServer, serve};
