use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::Setting,
    http::envelope::{Envelope, ErrorEnvelope},
    service::{ServerSettings, Service},
};

/// What the server that answers runs with.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServerSettings)]
pub struct ServerSettingsDto {
    pub version: &'static str,
    pub started_at: DateTime<Utc>,
    /// `sqlite` or `postgresql`.
    #[schema(examples("sqlite"))]
    pub database: &'static str,
    /// `files`, `s3` or `memory`.
    #[schema(examples("files"))]
    pub blobs: &'static str,
    /// `built-in` or `external`.
    #[schema(examples("built-in"))]
    pub broker: &'static str,
    /// In the order of `airlift serve --help`.
    pub settings: Vec<SettingDto>,
}

/// An option of `airlift serve`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Setting)]
pub struct SettingDto {
    #[schema(examples("--public-url"))]
    pub name: String,
    /// What it is set to, or its default; null without either. `***` stands for what is secret.
    pub value: Option<String>,
    pub help: String,
    /// `default`, `command line`, `environment` or `file`.
    #[schema(examples("default"))]
    pub source: &'static str,
}

impl From<ServerSettings> for ServerSettingsDto {
    fn from(server: ServerSettings) -> Self {
        ServerSettingsDto {
            version: server.version,
            started_at: server.started_at,
            database: server.database,
            blobs: server.blobs,
            broker: server.broker,
            settings: server.settings.into_iter().map(SettingDto::from).collect(),
        }
    }
}

impl From<Setting> for SettingDto {
    fn from(setting: Setting) -> Self {
        SettingDto {
            name: setting.name,
            value: setting.value,
            help: setting.help,
            source: setting.source.as_str(),
        }
    }
}

/// What the server runs with
///
/// Of the one that answers; several over one database may differ.
#[utoipa::path(
    get,
    path = "/api/ota/settings",
    tag = "system",
    responses(
        (status = 200, description = "The settings", body = Envelope<ServerSettingsDto>),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn list(State(service): State<Arc<Service>>) -> Envelope<ServerSettingsDto> {
    Envelope::of(service.server_settings().into())
}
