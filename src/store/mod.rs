//! All SQL. [`Db`] is PostgreSQL or SQLite, chosen by URL; a [`Tx`] is a unit of work: dropped, it
//! rolls back. A statement is written once for both databases (`$1`, `RETURNING`, `ON CONFLICT`);
//! the macros in `db.rs` run it on whichever is there, those in `rows.rs` over many rows at once.
//!
//! To add a table: a migration of the same number and name in `migrations/postgres` and
//! `migrations/sqlite`, one file here with its row type and its `impl Tx`, and its behaviour in
//! the contract suite (`tests/store_contract`), which runs on both.

#[macro_use]
mod db;
#[macro_use]
mod rows;
mod access;
mod announcements;
mod audit;
mod blobs;
mod bundles;
mod commands;
mod enrolment;
mod error;
mod events;
mod firmwares;
mod gateway_query;
mod gateway_tags;
mod gateway_tokens;
mod gateways;
mod heartbeats;
mod history;
mod inbox;
mod login_failures;
mod mqtt_sessions;
mod oidc_users;
mod packages;
mod provisioning_keys;
mod rollout_gateways;
mod rollout_waves;
mod rollouts;
mod setup_links;
mod signing_secrets;
mod statistics;
mod task_reports;
mod tasks;
mod tokens;
mod user_sessions;
mod users;
mod webhooks;

pub use audit::{AuditFilter, AuditLine};
pub use blobs::BlobRow;
pub use db::{Connections, Db, Tx};
pub use enrolment::{Enrolment, VersionCount, Wanted};
pub use error::{Error, Result};
pub use events::{EventBounds, EventFilter, StoredEvent};
pub use firmwares::FirmwareFilter;
pub use gateway_tags::GatewayEdit;
pub use gateway_tokens::BrokerLogin;
pub use gateways::{GatewayCount, GatewayFilter};
pub use heartbeats::HeartbeatFilter;
pub use inbox::InboxMessage;
pub use mqtt_sessions::SessionLease;
pub use packages::PackageFilter;
pub use rollout_gateways::{ActiveMember, MemberFilter, RolloutMember};
pub use rollout_waves::RolloutWave;
pub use rollouts::RolloutFilter;
pub use statistics::{Percentiles, StatisticsFilter, StatisticsRow, TimelineRow};
pub use tasks::TaskFilter;
pub use tokens::TokenFilter;
pub use webhooks::DeliveryFilter;
