//! REST, downloads and the pages around them. One verb per handler file: its DTOs, its OpenAPI
//! text, its handler, which parses, calls one service and maps the answer.
//!
//! To add an endpoint: the file, its route in `router.rs`, its name in `openapi.rs` (a test
//! compares the two and the snapshot `tests/server/openapi.json`).

mod changelog;
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
mod observe;
mod openapi;
mod package;
mod peer;
mod provisioning_key;
mod rollout;
mod router;
mod routes;
mod statistics;
mod system;
mod task;
mod upgrade;
mod webhook;

pub use openapi::openapi;
pub use peer::Peer;
pub use router::{router, rules};
pub use routes::Rule;
