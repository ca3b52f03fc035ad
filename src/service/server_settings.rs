use chrono::{DateTime, Utc};

use super::Service;
use crate::domain::Setting;

/// What this server runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    pub version: &'static str,
    pub started_at: DateTime<Utc>,
    /// `sqlite` or `postgresql`.
    pub database: &'static str,
    /// `files`, `s3` or `memory`.
    pub blobs: &'static str,
    /// `built-in` or `external`.
    pub broker: &'static str,
    pub settings: Vec<Setting>,
}

impl Service {
    pub fn server_settings(&self) -> ServerSettings {
        ServerSettings {
            version: env!("CARGO_PKG_VERSION"),
            started_at: self.listening_since,
            database: match self.db.is_embedded() {
                true => "sqlite",
                false => "postgresql",
            },
            blobs: self.blobs.kind(),
            broker: match self.settings.built_in_broker {
                true => "built-in",
                false => "external",
            },
            settings: self.settings.listed.clone(),
        }
    }
}
