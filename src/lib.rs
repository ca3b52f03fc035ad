//! The airlift server.
//!
//! | room | what it does | may call |
//! |---|---|---|
//! | `app` | wires everything; no logic | all |
//! | `cli`, `http`, `ingest`, `jobs` | doors: people, REST, gateways' reports, time | `service` |
//! | `service` | one use case per file; holds the transaction | `store`, `blob`, `mqtt`, `webhook`, `oidc` |
//! | `store`, `blob`, `mqtt`, `webhook`, `oidc` | database, files, broker, receivers of events, login provider | `domain` |
//! | `tls` | certificates of the server's own doors | nothing of ours |
//! | `domain` | types and decisions, no I/O | `airlift_proto` |
//! | `config`, `metrics` | settings and counters | nothing of ours |
//!
//! `tests/tidy.rs` holds these arrows. To add an endpoint: a handler file under `http/<noun>/`, its
//! route in `http/router.rs`, a service if it decides anything, a line in `CHANGELOG.md`.

pub mod app;
pub mod blob;
pub mod cli;
pub mod config;
pub mod domain;
pub mod http;
pub mod ingest;
pub mod jobs;
pub mod metrics;
pub mod mqtt;
pub mod oidc;
pub mod service;
pub mod store;
pub mod tls;
pub mod webhook;
