//! The server, seen from outside: over real HTTP and MQTT, on real databases and brokers.
//!
//! To add a test: a sentence about behaviour in the `api_*` file of its subject, on a
//! [`app::TestApp`].

mod answer;
mod api_announcements;
mod api_bundle_attacks;
mod api_bundles;
mod api_download;
mod api_download_budget;
mod api_errors;
mod api_events;
mod api_firmware;
mod api_gateways;
mod api_health;
mod api_history;
mod api_reports;
mod api_rollout_faults;
mod api_rollout_targets;
mod api_rollouts;
mod api_signatures;
mod api_statistics;
mod api_tasks;
mod api_tutorial;
mod api_upload;
mod api_versions;
mod api_webhooks;
mod api_why;
mod app;
mod blob_contract;
mod bundles;
mod cli_program;
mod cli_rollouts;
mod crowd;
mod embedded_broker;
mod gateway;
mod listener;
mod monitoring;
mod openapi;
mod receiver;
mod schemathesis;
mod statements;
mod store_contract;
mod subscriber;
